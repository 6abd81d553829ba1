"""Good files of every kind that a stranger may hand over, and how each is read.

Shared by the tests and by `benchmarks/fuzz.py`: a reader of damaged bytes may succeed
or raise one of our errors, nothing else.
"""

import dataclasses
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from stylegan_jax.alignment import landmarks
from stylegan_jax.classifiers import classifier, classifier_file
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.sources import open_source
from stylegan_jax.editing import direction_files
from stylegan_jax.errors import UserError
from stylegan_jax.features import exported_function, weights
from stylegan_jax.interop import exported, unpickle
from stylegan_jax.inversion import code as inversion_code
from stylegan_jax.io import images, programs
from stylegan_jax.metrics import frechet
from stylegan_jax.pickles import torch_file
from stylegan_jax.runs import run_directory
from tests import tiny

DATA = Path(__file__).parents[1] / "data"
# What a reader may raise: what the user sees as one line, or as a skipped image.
OURS = (UserError, images.UnreadableImageError)


class Kind(NamedTuple):
    """One kind of file.

    Attributes:
        suffix: of its name.
        seeds: good files.
        read: reads one from a path.
    """

    suffix: str
    seeds: tuple[bytes, ...]
    read: Callable[[Path], Any]


def kinds() -> dict[str, Kind]:
    """Every kind by name."""
    return {
        "image": Kind(".img", _pictures(), _read_image),
        "zip of images": Kind(".zip", (_zip(),), _read_zip),
        "code": Kind(".safetensors", (_code(),), inversion_code.load),
        "directions": Kind(
            ".safetensors", (_directions(),), direction_files.load_directions
        ),
        "boundary": Kind(
            ".npy",
            (_npy(np.ones((1, 8))),),
            lambda path: direction_files.read_boundary(path, space="w"),
        ),
        "landmarks": Kind(
            ".json",
            (b"[[10, 10], [20, 10], [15, 15], [11.5, 20], [19, 20]]",),
            landmarks.read_landmarks,
        ),
        "weights": Kind(".npz", (_npz(), _npz(compressed=True)), weights.read),
        "statistics": Kind(".npz", (_statistics(),), frechet.load_statistics),
        "classifiers": Kind(".safetensors", (_classifiers(),), classifier_file.load),
        "networks": Kind(".safetensors", (_networks(),), exported.load),
        "feature function": Kind(".jaxexport", (_function(),), _read_function),
        "official pickle": Kind(
            ".pkl",
            ((DATA / "official" / "stylegan_res16_labels5_gray.pkl").read_bytes(),),
            unpickle.read_networks,
        ),
        "PyTorch file": Kind(".pth", (_pytorch(),), _read_pytorch),
        "run configuration": Kind(
            ".json",
            (json.dumps({n: {} for n in run_directory._SECTIONS}).encode(),),
            _read_config,
        ),
    }


def _pictures() -> tuple[bytes, ...]:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8)
    found = []
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF"):
        stream = io.BytesIO()
        extra = {"exif": exif} if name in ("PNG", "JPEG", "WEBP", "TIFF") else {}
        Image.fromarray(pixels).save(stream, name, **extra)
        found.append(stream.getvalue())
    return tuple(found)


def _read_image(path: Path) -> Any:
    with path.open("rb") as stream:
        images.read_header(stream)
    return images.read_image(path)


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(3):
            archive.writestr(f"{i}.png", _pictures()[0])
        table = {"labels": [[f"{i}.png", i] for i in range(3)]}
        archive.writestr("dataset.json", json.dumps(table))
    return stream.getvalue()


def _read_zip(path: Path) -> Any:
    source = open_source(DataConfig(name="zip", path=str(path), labels="json"))
    return [source.image(i, 8) for i in range(len(source))]


def _code() -> bytes:
    small = inversion_code.Code(np.ones((1, 2, 4), "f"), (np.zeros((1, 4, 4, 1), "f"),))
    return _written(lambda path: inversion_code.save(path, small, {"seed": [1, 2]}))


def _directions() -> bytes:
    some = tiny.directions(4)[1:3]
    return _written(lambda path: direction_files.save_directions(path, some))


def _written(save: Callable[[Path], Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jaxexport"
        save(path)
        return path.read_bytes()


def _classifiers() -> bytes:
    params = classifier.init(jax.random.key(0), 8, 1, 2)
    stored = {"smile": classifier.Classifier(params, 2, 0.5, 8)}
    return _written(lambda path: classifier_file.save(path, stored))


def _networks() -> bytes:
    small = tiny.generator(dataclasses.replace(tiny.MODEL_8, channel_max=2))
    return _written(lambda path: exported.save(path, small))


def _function() -> bytes:
    def embed(images: jax.Array) -> jax.Array:
        return images.mean((1, 2))

    return _written(lambda path: exported_function.save(embed, path, resolution=8))


def _read_function(path: Path) -> Any:
    """Read in this process: a child for each of thousands takes hours."""
    if (problem := programs.problem(str(path), None)) is not None:
        raise UserError(problem)
    return programs.read(path, again="save")


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _npz(*, compressed: bool = False) -> bytes:
    stream = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(stream, a=np.ones((3, 4), np.float32), b=np.arange(5))
    return stream.getvalue()


def _statistics() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, count=5, mean=np.zeros(3), covariance=np.eye(3))
    return stream.getvalue()


def _pytorch() -> bytes:
    """A state dictionary of one tensor, in the layout since 1.6, by hand."""
    pickle = (
        b"\x80\x02}q\x00X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n"
        b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
        b"X\x03\x00\x00\x00cpuK\x04tQK\x00K\x02K\x02\x86K\x02K\x01\x86\x89"
        b"ccollections\nOrderedDict\n)RtRs."
    )
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/data.pkl", pickle)
        archive.writestr("a/data/0", np.arange(4, dtype="<f4").tobytes())
        archive.writestr("a/version", "3\n")
    return stream.getvalue()


def _read_pytorch(path: Path) -> Any:
    value = torch_file.read(path)
    return value["w"].array() if isinstance(value, dict) and "w" in value else value


def _read_config(path: Path) -> Any:
    run = path.parent / "run"
    run.mkdir(exist_ok=True)
    (run / "config.json").write_bytes(path.read_bytes())
    return run_directory.model_config(run)
