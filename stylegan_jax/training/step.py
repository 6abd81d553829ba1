"""The training step of a phase: one jit-compiled graph, a few minibatches long.

One minibatch is, in the official order, an update of the discriminator, of the
generator's moving average, and of the generator. Gradients, optimizer and average
see only the parameters that the phase uses.

Source: `training_loop.py` and `loss.py`, NVlabs/stylegan.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jax.sharding import Mesh

from stylegan_jax import parallel
from stylegan_jax.networks.config import ModelConfig, num_layers
from stylegan_jax.ops import growing, latents
from stylegan_jax.training import objectives
from stylegan_jax.training.losses import LossConfig
from stylegan_jax.training.objectives import Batch, Metrics
from stylegan_jax.training.schedule import Phase
from stylegan_jax.training.state import (
    OptimizerConfig,
    TrainState,
    make_optimizer,
    merge,
    select,
)

TrainStep = Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]


def make_train_step(
    model: ModelConfig,
    loss: LossConfig,
    optimizer: OptimizerConfig,
    phase: Phase,
    mesh: Mesh,
) -> TrainStep:
    """Makes the jitted step `(state, batch, key) -> (state, metrics)` of a phase.

    `batch` holds `images`, uint8 `[repeats, N, R, R, C]`, and `labels`, float32
    `[repeats, N, label_size]`; `key` is the same in every call. The state is
    donated. Metrics are means over the call, on the device.

    Raises:
        ValueError: a part of a minibatch cannot be shared out evenly.
    """
    part = phase.batch_size // phase.accumulate
    group = min(model.mbstd_group_size, part)
    if part % mesh.size or (group > 1 and part % group):
        raise ValueError(
            f"batch_size {phase.batch_size} at {phase.resolution} px in "
            f"{phase.accumulate} parts is not divisible by {mesh.size} devices and "
            f"mbstd_group_size {model.mbstd_group_size}; change schedule.batch_size "
            "or schedule.accumulate"
        )
    update = make_update(model, loss, optimizer, phase, mesh)
    everywhere, batched = parallel.replicated(mesh), parallel.split(mesh, axis=1)

    def train_step(
        state: TrainState, batch: Batch, key: Array
    ) -> tuple[TrainState, Metrics]:
        # Held for the whole call: the official loop looks at its schedule once per
        # `minibatch_repeats`.
        alpha = phase.alpha(state.nimg)
        state, metrics = lax.scan(
            lambda state, batch: update(state, batch, alpha, key), state, batch
        )
        return state, jax.tree.map(jnp.mean, metrics)

    return jax.jit(
        train_step,
        donate_argnums=0,
        in_shardings=(everywhere, batched, everywhere),
        out_shardings=everywhere,
    )


def make_update(
    model: ModelConfig,
    loss: LossConfig,
    optimizer: OptimizerConfig,
    phase: Phase,
    mesh: Mesh,
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Makes the pure function of one minibatch, `(state, batch, alpha, key)`."""
    generate = objectives.make_generate(model, loss, optimizer, phase)
    g_loss = objectives.make_generator_loss(model, loss, generate)
    d_loss = objectives.make_discriminator_loss(model, loss, phase, generate)
    tx = make_optimizer(optimizer, phase.resolution)
    layout = parallel.split(mesh)
    # A half-life in images; 0 turns the average off.
    half_lives = phase.batch_size / (1000 * optimizer.ema_kimg or 1e-9)
    ema_beta = 0.5**half_lives

    def draw(key: Array, labels: Array) -> Batch:
        """Inputs of the generator for a minibatch, split over the devices."""
        z_key, noise_key, mixing_key = jax.random.split(key, 3)
        z = jax.random.normal(z_key, (phase.batch_size, 2 * model.z_dim))
        layers = num_layers(phase.resolution)
        crossover = latents.draw_crossover(mixing_key, loss.style_mixing, layers)
        drawn = {
            "z": z[:, : model.z_dim],
            "z2": z[:, model.z_dim :],
            "noise": latents.draw_noise(
                noise_key, phase.batch_size, layers if model.use_noise else 0
            ),
            # The same for all, as the official loop draws it once per minibatch.
            "crossover": jnp.full((phase.batch_size,), crossover),
            "labels": labels,
        }
        return lax.with_sharding_constraint(drawn, layout)

    def accumulated(loss_fn: Callable, params: Any, w_avg: Array, batch: Any) -> Any:
        """Gradient and metrics, the minibatch taken in `accumulate` parts in turn."""
        gradient = jax.grad(loss_fn, has_aux=True)
        if phase.accumulate == 1:
            return gradient(params, w_avg, batch)

        def split(x: Array) -> Array:
            # Strided, so that a part is spread over the devices as the whole is.
            count = x.shape[0] // phase.accumulate
            x = x.reshape(count, phase.accumulate, *x.shape[1:])
            return jnp.moveaxis(x, 1, 0)

        def body(carry: Any, part: Any) -> Any:
            gradients, w_avg = carry
            more, (metrics, w_avg) = gradient(params, w_avg, part)
            return (jax.tree.map(jnp.add, gradients, more), w_avg), metrics

        zeros = jax.tree.map(jnp.zeros_like, params)
        (gradients, w_avg), metrics = lax.scan(
            body, (zeros, w_avg), jax.tree.map(split, batch)
        )
        gradients = jax.tree.map(lambda g: g / phase.accumulate, gradients)
        return gradients, (jax.tree.map(jnp.mean, metrics), w_avg)

    def apply(gradients: Any, opt_state: Any, params: Any) -> tuple[Any, Any]:
        updates, opt_state = tx.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    def update(
        state: TrainState, batch: Batch, alpha: Array | None, key: Array
    ) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(key, state.nimg)
        d_key, mix_key, label_key, g_key = jax.random.split(key, 4)
        reals = batch["images"].astype(jnp.float32) / 127.5 - 1.0
        if alpha is not None:
            reals = growing.fade_reals(reals, alpha)

        g_params, d_params = select((state.g_params, state.d_params), phase)
        g_opt, d_opt = select((state.g_opt_state, state.d_opt_state), phase)

        d_batch = draw(d_key, batch["labels"]) | {
            "reals": reals,
            "mix": jax.random.uniform(mix_key, (phase.batch_size,)),
        }
        d_gradients, (d_metrics, w_avg) = accumulated(
            lambda p, w_avg, b: d_loss(p, g_params, w_avg, b, alpha),
            d_params,
            state.w_avg,
            d_batch,
        )
        d_params, d_opt = apply(d_gradients, d_opt, d_params)

        # The average runs beside the discriminator's update, so it is one
        # generator update behind.
        g_ema = jax.tree.map(
            lambda new, old: latents.lerp(new, old, ema_beta),
            g_params,
            select(state.g_ema, phase),
        )

        # Labels are drawn afresh from the data's: another sample's of this batch.
        labels = jax.random.permutation(label_key, batch["labels"])
        g_gradients, (g_metrics, w_avg) = accumulated(
            lambda p, w_avg, b: g_loss(p, d_params, w_avg, b, alpha),
            g_params,
            w_avg,
            draw(g_key, labels),
        )
        g_params, g_opt = apply(g_gradients, g_opt, g_params)

        metrics = d_metrics | g_metrics
        metrics["grad_norm/D"] = optax.tree.norm(d_gradients)
        metrics["grad_norm/G"] = optax.tree.norm(g_gradients)
        state = dataclasses.replace(
            state,
            nimg=state.nimg + phase.batch_size,
            g_params=merge(state.g_params, g_params),
            d_params=merge(state.d_params, d_params),
            g_ema=merge(state.g_ema, g_ema),
            w_avg=w_avg,
            g_opt_state=merge(state.g_opt_state, g_opt),
            d_opt_state=merge(state.d_opt_state, d_opt),
        )
        return state, metrics

    return update
