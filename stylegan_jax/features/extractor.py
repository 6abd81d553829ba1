"""Networks that turn images into vectors: the protocol, and frozen ones.

Anything with a `name`, a `size` and a call is an `Extractor`, a network of your own
included; `FrozenNetwork` makes one of parameters and a function.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Protocol

import jax
import numpy as np
from jax import Array

from stylegan_jax.errors import UserError

Params = Mapping[str, Array]  # by the names of the original network


class Extractor(Protocol):
    """Turns images into vectors.

    Attributes:
        name: says which network and layer, for caches and reports.
        size: of a vector.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def size(self) -> int: ...  # noqa: D102

    def __call__(self, images: np.ndarray | Array) -> Array:
        """Images `[N, H, W, 3]`, uint8, to vectors `[N, size]`, float32."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class FrozenNetwork:
    """An `Extractor` of parameters and a pure function, compiled when it is called.

    Every new shape of images is compiled anew, so keep to one batch size. Products
    are in full float32 on every device: what faster ones lose shows in the measures.

    Attributes:
        name: says which network and layer.
        size: of a vector.
        params: what `function` is given first.
        function: parameters and uint8 images `[N, H, W, 3]` to `[N, size]`.
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
        """Images `[N, H, W, 3]`, uint8, to vectors `[N, size]`, float32.

        Raises:
            UserError: other images.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise UserError(
                f"{self.name} was given {images.dtype} {images.shape}; it takes uint8 "
                "[N, H, W, 3] (grey images three times, [-1, 1] through "
                "io.images.to_uint8)"
            )
        with jax.default_matmul_precision("highest"):
            return self.function(self.params, jax.device_put(images))
