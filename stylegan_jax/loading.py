"""Loading of generators from runs, checkpoints and files of any kind."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import jax
import jax.numpy as jnp
from flax import traverse_util

from stylegan_jax.data.config import DataConfig
from stylegan_jax.errors import UserError, did_you_mean
from stylegan_jax.interop import (
    exported,
    pretrained,
    pytorch,
    registry,
    stylegan_tf,
    unpickle,
)
from stylegan_jax.interop.bundle import (
    Bundle,
    TrainedDiscriminator,
    Which,
    build_generator,
)
from stylegan_jax.interop.registry import NETWORKS
from stylegan_jax.io import mirror, programs
from stylegan_jax.io.mirror import as_url, is_remote
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator
from stylegan_jax.pickles import torch_file
from stylegan_jax.runs import checkpoint, retention, run_directory

_NAME = "name:"  # before a name: no path is meant
_MANY = 10_000  # files of a folder that are looked through for a suggestion

# What recognises a file, and what loads it, tried in this order; the last one's errors
# describe unknown files.
_FILES: tuple[
    tuple[Callable[[Path], bool], Callable[[Path, Which | None], Bundle]], ...
] = (
    (exported.is_exported, lambda path, _: exported.load_bundle(path)),
    (torch_file.is_pytorch_file, pytorch.load_bundle),
    (unpickle.is_official_pickle, stylegan_tf.load_bundle),
)


def load(path: str | Path, which: Which = "ema") -> Generator:
    """Loads the generator of a run, a checkpoint or a file of networks.

    Args:
        path: a run directory (its newest good checkpoint), one checkpoint in it
            (`RUN/checkpoints/...`; `best` is the one with the best score), a
            `.safetensors` of `stylegan_jax.convert`, a pickle of NVlabs/stylegan or
            ProGAN, a PyTorch checkpoint of genforce or
            rosinality/style-based-gan-pytorch, "portraits" or "faces" (included), or
            the name of a public network (`interop/registry.py`), fetched on first use.
            `./portraits` is a run or file of that name; a `Path` drops the `./`, text
            keeps it. May lie in a bucket, `gs://...` or `s3://...`.
        which: "ema", the moving average, or "raw", the generator under training; a file
            with one generator has only that one.

    Raises:
        UserError: nothing there, or something else; the message says what.
    """
    if which not in get_args(Which):
        raise UserError(f'which is {which!r}; the generators are "ema" and "raw"')
    return load_bundle(path, which).generator


def load_bundle(path: str | Path, only: Which | None = None) -> Bundle:
    """Loads all networks of a path, or `only` one generator; otherwise as `load`."""
    path = located(path)
    if path.is_dir():
        return _load_run(path, only)
    if path.suffix == programs.SUFFIX:
        raise UserError(
            f"{path} is a program that draws, and its network cannot be taken out of "
            "it; give the network that it was made from"
        )
    known = (load for recognises, load in _FILES if recognises(path))
    return next(known, stylegan_tf.load_bundle)(path, only)


def located(name: str | Path) -> Path:
    """The path of a user's name; the only place where names become paths.

    Text with a slash is a path. A bare name of a network is that network, even if a
    folder of pictures has that name; `name:portraits` is explicit.

    Raises:
        UserError: nothing of that name, or both a run or file and a network.
    """
    if is_remote(name):
        return mirror.fetched(as_url(name))
    text, path = str(name), Path(name)
    bare = public_name(text)
    if bare is not None:
        if text == bare and (path.is_file() or _is_run(path)):
            kind = "file" if path.is_file() else "run"
            raise UserError(
                f"{bare} is the name of a network and of a {kind} here: "
                f"give ./{bare} for that, {_NAME}{bare} for the network"
            )
        return pretrained.network(bare) or registry.fetch(bare)
    if path.name == "best" and path.absolute().parent.name == "checkpoints":
        return retention.best_path(path.absolute().parent)
    if path.exists():
        return path
    hint = did_you_mean(text, (*pretrained.names(), *NETWORKS)) or did_you_mean(
        path.name, _names_in(path.parent)
    )
    raise UserError(
        f"{path} does not exist; {hint + ' Otherwise ' if hint else ''}give a run "
        "directory, a checkpoint, a .safetensors, an official .pkl, a PyTorch "
        "checkpoint, the name of an included network (portraits, faces) or of a public "
        "one such as ffhq"
    )


def beside(network: str | Path, kind: str) -> Path | None:
    """The file of a `kind`, such as directions, beside a network, or None.

    `NAME_directions.safetensors` beside a file; `directions.safetensors` in a run or
    its folder `directions`.
    """
    path, name = located(network), f"{kind}.safetensors"
    places = [path.with_name(f"{path.stem}_{name}")]
    if path.is_dir():
        run = run_directory.run_of(path) or path
        places = [run / name, run / kind / name]
    return next((place for place in places if place.is_file()), None)


def trained_on(name: str | Path) -> tuple[DataConfig | None, str]:
    """The training data of a run or built-in network, or None; and its owner."""
    bare = public_name(str(name))
    if bare is not None:
        return pretrained.DATA.get(bare), f"the network {name}"
    run = run_directory.run_of(Path(name))
    if run is not None:
        return run_directory.data_config(run), f"the run {run}"
    path = located(name).resolve()
    comes_along = path.parent == pretrained.FOLDER.resolve()
    data = pretrained.DATA.get(path.stem) if comes_along else None
    return data, f"the network {name}"


def public_name(name: str) -> str | None:
    """The name of a built-in or public network, if `name` is one."""
    bare = name.removeprefix(_NAME)
    return bare if bare in (*pretrained.names(), *NETWORKS) else None


def _is_run(path: Path) -> bool:
    """Whether a folder is a run, even a damaged one."""
    try:
        return (path / "checkpoints").is_dir() or bool(run_directory.read_config(path))
    except UserError:
        return False


def _names_in(folder: Path) -> list[str]:
    try:
        return [path.name for path in itertools.islice(folder.iterdir(), _MANY)]
    except OSError:
        return []


def _load_run(path: Path, only: Which | None) -> Bundle:
    fields = {"ema": ["g_ema"], "raw": ["g_params"]}
    names = fields[only] if only else ["g_ema", "g_params", "d_params"]
    config, restored = _restore(path, names)
    generator, *raw = [_generator(config, restored, name) for name in names[:2]]
    discriminator = None
    if only is None:
        params = jax.tree.map(jnp.asarray, restored.state["d_params"])
        discriminator = TrainedDiscriminator(params=params, config=config)
    return Bundle(
        generator=generator,
        raw=raw[0] if raw else None,
        discriminator=discriminator,
        source=f"{path.absolute().name} at {restored.nimg / 1000:g} kimg",
    )


def _restore(
    path: Path, params: Sequence[str]
) -> tuple[ModelConfig, checkpoint.Restored]:
    config = run_directory.model_config(run_directory.run_of(path) or path)
    names = [*params, "w_avg", *(["noise"] if config.use_noise else [])]
    return config, checkpoint.load_latest(path, names)


def _generator(
    config: ModelConfig, restored: checkpoint.Restored, params: str
) -> Generator:
    state = restored.state
    resolution = restored.metadata.get("resolution")
    alpha = restored.metadata.get("alpha")
    fading = isinstance(alpha, float | int | None)
    if resolution not in (1, *config.resolutions) or not fading:
        raise UserError(
            f"the checkpoint is of a network of {config.resolution} px at "
            f"{ascii(resolution)[:20]} px (alpha {ascii(alpha)[:20]}); it is damaged"
        )
    # A mapping without layers has nothing stored.
    arrays = traverse_util.flatten_dict(state[params], sep="/")
    arrays |= {f"noise/{i}": image for i, image in enumerate(state.get("noise", ()))}
    arrays["w_avg"] = state["w_avg"]
    try:
        return build_generator(arrays, config, resolution=resolution, alpha=alpha)
    except UserError as error:
        raise UserError(
            f"the checkpoint does not fit its config.json; are they of one run? {error}"
        ) from None
