"""The configuration of a run, read back from its `config.json`."""

import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylegan_jax.data.config import DataConfig
from stylegan_jax.errors import UserError
from stylegan_jax.io import mirror, records
from stylegan_jax.io.bucket import as_url, is_remote
from stylegan_jax.networks.config import ModelConfig, stored_model_config

_SECTIONS = ("model", "data", "schedule", "run")
CONFIG_AGAIN = (
    "start the same training in another `workdir`, stop it, and copy its config.json "
    "here"
)


def read_config(
    run: Path, needs: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """The sections of a run's configuration, as plain JSON values.

    Args:
        run: the run directory.
        needs: shapes (`records`) of fields that must be there, by section.

    Raises:
        UserError: there is none, or it is not one of ours.
    """
    path = run / "config.json"
    if not path.exists():
        raise UserError(
            f"{run} is not a run directory: it has no config.json; give what "
            "`workdir` was in training"
        )
    shape = {section: {**(needs or {}).get(section, {})} for section in _SECTIONS}
    return records.read(path, shape, way_on=CONFIG_AGAIN, inside=run)


def run_of(path: Path) -> Path | None:
    """The run directory that `path` is or, as a checkpoint, belongs to, if any.

    Of one in a bucket, a copy that is made here.
    """
    if is_remote(path):
        path = mirror.fetched(as_url(path))
    above = path.absolute()
    runs = [x.parent for x in (above, above.parent) if x.name == "checkpoints"]
    return next((x for x in (path, *runs) if (x / "config.json").exists()), None)


def data_config(run: Path) -> DataConfig:
    """What a run's networks are trained on.

    Raises:
        UserError: as `read_config`, or another version wrote it.
    """
    stored = read_config(run)["data"]
    hints = typing.get_type_hints(DataConfig)
    shape = {name: typing.get_args(hint) or hint for name, hint in hints.items()}
    try:
        records.check(stored, {name: shape.get(name, object) for name in stored})
        return DataConfig(**stored)
    except (TypeError, ValueError) as error:
        raise _undescribed(run / "config.json", "data", error) from error


def model_config(run: Path) -> ModelConfig:
    """The architecture of a run's networks.

    Raises:
        UserError: as `read_config`, or another version wrote it.
    """
    model = read_config(run)["model"]
    try:
        return stored_model_config(model)
    except ValueError as error:
        raise _undescribed(run / "config.json", "a network", error) from error


def _undescribed(path: Path, what: str, error: Exception) -> UserError:
    return UserError(
        f"{path} does not describe {what} ({error}); if no other version made the run, "
        f"{CONFIG_AGAIN}"
    )
