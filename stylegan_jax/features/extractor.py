"""Protocol of feature networks, and frozen networks."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Protocol

import jax
import numpy as np
from jax import Array

from stylegan_jax.errors import UserError

Params = Mapping[str, Array]  # by the names of the original network


class Extractor(Protocol):
    """Maps images to vectors of `size`; `name` identifies it in caches and reports."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def size(self) -> int: ...  # noqa: D102

    def __call__(self, images: np.ndarray | Array) -> Array:
        """Vectors `[N, size]`, float32, of uint8 images `[N, H, W, 3]`."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class FrozenNetwork:
    """`Extractor` of parameters and a pure function, jitted.

    Each new shape of images compiles anew. Products are in full float32 on every
    device, since measures show the loss of faster ones.
    """

    name: str
    size: int
    params: Params
    function: Callable[[Params, Array], Array] = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "function", jax.jit(self.function))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, size={self.size})"

    def __call__(self, images: np.ndarray | Array) -> Array:
        """Vectors `[N, size]`, float32, of uint8 images `[N, H, W, 3]`."""
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise UserError(
                f"{self.name} was given {images.dtype} {images.shape}; it takes uint8 "
                "[N, H, W, 3] (grey images three times, [-1, 1] through "
                "io.images.to_uint8)"
            )
        with jax.default_matmul_precision("highest"):
            return self.function(self.params, jax.device_put(images))
