"""Which official variable is which of our parameters, and how to read it.

A table per network. Theirs are NCHW, ours NHWC. Weights are copied raw: their
run-time coefficients are ours too, and the flipped kernels of fused up-convolutions
are left to `ModelConfig.fused_from`.

Source of names and shapes: `G_style`, `G_mapping`, `G_synthesis`, `D_basic` and
`G_paper`, `D_paper` in NVlabs/stylegan, `training/networks_stylegan.py` and
`networks_progan.py`.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from stylegan_jax.networks.config import ModelConfig, num_layers
from stylegan_jax.pickles.pickle_machine import NotAStyleGANPickleError, shown

MAX_LISTED = 20  # problems spelt out in one error


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind of variable.

    Names are patterns: `{R}` stands for every resolution, `{lod}` for its official
    number (0 is the final one) and `{i}` for every layer.

    Attributes:
        official: the official name; variables of components carry the component's
            name in front.
        ours: the path of the parameter.
        axes: the transposition from their axes to ours.
        chw_axis: an axis that flattens C, H, W (4x4) there and H, W, C here.
        unfused: the name in a ProGAN with `fused_scale=False`.
    """

    official: str
    ours: str
    axes: tuple[int, ...] | None = None
    chw_axis: int | None = None
    unfused: bool = False

    def read(self, array: np.ndarray) -> np.ndarray:
        """The official array in our layout, a float32 copy."""
        if self.axes is not None:
            array = array.transpose(self.axes)
        if self.chw_axis is not None:
            array = np.moveaxis(array, self.chw_axis, 0)
            cells = array.reshape(-1, 4, 4, array.shape[1]).transpose(1, 2, 0, 3)
            array = np.moveaxis(cells.reshape(array.shape), 0, self.chw_axis)
        return np.array(array, np.float32, order="C")

    def write(self, array: np.ndarray) -> np.ndarray:
        """Our array in the official layout, in C order: undoes `read`."""
        if self.chw_axis is not None:
            array = np.moveaxis(array, self.chw_axis, 0)
            cells = array.reshape(4, 4, -1, array.shape[1]).transpose(2, 0, 1, 3)
            array = np.moveaxis(cells.reshape(array.shape), 0, self.chw_axis)
        if self.axes is not None:
            array = array.transpose(np.argsort(self.axes))
        return np.asarray(array, np.float32, order="C")

    def official_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The official shape of what is `shape` here."""
        if self.axes is None:
            return shape
        return tuple(shape[self.axes.index(axis)] for axis in range(len(shape)))


_NCHW = (0, 2, 3, 1)
UNFUSED = "{R}x{R}/Conv0"
_LAYERS = {
    "4x4/Const": "block4/const",
    "4x4/Dense": "block4/dense",
    "4x4/Conv": "block4/conv",
    "{R}x{R}/Conv0_up": "block{R}/conv0",
    UNFUSED: "block{R}/conv0",  # ProGAN without fused_scale
    "{R}x{R}/Conv1": "block{R}/conv1",
}
_EPILOGUE = {
    "Noise/weight": "noise_weight",
    "bias": "bias",
    "StyleMod/weight": "style/weight",
    "StyleMod/bias": "style/bias",
}
_CONST = Row("synthesis/4x4/Const/const", "synthesis/block4/const/const", axes=_NCHW)

GENERATOR = (
    Row("dlatent_avg", "w_avg"),
    Row("mapping/LabelConcat/weight", "mapping/label_concat/weight"),
    Row("mapping/Dense{i}/weight", "mapping/dense{i}/weight"),
    Row("mapping/Dense{i}/bias", "mapping/dense{i}/bias"),
    Row("synthesis/noise{i}", "noise/{i}", axes=_NCHW),
    _CONST,
    *(
        Row(
            f"synthesis/{layer}/weight",
            f"synthesis/{module}/weight",
            chw_axis=1 if layer == "4x4/Dense" else None,
            unfused=layer == UNFUSED,
        )
        for layer, module in _LAYERS.items()
    ),
    *(
        Row(
            f"synthesis/{layer}/{part}",
            f"synthesis/{module}/{name}",
            unfused=layer == UNFUSED,
        )
        for layer, module in _LAYERS.items()
        for part, name in _EPILOGUE.items()
    ),
    Row("synthesis/ToRGB_lod{lod}/weight", "synthesis/to_rgb{R}/weight"),
    Row("synthesis/ToRGB_lod{lod}/bias", "synthesis/to_rgb{R}/bias"),
)

# tkarras/progressive_growing_of_gans keeps up-convolutions as [3, 3, out, in].
UP_WEIGHT = "synthesis/{R}x{R}/Conv0_up/weight"
GENERATOR_OUT_IN = tuple(
    dataclasses.replace(row, axes=(0, 1, 3, 2)) if row.official == UP_WEIGHT else row
    for row in GENERATOR
)

DISCRIMINATOR = tuple(
    Row(
        f"{layer}/{part}",
        f"{module}/{part}",
        chw_axis=0 if (layer, part) == ("4x4/Dense0", "weight") else None,
        unfused=(module, layer) == ("block{R}/conv1", "{R}x{R}/Conv1"),
    )
    for layer, module in {
        "FromRGB_lod{lod}": "from_rgb{R}",
        "{R}x{R}/Conv0": "block{R}/conv0",
        "{R}x{R}/Conv1_down": "block{R}/conv1",
        "{R}x{R}/Conv1": "block{R}/conv1",  # ProGAN without fused_scale
        "4x4/Conv": "block4/conv",
        "4x4/Dense0": "block4/dense0",
        "4x4/Dense1": "block4/dense1",
    }.items()
    for part in ("weight", "bias")
)

# Where in its growth the network is; `stylegan_tf.growth` reads the outer one.
STATE = frozenset({"lod", "synthesis/lod"})


def names(rows: tuple[Row, ...], config: ModelConfig) -> dict[str, tuple[str, Row]]:
    """Every official name the rows stand for: to our path, and the row."""
    spelt: dict[str, tuple[str, Row]] = {}
    for row in rows:
        for lod, resolution in enumerate(reversed(config.resolutions)):
            for i in range(max(num_layers(config.resolution), config.mapping_layers)):
                values = {"R": resolution, "lod": lod, "i": i}
                official = row.official.format(**values)
                spelt.setdefault(official, (row.ours.format(**values), row))
    return spelt


def match(
    variables: Mapping[str, np.ndarray],
    rows: tuple[Row, ...],
    shapes: Mapping[str, tuple[int, ...]],
    config: ModelConfig,
) -> dict[str, np.ndarray]:
    """Reads every variable into its parameter, each exactly once.

    Args:
        variables: by official name.
        rows: the table to use.
        shapes: of all our parameters by path.
        config: the architecture.

    Returns:
        Our parameters by path, float32.

    Raises:
        NotAStyleGANPickleError: variables are missing, left over, given twice, of a
            wrong shape or not numbers; the message lists them.
    """
    wanted = {
        official: (path, row)
        for official, (path, row) in names(rows, config).items()
        if path in shapes
    }
    found: dict[str, np.ndarray] = {}
    problems: list[str] = []
    seen: set[str] = set()
    for official, array in variables.items():
        if official in STATE:
            continue
        path, row = wanted.get(official, (None, None))
        if path is None or row is None or path in seen:
            problems.append(f"{shown(official)} {array.shape} has no place")
            continue
        seen.add(path)
        expected = row.official_shape(shapes[path])
        if array.shape != expected:
            problems.append(f"{official} is {array.shape}, expected {expected}")
        elif array.dtype.kind != "f":
            problems.append(f"{official} holds {array.dtype}, expected floats")
        else:
            found[path] = row.read(array)
    by_path = {path: (official, row) for official, (path, row) in wanted.items()}
    for path in sorted(shapes.keys() - seen):
        official, row = by_path[path]
        problems.append(f"{official} {row.official_shape(shapes[path])} is missing")
    if problems:
        more = len(problems) - MAX_LISTED
        listed = "; ".join(problems[:MAX_LISTED]) + (f"; {more} more" * (more > 0))
        raise NotAStyleGANPickleError(
            f"{len(problems)} variables do not fit the network described: {listed}"
        )
    return found


def spell(
    arrays: Mapping[str, np.ndarray],
    rows: tuple[Row, ...],
    config: ModelConfig,
    *,
    unfused: bool = False,
) -> dict[str, np.ndarray]:
    """The official variables of our parameters: undoes `match`.

    Args:
        arrays: all our parameters by path.
        rows: the table to use.
        config: the architecture.
        unfused: give layers that resample their names of `fused_scale=False`.

    Returns:
        By official name, float32, in the official layout.
    """
    places: dict[str, tuple[str, Row]] = {}
    for official, (path, row) in names(rows, config).items():
        if path not in places or row.unfused == unfused:
            places[path] = (official, row)
    return {
        official: row.write(arrays[path])
        for path, (official, row) in places.items()
        if path in arrays
    }
