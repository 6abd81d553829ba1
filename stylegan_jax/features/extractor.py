"""Frozen feature networks."""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax import Array

from stylegan_jax.errors import UserError

Params = Mapping[str, Array]  # by the names of the original network


@dataclasses.dataclass(frozen=True, eq=False)
class FrozenNetwork:
    """Maps images to vectors of `size` by parameters and a pure function, jitted.

    `name` identifies it in caches and reports. Each new shape of images compiles anew.
    Products are in full float32, since measures show the loss of faster ones.
    """

    name: str
    size: int
    params: Params = dataclasses.field(repr=False)
    function: Callable[[Params, Array], Array] = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "function", jax.jit(self.function))

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
