"""Directions in latent space, and moves along them.

A direction is a unit vector in w (or z), added to some or all layers of a code:

- *relative*: the code moves by `amount`;
- *absolute*: it moves until its signed distance from the direction's plane is `amount`.

InterFaceGAN's `linear_interpolate` is absolute for `[1, D]` and relative for
`[1, L, D]`; here the argument has no default. Axes: N batch, L layers, D dimensions.

Source: Shen et al. 2020, "InterFaceGAN", section 3; genforce/interfacegan,
`utils/manipulator.py`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal, NoReturn

import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.inversion.code import Code
from stylegan_jax.io.summary import short_repr

Distance = Literal["relative", "absolute"]
Space = Literal["w", "z"]

_TOLERANCE = 1e-6  # of a squared sine: below it two directions are the same


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Direction:
    """A unit vector, and the plane `x . vector + intercept = 0` that it is normal to.

    UserError if the vector is not finite, is zero, or does not fit the layers.
    """

    name: str
    # float64 [D], or [L, D] with a row per layer; normalised. The length of [L, D] is
    # the root mean square of the rows of `layers`: equal rows equal one of them.
    vector: np.ndarray
    space: Space = "w"
    layers: tuple[int, ...] | None = None  # from 0; None is all, the only choice in z
    # For the vector as given; divided by its length. Public boundaries have none:
    # their planes go through the origin.
    intercept: float = 0.0
    # Deviation along it of random samples, or of pairs without and with the attribute:
    # a natural step; a distance, so not divided.
    std: float | None = None
    provenance: str = ""  # a line for people

    __repr__ = short_repr

    def __post_init__(self) -> None:
        vector = np.array(self.vector, np.float64)
        if vector.ndim not in (1, 2) or not vector.size:
            self.refuse(f"has shape {vector.shape}, not [w_dim] or [layers, w_dim]")
        if self.space not in ("w", "z"):
            self.refuse(f"has space {self.space!r}, which is not w or z")
        if self.space == "z" and (vector.ndim == 2 or self.layers is not None):
            self.refuse("is in z, which has no layers; give one [z_dim] and no layers")
        if self.layers is not None:
            high = len(vector) if vector.ndim == 2 else np.inf
            known = all(0 <= layer < high for layer in self.layers)
            if not known or not 0 < len(self.layers) == len(set(self.layers)):
                self.refuse(
                    f"has layers {list(self.layers)}; they must be different, from 0 "
                    f"to {high - 1}"
                )
        rows = _acting(vector, self.layers)
        length = float(np.sqrt(np.mean(np.sum(rows**2, axis=1))))
        if not np.isfinite(vector).all() or not np.isfinite(self.intercept):
            self.refuse("has numbers that are not finite")
        if not length > 0:
            self.refuse("is zero, which points nowhere")
        if self.std is not None and not 0 < self.std < np.inf:
            self.refuse(f"has std {self.std}, which is not positive")
        vector = vector / length
        vector.setflags(write=False)
        object.__setattr__(self, "vector", vector)
        object.__setattr__(self, "intercept", float(self.intercept) / length)

    def require_dim(self, size: int) -> None:
        """Raises UserError unless the network's latents have `size` dimensions."""
        if self.dim != size:
            self.refuse(
                f"has {self.dim} numbers and this network's {self.space} {size}; it "
                "belongs to another network"
            )

    def refuse(self, reason: str) -> NoReturn:
        """Raises UserError."""
        raise UserError(f"direction {self.name!r} {reason}")

    @property
    def dim(self) -> int:
        """Number of latent dimensions."""
        return self.vector.shape[-1]

    @property
    def mean_row(self) -> np.ndarray:
        """`[D]`; a code with one w for all layers is at `w . mean_row + intercept`."""
        return _acting(self.vector, self.layers).mean(axis=0)

    def rows(self, num_layers: int, layers: Sequence[int] | None = None) -> np.ndarray:
        """The step of each layer for an amount of 1, float64 `[L, D]`."""
        if self.space == "z":
            self.refuse("is in z; add it to z before mapping")
        if self.vector.ndim == 2 and len(self.vector) != num_layers:
            self.refuse(
                f"is for {len(self.vector)} layers, and these codes have {num_layers}"
            )
        full = np.broadcast_to(self.vector, (num_layers, self.dim))
        layers = self.layers if layers is None else tuple(layers)
        chosen = list(range(num_layers) if layers is None else layers)
        if not chosen or not set(chosen) <= set(range(num_layers)):
            self.refuse(f"has layers {chosen}, not some of 0 to {num_layers - 1}")
        return np.where(np.isin(np.arange(num_layers), chosen)[:, None], full, 0.0)


def _acting(vector: np.ndarray, layers: tuple[int, ...] | None) -> np.ndarray:
    rows = np.atleast_2d(vector)
    return rows if layers is None or vector.ndim == 1 else rows[list(layers)]


