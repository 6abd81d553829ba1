"""Gradient of a minibatch over devices, with accumulation."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh, PartitionSpec

from stylegan_jax.distributed import parallel

# (params, *fixed, w_avg, batch) -> (loss, (metrics, w_avg)); each output a mean over
# the batch, or linear in one.
Loss = Callable[..., tuple[Array, tuple[Any, Array]]]


def make_mean_gradient(
    loss_fn: Loss, mesh: Mesh, accumulate: int
) -> Callable[..., tuple[Any, tuple[Any, Array]]]:
    """Makes `(params, fixed, w_avg, batch) -> (gradient, (metrics, w_avg))`.

    The gradient is by `params`; `fixed` is a tuple; arrays of `batch` are `[N, ...]`,
    sharded over the devices and taken in `accumulate` parts; all else is replicated.
    Gradients are summed over devices once, where XLA would do so at every use of a
    weight.
    """

    def whole(params: Any, fixed: tuple, w_avg: Array, batch: Any) -> Any:
        return _accumulated(loss_fn, accumulate, params, fixed, w_avg, batch)

    def share(params: Any, fixed: tuple, w_avg: Array, batch: Any) -> Any:
        return lax.pmean(whole(params, fixed, w_avg, batch), parallel.DATA)

    if mesh.size == 1:
        return whole
    copied, own = PartitionSpec(), PartitionSpec(parallel.DATA)
    return jax.shard_map(
        share,
        mesh=mesh,
        in_specs=(copied, copied, copied, own),
        out_specs=copied,
        # With the check, JAX sums over devices at every use of a weight.
        check_vma=False,
    )


def _accumulated(
    loss_fn: Loss, accumulate: int, params: Any, fixed: tuple, w_avg: Array, batch: Any
) -> tuple[Any, tuple[Any, Array]]:
    gradient = jax.grad(loss_fn, has_aux=True)
    if accumulate == 1:
        return gradient(params, *fixed, w_avg, batch)

    def split(x: Array) -> Array:
        # Strided, so that every part is sharded as the whole is.
        count = x.shape[0] // accumulate
        x = x.reshape(count, accumulate, *x.shape[1:])
        return jnp.moveaxis(x, 1, 0)

    def body(gradients: Any, part: Any) -> Any:
        # Every part starts from the same mean of w, which so decays once.
        more, aux = gradient(params, *fixed, w_avg, part)
        return jax.tree.map(jnp.add, gradients, more), aux

    zeros = jax.tree.map(jnp.zeros_like, params)
    gradients, aux = lax.scan(body, zeros, jax.tree.map(split, batch))
    gradients = jax.tree.map(lambda g: g / accumulate, gradients)
    return gradients, jax.tree.map(lambda x: x.mean(axis=0), aux)
