"""From a path to a `Generator`, whatever kind of file lies there."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp

from stylegan_jax.common.errors import UserError
from stylegan_jax.interop import stylegan_tf
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator
from stylegan_jax.training import checkpoint


def load(path: str | Path) -> Generator:
    """Loads the averaged generator of a run, a checkpoint or an official pickle.

    Args:
        path: a run directory (its newest good checkpoint), one checkpoint in it
            (`RUN/checkpoints/...`), or a pickle of NVlabs/stylegan or ProGAN.

    Raises:
        UserError: nothing there, or something else; the message says what.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(
            f"{path} does not exist; give a run directory, a checkpoint or an "
            "official .pkl"
        )
    if path.is_file():
        return stylegan_tf.load_pickle(path)
    return _load_run(path)


def _load_run(path: Path) -> Generator:
    # A checkpoint lies two folders below its run.
    folders = (path, *path.absolute().parents[:2])
    run = next(
        (folder for folder in folders if (folder / "config.json").exists()), None
    )
    if run is None:
        raise UserError(
            f"{path} is not a run directory: it has no config.json; give what "
            "--workdir was in training"
        )
    config = _read_model(run / "config.json")
    names = ["g_ema", "w_avg", *(["noise"] if config.use_noise else [])]
    restored = checkpoint.load_latest(path, names)
    state, alpha = restored.state, restored.metadata["alpha"]
    generator = Generator(
        # A mapping without layers has nothing stored.
        params={"mapping": {}} | state["g_ema"],
        w_avg=state["w_avg"],
        noise=state.get("noise", ()),
        alpha=None if alpha is None else jnp.float32(alpha),
        config=config,
        resolution=restored.metadata["resolution"],
    )
    return jax.tree.map(jnp.asarray, generator)


def _read_model(path: Path) -> ModelConfig:
    try:
        return ModelConfig(**json.loads(path.read_text())["model"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} does not describe a network ({error}); was the run made by "
            "another version?"
        ) from error
