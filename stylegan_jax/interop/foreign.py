"""Tables between variables of other projects and a generator's parameters.

Foreign arrays are NCHW, ours NHWC. Weights are copied raw: run-time coefficients are
the same, and `ModelConfig.fused_from` handles flipped kernels of fused
up-convolutions.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.interop.bundle import build_generator, check_fit, generator_shapes
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator

Variables = dict[str, np.ndarray]

MAX_MAPPING_LAYERS = 64
_BLUR = np.outer([1, 2, 1], [1, 2, 1]) / 16

# Foreign axes to ours.
NCHW = (0, 2, 3, 1)
OUT_IN = (1, 0)
OUT_IN_HW = (2, 3, 1, 0)
IN_OUT_HW = (2, 3, 0, 1)


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind of variable: foreign name `theirs`, path `ours`.

    Patterns in names: `{R}` is every resolution, `{lod}` its official number (0 is the
    final one), `{block}` counts them from 0, `{first}` and `{second}` are the paths of
    its layers; `{i}` is every layer, `{layer}` its path, `{odd}` is 2i + 1.

    Attributes:
        axes: transposition from their axes to ours.
        chw_axis: an axis that flattens C, H, W (4x4) there and H, W, C here.
        unfused: foreign name in a ProGAN with `fused_scale=False`.
    """

    theirs: str
    ours: str
    axes: tuple[int, ...] | None = None
    chw_axis: int | None = None
    unfused: bool = False

    def read(self, array: np.ndarray) -> np.ndarray:
        """Foreign array in our layout, a float32 copy."""
        if self.axes is not None:
            array = array.transpose(self.axes)
        if self.chw_axis is not None:
            array = _split(array, self.chw_axis, (-1, 4, 4), (1, 2, 0, 3))
        return np.array(array, np.float32, order="C")

    def write(self, array: np.ndarray) -> np.ndarray:
        """Inverse of `read`, in C order."""
        if self.chw_axis is not None:
            array = _split(array, self.chw_axis, (4, 4, -1), (2, 0, 1, 3))
        if self.axes is not None:
            array = array.transpose(np.argsort(self.axes))
        return np.asarray(array, np.float32, order="C")

    def their_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Foreign shape of our `shape`."""
        if self.axes is None:
            return shape
        return tuple(shape[self.axes.index(axis)] for axis in range(len(shape)))


def _split(
    array: np.ndarray, axis: int, parts: tuple[int, int, int], order: tuple[int, ...]
) -> np.ndarray:
    array = np.moveaxis(array, axis, 0)
    cells = array.reshape(*parts, array.shape[1]).transpose(order)
    return np.moveaxis(cells.reshape(array.shape), 0, axis)


def names(rows: Sequence[Row], config: ModelConfig) -> dict[str, tuple[str, Row]]:
    """All foreign names of the rows: to our path, and the row."""
    first = "const" if config.const_input else "dense"
    paths = [f"synthesis/block4/{first}", "synthesis/block4/conv"]
    for size in config.resolutions[1:]:
        paths += [f"synthesis/block{size}/conv{i}" for i in (0, 1)]
    sizes, patterns = config.resolutions, []
    for i in range(max(len(paths), config.mapping_layers)):
        block = min(i, len(sizes) - 1)
        values = {"i": i, "odd": 2 * i + 1, "layer": "".join(paths[i : i + 1])}
        values |= {"block": block, "R": sizes[block], "lod": len(sizes) - 1 - block}
        values |= {"first": paths[2 * block], "second": paths[2 * block + 1]}
        patterns.append(values)
    spelt: dict[str, tuple[str, Row]] = {}
    for row in rows:
        for values in patterns:
            theirs = row.theirs.format(**values)
            spelt.setdefault(theirs, (row.ours.format(**values), row))
    return spelt


def match(
    variables: Variables,
    rows: Sequence[Row],
    shapes: Mapping[str, tuple[int, ...]],
    config: ModelConfig,
) -> dict[str, np.ndarray]:
    """Parameters by path, float32, each read from exactly one variable.

    `shapes` are those of all parameters. Raises UserError that lists
    variables missing, left over, given twice, of a wrong shape or not numbers.
    """
    # Of several names of a parameter, the one present counts.
    chosen: dict[str, tuple[str, Row]] = {}
    for theirs, (path, row) in names(rows, config).items():
        if path in shapes and (path not in chosen or chosen[path][0] not in variables):
            chosen[path] = theirs, row
    wanted = {name: row.their_shape(shapes[p]) for p, (name, row) in chosen.items()}
    found = {name: (x.shape, x.dtype.name) for name, x in variables.items()}
    check_fit(found, wanted, kind="variables")
    return {path: row.read(variables[name]) for path, (name, row) in chosen.items()}


def spell(
    arrays: Variables,
    rows: Sequence[Row],
    config: ModelConfig,
    *,
    unfused: bool = False,
) -> dict[str, np.ndarray]:
    """Inverse of `match`; `unfused` uses the names of `fused_scale=False`."""
    places: dict[str, tuple[str, Row]] = {}
    for theirs, (path, row) in names(rows, config).items():
        if path not in places or row.unfused == unfused:
            places[path] = (theirs, row)
    return {
        theirs: row.write(arrays[path])
        for path, (theirs, row) in places.items()
        if path in arrays
    }


def growth(lod: np.ndarray | float, resolution: int) -> tuple[int, float | None]:
    """Active resolution and fade-in (None: stable) at an official level of detail."""
    value = float(lod) if np.ndim(lod) == 0 else math.nan
    coarsest = math.log2(resolution) - 2
    if not 0 <= value <= coarsest:
        raise UserError(f"lod is {value:g}, not 0 to {coarsest:g}")
    fade = value % 1
    return resolution >> math.floor(value), None if fade == 0 else 1 - fade


def generator(
    variables: Variables,
    rows: Sequence[Row],
    config: ModelConfig,
    *,
    lod: np.ndarray | float = 0,
    has_w_avg: bool = True,
    absent: Variables | None = None,
) -> Generator:
    """Generator of all variables, each read exactly once; raises as `match`.

    `rows` lead to parameters, "w_avg" and "noise/3"; `lod` is the official level of
    detail; `has_w_avg` is False for ProGAN; `absent` are arrays that such files lack,
    in our layout.
    """
    absent = absent or {}
    shapes = generator_shapes(config, has_w_avg=has_w_avg)
    wanted = {path: shape for path, shape in shapes.items() if path not in absent}
    resolution, alpha = growth(lod, config.resolution)
    arrays = {**match(variables, rows, wanted, config), **absent}
    return build_generator(arrays, config, resolution=resolution, alpha=alpha)


# --- PyTorch -----------------------------------------------------------------------


def shape_of(found: Variables, name: str, ndim: int) -> tuple[int, ...]:
    """Shape of a required array of `ndim` axes."""
    array = found.get(name)
    if array is None or array.ndim != ndim:
        what = "is missing" if array is None else f"is {array.shape}, not {ndim}-D"
        raise UserError(f"{name} {what}")
    return array.shape


def count_of(found: Variables, name: str, limit: int) -> int:
    """Number of arrays `name`, whose `{i}` counts from 0; 1 to `limit`."""
    count = 0
    while name.format(i=count) in found and count <= limit:
        count += 1
    if not 1 <= count <= limit:
        raise UserError(f"there are {count} of {name.format(i='N')}, not 1 to {limit}")
    return count


def channel_rule(widths: Mapping[int, int]) -> tuple[int, int]:
    """`channel_base` and `channel_max` that give these channels by resolution."""
    channel_max = max(widths.values())
    channel_base = max(size * width for size, width in widths.items())
    for size, width in widths.items():
        if min(channel_base // size, channel_max) != width:
            raise UserError(
                f"{width} channels at {size} px are not min({channel_base} / {size}, "
                f"{channel_max}): its widths follow no rule of StyleGAN's"
            )
    return channel_base, channel_max


def drop_blur(found: Variables, names: Sequence[str]) -> None:
    """Removes stored low-pass filters, which must be [1, 2, 1]."""
    for name in names:
        kernel = found.pop(name, None)
        if kernel is None or kernel.ndim != 4 or kernel.shape[1:] != (1, 3, 3):
            raise UserError(f"{name} is missing or no 3x3 filter")
        if not np.allclose(kernel, _BLUR, rtol=1e-3):
            raise UserError(f"{name} is another filter than [1, 2, 1]")
