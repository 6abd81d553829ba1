"""From a path to a `Generator`, whatever kind of file lies there."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from stylegan_jax.common.errors import UserError
from stylegan_jax.interop import stylegan_tf
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator
from stylegan_jax.training import checkpoint

_SECTIONS = ("model", "data", "schedule", "run")


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


def read_config(run: Path) -> dict[str, Any]:
    """The configuration of a run as it is stored, sections of plain values.

    Raises:
        UserError: there is none, or it is not valid JSON.
    """
    path = run / "config.json"
    if not path.exists():
        raise UserError(
            f"{run} is not a run directory: it has no config.json; give what "
            "--workdir was in training"
        )
    try:
        stored = json.loads(path.read_text())
        return {section: stored[section] for section in _SECTIONS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _undescribed(path, error) from error


def model_config(run: Path) -> ModelConfig:
    """The architecture of a run's networks.

    Raises:
        UserError: as `read_config`, or another version wrote it.
    """
    try:
        return ModelConfig(**read_config(run)["model"])
    except (ValueError, TypeError) as error:
        raise _undescribed(run / "config.json", error) from error


def _undescribed(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} does not describe a network ({error}); was the run made by another "
        "version?"
    )


def _load_run(path: Path) -> Generator:
    # A checkpoint lies two folders below its run.
    folders = (path, *path.absolute().parents[:2])
    run = next(
        (folder for folder in folders if (folder / "config.json").exists()), path
    )
    config = model_config(run)
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
