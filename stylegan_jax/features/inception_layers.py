"""Layer table of the Inception network of 2015.

Source: Szegedy et al. 2016, table 1 and figures 5 to 7; torchvision's `inception.py`
and mseitzer/pytorch-fid's.
"""

from typing import Literal, NamedTuple


class Conv(NamedTuple):
    """Convolution, batch normalisation, ReLU; a stride of None keeps the size.

    `kernel` is height and width; other strides have no padding.
    """

    name: str
    width: int
    kernel: tuple[int, int] = (1, 1)
    stride: int | None = None


class Pool(NamedTuple):
    """Max or average pooling of 3 x 3 pixels; `stride` as in `Conv`."""

    kind: Literal["max", "avg"]
    stride: int | None = None


class Fork(NamedTuple):
    """Parallel branches of layers, concatenated along channels in order."""

    prefix: str
    branches: tuple[tuple["Conv | Pool | Fork", ...], ...]


Layer = Conv | Pool | Fork
_Row = tuple[Layer, ...]


def _row(prefix: str, *layers: tuple[int, int, int], stride: int | None = None) -> _Row:
    """Convolutions `prefix_1`, ... of (width, kernel); `stride` is of the last."""
    row = [Conv(f"{prefix}_{i}", x, (h, w)) for i, (x, h, w) in enumerate(layers, 1)]
    return (*row[:-1], row[-1]._replace(stride=stride))


def _block_35(name: str, pool_width: int) -> Fork:
    """At 35 x 35 pixels (figure 5)."""
    return Fork(
        f"{name}.",
        (
            (Conv("branch1x1", 64),),
            _row("branch5x5", (48, 1, 1), (64, 5, 5)),
            _row("branch3x3dbl", (64, 1, 1), (96, 3, 3), (96, 3, 3)),
            (Pool("avg"), Conv("branch_pool", pool_width)),
        ),
    )


def _block_17(name: str, inner: int) -> Fork:
    """At 17 x 17 pixels (figure 6)."""
    first, across, down = (inner, 1, 1), (inner, 1, 7), (inner, 7, 1)
    return Fork(
        f"{name}.",
        (
            (Conv("branch1x1", 192),),
            _row("branch7x7", first, across, (192, 7, 1)),
            _row("branch7x7dbl", first, down, across, down, (192, 1, 7)),
            (Pool("avg"), Conv("branch_pool", 192)),
        ),
    )


def _block_8(name: str, pool: Literal["max", "avg"]) -> Fork:
    """At 8 x 8 pixels (figure 7)."""
    double = _row("branch3x3dbl", (448, 1, 1), (384, 3, 3))
    return Fork(
        f"{name}.",
        (
            (Conv("branch1x1", 320),),
            (Conv("branch3x3_1", 384), _cross("branch3x3_2")),
            (*double, _cross("branch3x3dbl_3")),
            (Pool(pool), Conv("branch_pool", 192)),
        ),
    )


def _cross(name: str) -> Fork:
    return Fork(name, ((Conv("a", 384, (1, 3)),), (Conv("b", 384, (3, 1)),)))


_TO_17 = Fork(
    "Mixed_6a.",
    (
        (Conv("branch3x3", 384, (3, 3), 2),),
        _row("branch3x3dbl", (64, 1, 1), (96, 3, 3), (96, 3, 3), stride=2),
        (Pool("max", stride=2),),
    ),
)
_SEVENS = ((192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3))
_TO_8 = Fork(
    "Mixed_7a.",
    (
        _row("branch3x3", (192, 1, 1), (320, 3, 3), stride=2),
        _row("branch7x7x3", *_SEVENS, stride=2),
        (Pool("max", stride=2),),
    ),
)

LAYERS: tuple[Layer, ...] = (
    Conv("Conv2d_1a_3x3", 32, (3, 3), 2),
    Conv("Conv2d_2a_3x3", 32, (3, 3), 1),
    Conv("Conv2d_2b_3x3", 64, (3, 3)),
    Pool("max", stride=2),
    Conv("Conv2d_3b_1x1", 80),
    Conv("Conv2d_4a_3x3", 192, (3, 3), 1),
    Pool("max", stride=2),
    _block_35("Mixed_5b", 32),
    _block_35("Mixed_5c", 64),
    _block_35("Mixed_5d", 64),
    _TO_17,
    _block_17("Mixed_6b", 128),
    _block_17("Mixed_6c", 160),
    _block_17("Mixed_6d", 160),
    _block_17("Mixed_6e", 192),
    _TO_8,
    _block_8("Mixed_7b", "avg"),
    _block_8("Mixed_7c", "max"),  # the mean in Inception v3 proper
)
