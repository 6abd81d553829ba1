"""The reference's formula for weights, and its way of comparing."""

import json
import zlib
from pathlib import Path

import numpy as np


def make_tensor(arch: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor of the network `arch`: whole numbers over powers of two, and rows
    without most of their mean, so that any implementation makes the same bytes."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    count = int(np.prod(shape))
    random = np.random.RandomState(zlib.crc32(f"1/{arch}/{name}".encode()))
    whole = np.floor(random.random_sample(count) * 65536.0) - 32768.0
    if len(shape) > 1:
        inputs = count // shape[0]
        whole = whole.reshape(shape[0], inputs)
        centred = whole - whole.sum(1, keepdims=True) / (4.0 * inputs)
        values = centred * (np.sqrt(6.5 / inputs) / 32768.0)
    elif name.endswith("running_var"):
        values = 1.0 + whole * (0.5 / 32768.0)
    else:
        values = float(name.endswith("bn.weight")) + whole * (0.25 / 32768.0)
    return values.reshape(shape).astype(np.float32)


def weights(arch: str, shared: Path) -> dict[str, np.ndarray]:
    """All tensors of a network, each with the checksum that the reference says."""
    listed = json.loads((shared / f"reference/metrics/{arch}_keys.json").read_text())
    made = {}
    for name, entry in listed["tensors"].items():
        made[name] = make_tensor(arch, name, tuple(entry["shape"]))
        assert f"{zlib.crc32(made[name].tobytes()):08x}" == entry["crc32_le_bytes"]
    return made


def picture() -> np.ndarray:
    """An image that needs no file, uint8 `[1, 40, 50, 3]`."""
    row, column, channel = np.mgrid[:40, :50, :3]
    values = row * row + 3 * column + 50 * channel * row
    return (values % 256).astype(np.uint8)[None]


def error(found, expected) -> float:
    """The largest difference in units of the expected values' root mean square."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.sqrt((expected**2).mean()))


def relative(found, expected) -> float:
    """The largest relative difference."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    return float(np.abs(found / expected - 1).max())


def samples(nhwc, stride) -> np.ndarray:
    """What the reference keeps of a large array: every so-manieth number, NCHW."""
    nchw = np.asarray(nhwc).transpose(0, 3, 1, 2)
    return nchw.reshape(len(nchw), -1)[:, :: int(stride)]