def apply(
    codes: Array | np.ndarray,
    direction: Direction,
    amount: Array | np.ndarray | float,
    *,
    distance: Distance,
    layers: Sequence[int] | None = None,
) -> Array:
    """Codes `[N, L, D]` in w, or `[N, D]` in z or w, moved along a direction.

    Pure; jit it with `direction` closed over. All acting layers move by the same
    multiple of the vector, so differences between layers stay.

    Args:
        amount: scalar or `[N]`, in units of the latent space; `amount * direction.std`
            counts standard deviations.
        distance: "relative" adds `amount`; "absolute" moves to that `signed_distance`.

    UserError for mismatched sizes or layers, or another `distance`.
    """
    if distance not in ("relative", "absolute"):
        raise UserError(f"distance {distance!r} is not relative or absolute")
    codes = jnp.asarray(codes)
    rows = _rows_for(codes.shape, direction, layers)
    steps = jnp.broadcast_to(jnp.asarray(amount, codes.dtype), (codes.shape[0],))
    if distance == "absolute":
        steps = steps - signed_distance(codes, direction, layers=layers)
    moved = steps.reshape(-1, *[1] * (codes.ndim - 1))
    return codes + moved * jnp.asarray(rows, codes.dtype)[None]


def move(code: Code, direction: Direction, amount: Array | float) -> Code:
    """`apply`, relative, of a `Code` by a scalar or `[N]`; noise stays."""
    return Code(apply(code.ws, direction, amount, distance="relative"), code.noise)


def signed_distance(
    codes: Array | np.ndarray,
    direction: Direction,
    *,
    layers: Sequence[int] | None = None,
) -> Array:
    """Signed distance of codes from the plane, `[N]`; a mean over acting layers."""
    codes = jnp.asarray(codes)
    rows = jnp.asarray(_rows_for(codes.shape, direction, layers), codes.dtype)
    axes = tuple(range(1, codes.ndim))
    along = jnp.sum(codes * rows[None], axes)
    return along / jnp.sum(rows**2) + direction.intercept


def _rows_for(
    shape: tuple[int, ...], direction: Direction, layers: Sequence[int] | None
) -> np.ndarray:
    """`[D]` for codes `[N, D]`, `[L, D]` for `[N, L, D]`."""
    if len(shape) not in (2, 3) or shape[-1] != direction.dim:
        direction.refuse(
            f"has {direction.dim} dimensions and does not fit codes of shape "
            f"{tuple(shape)}; it belongs to another network"
        )
    if len(shape) == 3:
        return direction.rows(shape[1], layers)
    if direction.vector.ndim == 2 or direction.layers or layers is not None:
        direction.refuse(
            f"acts on layers, and codes of shape {tuple(shape)} have none; give one w "
            "per layer"
        )
    return direction.vector


def condition(
    primary: Direction, others: Sequence[Direction], *, name: str | None = None
) -> Direction:
    """The direction nearest to `primary` that is orthogonal to all `others`.

    It acts in the layers of `primary`; its plane contains the planes' intersection.
    `name` is by default as in InterFaceGAN, `smile_c_age_gender`. UserError for other
    spaces or sizes, or nothing is left of `primary`.

    Source: InterFaceGAN, section 3.2, equation 7 for one condition and its
    `project_boundary`; for several the orthogonal projection, by least squares.
    """
    if not others:
        return primary
    every = [primary, *others]
    for other in others:
        if (other.space, other.dim) != (primary.space, primary.dim):
            other.refuse(
                f"({other.dim} numbers in {other.space}) cannot be kept from "
                f"{primary.name!r} ({primary.dim} in {primary.space})"
            )
    deep = {len(d.vector) for d in every if d.vector.ndim == 2}
    if len(deep) > 1:
        raise UserError(f"directions of {primary.name!r} have other numbers of layers")
    if deep:
        rows = np.stack([d.rows(max(deep)) for d in every])
        acts = rows[0].any(axis=1, keepdims=True)
        whole, touched = rows * acts, (rows[1:] * acts).any(axis=(1, 2))
    else:
        whole = np.stack([d.vector for d in every])
        touched = np.array([_share_layers(primary, d) for d in others])
    flat = whole.reshape(len(whole), -1)
    kept = flat[1:][touched].T
    parts, *_ = np.linalg.lstsq(kept, flat[0], rcond=None)
    rest = flat[0] - kept @ parts
    if np.sum(rest**2) < _TOLERANCE * np.sum(flat[0] ** 2):
        names = ", ".join(d.name for d in others)
        raise UserError(
            f"nothing is left of {primary.name!r} without {names}; drop one of them"
        )
    # A distance is a mean over layers, so that those of fewer layers count for less.
    weights = parts * np.sum(kept**2, axis=0) / np.sum(flat[0] ** 2)
    planes = np.array([d.intercept for d in others])[touched]
    return dataclasses.replace(
        primary,
        name=name or f"{primary.name}_c_{'_'.join(d.name for d in others)}",
        vector=rest.reshape(whole.shape[1:]),
        intercept=primary.intercept - float(weights @ planes),
        std=None,
    )


def _share_layers(a: Direction, b: Direction) -> bool:
    return a.layers is None or b.layers is None or bool(set(a.layers) & set(b.layers))
