"""L-BFGS for many images at once, with one gradient per iteration.

optax's own `lbfgs` searches for the length of a step inside of an iteration, for one
loss. Here every image has its own loss and length: where a step has not lowered an
image's loss enough, its next iteration tries a shorter one.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

_SUFFICIENT = 1e-4  # share of the slope that a step has to gain (Armijo)
_SHORTEST, _LONGEST = 0.1, 0.5  # of the length after a step that was refused


class QuasiNewtonState(NamedTuple):
    """The last accepted point of each image, and the way on from there."""

    memory: Any  # of `optax.scale_by_lbfgs`, for each image
    point: Any
    direction: Any
    slope: Array  # [N], of the loss along the direction
    loss: Array  # [N], at the point; infinite before the first
    length: Array  # [N], of the last step, in directions


def lbfgs(memory: int) -> optax.GradientTransformationExtraArgs:
    """L-BFGS with backtracking, image by image; `update` takes losses `[N]` as `value`.

    Source: Nocedal and Wright 2006, algorithms 7.4 and 3.1, with the interpolation of
    equation 3.58. `memory` is the number of past steps that are kept, each of twice the
    size of the variables. A direction that does not descend begins anew from the
    gradient.
    """
    inner: Any = optax.scale_by_lbfgs(memory)

    def init(params: Any) -> Any:
        zeros = jnp.zeros(len(jax.tree.leaves(params)[0]), jnp.float32)
        state = QuasiNewtonState(
            memory=jax.vmap(inner.init)(params),
            point=params,
            direction=jax.tree.map(jnp.zeros_like, params),
            slope=zeros,
            loss=zeros + jnp.inf,
            length=zeros,
        )
        return jax.tree.map(jnp.copy, state)  # each array its own, to be donated

    def update(
        updates: Any, state: Any, params: Any = None, **extra: Any
    ) -> tuple[Any, Any]:
        gradient, value = updates, extra["value"]
        enough = state.loss + _SUFFICIENT * state.length * state.slope
        accepted = value <= enough

        scaled, memory = jax.vmap(inner.update)(gradient, state.memory, params)
        direction = jax.tree.map(jnp.negative, scaled)
        slope = _dot(gradient, direction)
        # Curvature may be negative: begin anew from the gradient.
        descends = slope < 0
        square = _dot(gradient, gradient)
        scale = jnp.minimum(1.0, jax.lax.rsqrt(square))
        downhill = jax.tree.map(lambda x: -_rows(scale, x) * x, gradient)
        empty = jax.vmap(inner.init)(params)
        empty = empty._replace(count=empty.count + 1, params=params, updates=gradient)
        direction = choose(descends, direction, downhill)
        memory = choose(descends, memory, empty)
        slope = jnp.where(descends, slope, -scale * square)
        excess = value - state.loss - state.length * state.slope
        length = -0.5 * state.slope * state.length**2 / excess
        length = jnp.clip(length, _SHORTEST * state.length, _LONGEST * state.length)
        new = QuasiNewtonState(
            memory=choose(accepted, memory, state.memory),
            point=choose(accepted, params, state.point),
            direction=choose(accepted, direction, state.direction),
            slope=jnp.where(accepted, slope, state.slope),
            loss=jnp.where(accepted, value, state.loss),
            length=jnp.where(accepted, 1.0, length),
        )
        updates = jax.tree.map(
            lambda point, way, x: point + _rows(new.length, way) * way - x,
            new.point,
            new.direction,
            params,
        )
        return updates, new

    return optax.GradientTransformationExtraArgs(init, update)


def choose(images: Array, yes: Any, no: Any) -> Any:
    """Of two trees of arrays `[N, ...]` the first where `images` `[N]` is true."""
    return jax.tree.map(lambda a, b: jnp.where(_rows(images, a), a, b), yes, no)


def _rows(values: Array, like: Array) -> Array:
    return values.reshape(-1, *[1] * (like.ndim - 1))


def _dot(a: Any, b: Any) -> Array:
    products = jax.tree.map(lambda x, y: (x * y).sum(tuple(range(1, x.ndim))), a, b)
    return sum(jax.tree.leaves(products), jnp.zeros(()))
