"""Serves a page that shows a network: `python -m stylegan_jax.serve [NETWORK]`."""

import dataclasses
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from stylegan_jax import loading
from stylegan_jax.commands import cli
from stylegan_jax.commands.flag_groups import Network
from stylegan_jax.commands.invert import encoder_of
from stylegan_jax.demo.session import Session
from stylegan_jax.editing.direction_files import beside, load_directions
from stylegan_jax.editing.directions import Direction
from stylegan_jax.editing.masks import FRAMES, FaceFrame
from stylegan_jax.errors import UserError
from stylegan_jax.features import included, vgg16, weights
from stylegan_jax.inversion.feature_nets import FeatureNets

# A network that comes with the package, the data it is trained on, and its faces.
_PORTRAITS = "portraits"
_MAX_SLIDERS = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServeArgs:
    """Serves a page that samples, edits and inverts with a network."""

    # A run directory, one checkpoint in it, a .safetensors, an official .pkl, a PyTorch
    # checkpoint, or the name of a public network, which is fetched on first use. By
    # default a small network of drawn portraits that comes with the package.
    network: Network = _PORTRAITS
    # A file of directions, or a folder of InterFaceGAN's boundaries, for the sliders.
    # By default what lies beside the network: NAME_directions.safetensors beside a
    # file, directions.safetensors in a run.
    directions: Path | None = None
    host: str = "127.0.0.1"  # 0.0.0.0 lets other machines in; there is no password
    port: int = 7860  # 0 takes any that is free
    # What searches compare besides pixels. auto: VGG16 if its weights are here already,
    # otherwise the included network; vgg16: fetches them; none: pixels only.
    perceptual: Literal["auto", "vgg16", "included", "none"] = "auto"
    vgg16: Path | None = None  # your own copy of the weights
    # How faces lie in the pictures, for the named parts of masks and for photographs.
    # auto: portraits if the network is known to be of them, otherwise ffhq.
    face: Literal["auto", "ffhq", "portraits"] = "auto"


@cli.entry
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = cli.parse(ServeArgs, argv, prog="python -m stylegan_jax.serve")
    if importlib.util.find_spec("gradio") is None:
        raise UserError("the page needs gradio: pip install 'stylegan_jax[demo]'")
    # Before gradio is imported, which looks at them then.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    from stylegan_jax.demo import app, server

    with server.bind(args.host, args.port) as listener:
        generator = loading.load(args.network)
        encoder = encoder_of(args.network, generator, needed=False)
        session = Session(
            generator, find_directions(args), find_features(args), encoder
        )
        name = Path(args.network).absolute().stem.removeprefix("name:")
        demo = app.build(session, title=name, frame=find_frame(args))
        print(f"{args.network} at {server.address(listener)} (Ctrl-C ends)", flush=True)
        server.serve(demo, listener, args.host)


def find_directions(args: ServeArgs) -> tuple[Direction, ...]:
    """The given directions, or those beside the network."""
    path = args.directions or beside(args.network)
    return load_directions(path)[:_MAX_SLIDERS] if path else ()


def find_frame(args: ServeArgs) -> FaceFrame:
    """The position of faces in the pictures."""
    if args.face != "auto":
        return FRAMES[args.face]
    data, _ = loading.trained_on(args.network)
    of_portraits = data is not None and data.name == _PORTRAITS
    return FRAMES[_PORTRAITS if of_portraits else "ffhq"]


def find_features(args: ServeArgs) -> FeatureNets:
    """The feature networks of searches."""
    if args.perceptual == "none":
        return FeatureNets()
    here = args.vgg16 is not None or weights.cached(weights.VGG16)
    if args.perceptual == "vgg16" or (args.perceptual == "auto" and here):
        return FeatureNets(vgg16=vgg16.load(args.vgg16))
    return FeatureNets(included=included.load())
