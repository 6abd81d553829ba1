"""The Inception network of 2015 as a table.

Source: Szegedy et al. 2016, table 1 and figures 5 to 7; names and what the paper
leaves open from torchvision's `inception.py` and mseitzer/pytorch-fid's.
"""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Conv:
    """Convolution, batch normalisation, ReLU.

    Attributes:
        name: the last part of it.
        width: channels that come out.
        kernel: height and width.
        stride: None keeps the size; a stride goes with no padding.
    """

    name: str
    width: int
    kernel: tuple[int, int] = (1, 1)
    stride: int | None = None


@dataclasses.dataclass(frozen=True)
class Pool:
    """Maximum or mean of 3 x 3 pixels.

    Attributes:
        kind: which.
        stride: as in `Conv`.
    """

    kind: Literal["max", "avg"]
    stride: int | None = None


@dataclasses.dataclass(frozen=True)
class Fork:
    """Branches side by side, each a row of layers; their channels are joined.

    Attributes:
        prefix: of the names in them.
        branches: in the order in which they are joined.
    """

    prefix: str
    branches: tuple[tuple["Layer", ...], ...]


Layer = Conv | Pool | Fork


def _c3(name: str, width: int, stride: int | None = None) -> Conv:
    return Conv(name, width, (3, 3), stride)


def _row(name: str, width: int, length: int = 7) -> Conv:
    return Conv(name, width, (1, length))


def _column(name: str, width: int, length: int = 7) -> Conv:
    return Conv(name, width, (length, 1))


def _block_35(name: str, pool_width: int) -> Fork:
    """At 35 x 35 pixels: 5 x 5 beside 3 x 3 twice (figure 5)."""
    return Fork(
        f"{name}.",
        (
            (Conv("branch1x1", 64),),
            (Conv("branch5x5_1", 48), Conv("branch5x5_2", 64, (5, 5))),
            (
                Conv("branch3x3dbl_1", 64),
                _c3("branch3x3dbl_2", 96),
                _c3("branch3x3dbl_3", 96),
            ),
            (Pool("avg"), Conv("branch_pool", pool_width)),
        ),
    )


def _block_17(name: str, inner: int) -> Fork:
    """At 17 x 17: 7 x 7 as a row and a column, once and twice (figure 6)."""
    return Fork(
        f"{name}.",
        (
            (Conv("branch1x1", 192),),
            (
                Conv("branch7x7_1", inner),
                _row("branch7x7_2", inner),
                _column("branch7x7_3", 192),
            ),
            (
                Conv("branch7x7dbl_1", inner),
                _column("branch7x7dbl_2", inner),
                _row("branch7x7dbl_3", inner),
                _column("branch7x7dbl_4", inner),
                _row("branch7x7dbl_5", 192),
            ),
            (Pool("avg"), Conv("branch_pool", 192)),
        ),
    )


def _block_8(name: str, pool: Literal["max", "avg"]) -> Fork:
    """At 8 x 8: a row and a column side by side (figure 7)."""
    return Fork(
        f"{name}.",
        (
            (Conv("branch1x1", 320),),
            (Conv("branch3x3_1", 384), _cross("branch3x3_2")),
            (
                Conv("branch3x3dbl_1", 448),
                _c3("branch3x3dbl_2", 384),
                _cross("branch3x3dbl_3"),
            ),
            (Pool(pool), Conv("branch_pool", 192)),
        ),
    )


def _cross(name: str) -> Fork:
    return Fork(name, ((_row("a", 384, 3),), (_column("b", 384, 3),)))


_TO_17 = Fork(
    "Mixed_6a.",
    (
        (_c3("branch3x3", 384, stride=2),),
        (
            Conv("branch3x3dbl_1", 64),
            _c3("branch3x3dbl_2", 96),
            _c3("branch3x3dbl_3", 96, stride=2),
        ),
        (Pool("max", stride=2),),
    ),
)
_TO_8 = Fork(
    "Mixed_7a.",
    (
        (Conv("branch3x3_1", 192), _c3("branch3x3_2", 320, stride=2)),
        (
            Conv("branch7x7x3_1", 192),
            _row("branch7x7x3_2", 192),
            _column("branch7x7x3_3", 192),
            _c3("branch7x7x3_4", 192, stride=2),
        ),
        (Pool("max", stride=2),),
    ),
)

LAYERS: tuple[Layer, ...] = (
    _c3("Conv2d_1a_3x3", 32, stride=2),
    _c3("Conv2d_2a_3x3", 32, stride=1),
    _c3("Conv2d_2b_3x3", 64),
    Pool("max", stride=2),
    Conv("Conv2d_3b_1x1", 80),
    _c3("Conv2d_4a_3x3", 192, stride=1),
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
