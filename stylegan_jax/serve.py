"""Serves a page that shows a network: `python -m stylegan_jax.serve NETWORK`.

    python -m stylegan_jax.serve runs/portraits
    python -m stylegan_jax.serve ffhq --directions boundaries --port 8000

Samples, attributes, style mixing, morphing, inversion of photographs and painting, in
a browser on this machine. Nothing is asked of, or told to, any other: docs/demo.md.
"""

import dataclasses
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from stylegan_jax import cli, loading
from stylegan_jax.common import cache
from stylegan_jax.common.errors import UserError
from stylegan_jax.demo.session import Session
from stylegan_jax.editing.direction_files import load_directions
from stylegan_jax.editing.directions import Direction
from stylegan_jax.editing.masks import FRAMES
from stylegan_jax.features import public_weights, vgg16
from stylegan_jax.inversion.objective import NO_EYES, Eyes

_BOXED = Path(__file__).parent / "boxed"
_MAX_SLIDERS = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServeArgs:
    """Serves a page that samples, edits and inverts with a network."""

    # A run directory, one checkpoint in it, a .safetensors, an official .pkl, a PyTorch
    # checkpoint, or the name of a public network, which is fetched on first use.
    network: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="NETWORK")]
    # A file of directions, or a folder of InterFaceGAN's boundaries, for the sliders.
    # By default what lies beside the network: NAME_directions.safetensors beside a
    # file, directions.safetensors in a run.
    directions: Path | None = None
    host: str = "127.0.0.1"  # 0.0.0.0 lets other machines in; there is no password
    port: int = 7860  # 0 takes any that is free
    # What searches compare besides pixels. auto: VGG16 if its weights are here already;
    # vgg16: fetches them; none: pixels only.
    perceptual: Literal["auto", "vgg16", "none"] = "auto"
    vgg16: Path | None = None  # your own copy of the weights
    face: Literal["ffhq", "portraits"] = "ffhq"  # how faces lie in the pictures


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
        session = Session(generator, find_directions(args), find_eyes(args))
        name = args.network.absolute().stem
        blocks = app.build(session, title=name, frame=FRAMES[args.face])
        print(f"{args.network} at {server.address(listener)} (Ctrl-C ends)", flush=True)
        server.serve(blocks, listener)


def find_directions(args: ServeArgs) -> tuple[Direction, ...]:
    """The directions that were given, or that lie beside the network.

    Raises:
        UserError: those given cannot be read.
    """
    if args.directions is not None:
        return load_directions(args.directions)[:_MAX_SLIDERS]
    for path in _beside(args.network):
        if path.is_file():
            return load_directions(path)[:_MAX_SLIDERS]
    return ()


def _beside(network: Path) -> list[Path]:
    """Where directions of a network may lie."""
    if network.is_dir():
        # A checkpoint lies two folders below its run.
        folders = [network, *network.absolute().parents[:2]]
        run = next((f for f in folders if (f / "config.json").exists()), network)
        return [
            run / "directions.safetensors",
            run / "directions/directions.safetensors",
        ]
    if network.exists():
        return [network.with_name(f"{network.stem}_directions.safetensors")]
    # Networks that come with the package are called by name.
    return sorted(_BOXED.glob(f"{network.name}*_directions.safetensors"))


def find_eyes(args: ServeArgs) -> Eyes:
    """What searches see with.

    Raises:
        UserError: weights that were asked for cannot be had.
    """
    if args.perceptual == "none":
        return NO_EYES
    here = cache.cache_folder("features") / public_weights.VGG16.file_name
    if args.perceptual == "auto" and args.vgg16 is None and not here.exists():
        return NO_EYES
    return Eyes(vgg16=vgg16.load(args.vgg16))


if __name__ == "__main__":
    cli.run_main(main)
