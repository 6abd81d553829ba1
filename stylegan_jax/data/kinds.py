"""What kind of data lies at a path: a folder, a zip file or prepared data."""

import dataclasses
import os
import zipfile
from pathlib import Path

from stylegan_jax.data.config import POINTS, DataConfig
from stylegan_jax.errors import UserError
from stylegan_jax.io.bucket import is_remote

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def kind_of(path: str | Path) -> str:
    """Whether a path is a `zip` file, a prepared `pyramid`, or a `folder` of images."""
    path = Path(path).expanduser()
    if path.is_file() and (zipfile.is_zipfile(path) or path.suffix == ".zip"):
        return "zip"
    return "pyramid" if (path / "index.json").is_file() else "folder"


def by_path(config: DataConfig, *, named: bool) -> tuple[DataConfig, str | None]:
    """The configuration with the name that goes with its path.

    Args:
        config: what the user gave, with defaults for the rest.
        named: the user gave `name`, which then has to go with the path.

    Returns:
        The configuration, and a sentence if the name is another one.

    Raises:
        UserError: the name was given, and does not go with what lies there.
    """
    path, name = config.path, config.name
    kind = None if path is None or is_remote(path) else _kind_at(config)
    if kind is None or kind == name:
        check_path(config)
        return config, None
    if named:
        raise UserError(
            f"{path} is a {kind}, and data.name is {name}: leave `data.name` out, or "
            f"give `data.name` {kind}"
        )
    other = dataclasses.replace(config, name=kind)
    return other, f"{path} is a {kind}: data.name is {kind}, not {name}"


def check_path(config: DataConfig) -> None:
    """Raises UserError for a path that the source has no use for."""
    if config.path is not None and config.name in ("portraits", *POINTS):
        raise UserError(
            f"data.path {config.path} is nothing that {config.name!r} could use, which "
            "is drawn; there is no folder, zip file or prepared data at that path"
            if not Path(config.path).expanduser().exists()
            else f"data.path {config.path} is given, and {config.name!r} is drawn: set "
            "data.name to folder, zip or pyramid, or leave data.path out"
        )


def _kind_at(config: DataConfig) -> str | None:
    """folder, zip or pyramid; None if that cannot be told or the name is right."""
    path = Path(config.path or "").expanduser()
    kind = kind_of(path)
    if kind == "folder" and not path.is_dir():
        return None
    if kind == "folder" and config.dataset and not _has_pictures(path):
        return None  # the data_dir of TFDS
    return kind


def _has_pictures(path: Path) -> bool:
    with os.scandir(path) as entries:
        return any(entry.name.lower().endswith(_PICTURES) for entry in entries)
