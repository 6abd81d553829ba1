"""Pictures, folders and zip files that tests of the data make."""

import zipfile
from pathlib import Path

import numpy as np

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.sources import open_source
from stylegan_jax.io.images import encode_png


def picture(seed: int, size: int = 16, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (size, size, channels), dtype=np.uint8)


def pictures(count: int, size: int = 16) -> dict[str, bytes]:
    return {f"{i}.png": encode_png(picture(i, size)) for i in range(count)}


def fill(folder: Path, files: dict[str, bytes | str] | list[str]) -> Path:
    """Writes files, or pictures of these names and of seeds that count from 0."""
    if isinstance(files, list):
        files = {name: encode_png(picture(i)) for i, name in enumerate(files)}
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


def make_zip(path: Path, files: dict[str, bytes | str], **options) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def opened(path: Path, **options):
    """The folder or zip file as a source."""
    name = "zip" if path.suffix == ".zip" else "folder"
    return open_source(DataConfig(name=name, path=str(path), **options))


def labels_of(source) -> list[list[float]]:
    return [source.label(i).tolist() for i in range(len(source))]
