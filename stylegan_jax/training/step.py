"""Training step of a phase: several updates as one jit-compiled graph.

An update, in the official order: discriminator and moving average of the generator, on
`d_steps` minibatches in turn, then generator. Parameters outside the phase take no
part.

Source: `training_loop.py` and `loss.py`, NVlabs/stylegan.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jax.sharding import Mesh, NamedSharding

from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.networks.config import ModelConfig, num_layers
from stylegan_jax.ops import growing, latents
from stylegan_jax.training import adaptive, objectives
from stylegan_jax.training.adaptive import NO_AUGMENTATION, AugmentConfig
from stylegan_jax.training.gradients import make_mean_gradient
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


def make_step(
    model: ModelConfig,
    loss: LossConfig,
    optimizer: OptimizerConfig,
    phase: Phase,
    mesh: Mesh | None = None,
    places: TrainState | None = None,
    augment: AugmentConfig = NO_AUGMENTATION,
) -> TrainStep:
    """Makes the jitted step `(state, batch, key) -> (state, metrics)` of a phase.

    `batch` holds `images`, uint8 (of points, float32) `[M, N, R, R, C]`, and `labels`,
    float32 `[M, N, label_size]`, of `M = repeats * d_steps` minibatches; `key` is the
    same in every call. The state is donated; `places` has its shardings, by default
    replicated over `mesh`, by default all devices. Metrics are means over the call, on
    the device. Raises UserError if a part of a minibatch cannot be shared out evenly.
    """
    mesh = parallel.make_mesh() if mesh is None else mesh
    if problem := part_problem(model, phase, mesh.size):
        raise UserError(problem)
    update = make_update(model, loss, optimizer, phase, mesh, augment)
    everywhere, batched = parallel.replicated(mesh), parallel.split(mesh, axis=1)

    def train_step(
        state: TrainState, batch: Batch, key: Array
    ) -> tuple[TrainState, Metrics]:
        # Constant in a call: the official schedule is updated once per
        # `minibatch_repeats`.
        alpha = phase.alpha(state.nimg)
        lead = (phase.repeats, phase.d_steps)
        batches = jax.tree.map(lambda x: x.reshape(*lead, *x.shape[1:]), batch)
        state, metrics = lax.scan(
            lambda state, batches: update(state, batches, alpha, key), state, batches
        )
        return state, jax.tree.map(jnp.mean, metrics)

    jitted = jax.jit(
        train_step,
        donate_argnums=0,
        in_shardings=(places or everywhere, batched, everywhere),
        out_shardings=(places or everywhere, everywhere),
    )

    @functools.wraps(jitted)
    def placed(state: TrainState, batch: Batch, key: Array) -> tuple:
        # A new state is on no mesh, another type to jit than the returned state's:
        # it would compile twice.
        if not isinstance(getattr(state.nimg, "sharding", None), NamedSharding):
            state = parallel.place(state, places or everywhere)
        return jitted(state, batch, key)

    placed.lower = jitted.lower  # type: ignore[attr-defined]
    return placed


def part_problem(model: ModelConfig, phase: Phase, devices: int) -> str:
    """Why a phase's minibatch cannot be shared out over devices; empty if it can."""
    part = phase.batch_size // phase.accumulate
    group = min(model.mbstd_group_size, part)
    if not part % devices and not (group > 1 and part % group):
        return ""
    return (
        f"batch_size {phase.batch_size} at {phase.resolution} px in "
        f"{phase.accumulate} parts is not divisible by {devices} devices and "
        f"mbstd_group_size {model.mbstd_group_size}; change schedule.batch_size "
        "or schedule.accumulate"
    )


def make_update(
    model: ModelConfig,
    loss: LossConfig,
    optimizer: OptimizerConfig,
    phase: Phase,
    mesh: Mesh,
    augment: AugmentConfig = NO_AUGMENTATION,
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Makes the pure function `(state, batches, alpha, key)` of one update.

    `batches` holds the minibatches of the discriminator, `[d_steps, N, ...]`.
    """
    generate = objectives.make_generate(model, loss, optimizer, phase)
    axis = parallel.DATA if mesh.size > 1 else None
    g_loss = objectives.make_generator_loss(model, loss, generate, axis)
    d_loss = objectives.make_discriminator_loss(model, loss, phase, generate, axis)
    g_tx = make_optimizer(optimizer, phase.resolution)
    d_tx = make_optimizer(optimizer, phase.resolution, optimizer.d_rate)

    def trained_d_loss(trained: Any, frozen: Any, *rest: Any) -> Any:
        return d_loss(merge(frozen, trained), *rest)

    g_gradient = make_mean_gradient(g_loss, mesh, phase.accumulate)
    d_gradient = make_mean_gradient(trained_d_loss, mesh, phase.accumulate)
    freeze_d = optimizer.freeze_d
    layout = parallel.split(mesh)
    # A half-life in images; 0 turns the average off.
    half_lives = phase.batch_size / (1000 * optimizer.ema_kimg or 1e-9)
    ema_beta = 0.5**half_lives

    def draw(key: Array, labels: Array) -> Batch:
        z_key, noise_key, mixing_key = jax.random.split(key, 3)
        z = jax.random.normal(z_key, (phase.batch_size, 2 * model.z_dim))
        layers = num_layers(phase.resolution)
        drawn = {
            "z": z[:, : model.z_dim],
            "z2": z[:, model.z_dim :],
            "noise": latents.draw_noise(
                noise_key, phase.batch_size, layers if model.use_noise else 0
            ),
            "labels": labels,
        }
        if model.use_styles:
            # Official: drawn once per minibatch.
            crossover = latents.draw_crossover(mixing_key, loss.style_mixing, layers)
            drawn["crossover"] = jnp.full((phase.batch_size,), crossover)
        return lax.with_sharding_constraint(drawn, layout)

    def draw_augment(state: TrainState, key: Array, *kinds: str) -> Batch:
        # Values of each image of a minibatch, by kind: reals or fakes.
        size = (phase.resolution, phase.resolution, model.num_channels)
        shape = (phase.batch_size, *size)
        # The keys of `update_*` are the first four that `split` makes of this key.
        keys = (jax.random.fold_in(key, 4 + i) for i in range(len(kinds)))
        drawn = {
            f"augment_{kind}": adaptive.draw(augment, state.augment, key, shape)
            for kind, key in zip(kinds, keys, strict=True)
            if augment.active
        }
        return lax.with_sharding_constraint(drawn, layout) if drawn else {}

    def update_discriminator(
        state: TrainState, batch: Batch, alpha: Array | None, key: Array
    ) -> tuple[TrainState, Metrics]:
        d_key, mix_key, _, _ = jax.random.split(key, 4)
        reals = to_float(batch["images"])
        if alpha is not None:
            reals = growing.fade_reals(reals, alpha)
        g_params, whole = select((state.g_params, state.d_params), phase)
        d_params, d_opt = select((whole, state.d_opt_state), phase, freeze_d)
        frozen = whole if freeze_d else {}
        d_batch = draw(d_key, batch["labels"]) | {
            "reals": reals,
            "mix": jax.random.uniform(mix_key, (phase.batch_size,)),
            **draw_augment(state, key, "reals", "fakes"),
        }
        gradients, (metrics, w_avg) = d_gradient(
            d_params, (frozen, g_params, alpha), state.w_avg, d_batch
        )
        controller = state.augment
        if augment.mode == "ada":
            r_t = metrics["augment/r_t"]
            metrics = {**metrics, "augment/p": controller["p"]}
            controller = adaptive.count(controller, r_t, phase.batch_size)
        updates, d_opt = d_tx.update(gradients, d_opt, d_params)
        d_params = optax.apply_updates(d_params, updates)
        # Official order: the average is one generator update behind.
        g_ema = jax.tree.map(
            lambda new, old: latents.lerp(new, old, ema_beta),
            g_params,
            select(state.g_ema, phase),
        )
        state = dataclasses.replace(
            state,
            d_params=merge(state.d_params, d_params),
            g_ema=merge(state.g_ema, g_ema),
            w_avg=w_avg,
            d_opt_state=merge(state.d_opt_state, d_opt),
            augment=controller,
        )
        return state, metrics | {"grad_norm/D": optax.tree.norm(gradients)}

    def update_generator(
        state: TrainState, labels: Array, alpha: Array | None, key: Array
    ) -> tuple[TrainState, Metrics]:
        _, _, label_key, g_key = jax.random.split(key, 4)
        g_params, d_params = select((state.g_params, state.d_params), phase)
        g_opt = select(state.g_opt_state, phase)
        # New labels from the data's distribution: a permutation of the batch's.
        labels = jax.random.permutation(label_key, labels)
        drawn = draw(g_key, labels) | draw_augment(
            state, jax.random.fold_in(key, 6), "fakes"
        )
        gradients, (metrics, w_avg) = g_gradient(
            g_params, (d_params, alpha), state.w_avg, drawn
        )
        updates, g_opt = g_tx.update(gradients, g_opt, g_params)
        if optimizer.g_from_kimg:
            # A call is of one kind: it trains the generator if it begins late enough.
            trained = state.nimg > round(1000 * optimizer.g_from_kimg)
            updates = jax.tree.map(lambda x: jnp.where(trained, x, 0), updates)
        g_params = optax.apply_updates(g_params, updates)
        state = dataclasses.replace(
            state,
            g_params=merge(state.g_params, g_params),
            w_avg=w_avg,
            g_opt_state=merge(state.g_opt_state, g_opt),
        )
        return state, metrics | {"grad_norm/G": optax.tree.norm(gradients)}

    def update(
        state: TrainState, batches: Batch, alpha: Array | None, key: Array
    ) -> tuple[TrainState, Metrics]:
        def one(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
            step_key = jax.random.fold_in(key, state.nimg)
            state, metrics = update_discriminator(state, batch, alpha, step_key)
            nimg = state.nimg + phase.batch_size
            return dataclasses.replace(state, nimg=nimg), metrics

        last = jax.tree.map(lambda x: x[-1], batches)
        if phase.d_steps == 1:
            state, d_metrics = one(state, last)
        else:
            state, d_metrics = lax.scan(one, state, batches)
        last_key = jax.random.fold_in(key, state.nimg - phase.batch_size)
        state, g_metrics = update_generator(state, last["labels"], alpha, last_key)
        controller = adaptive.adjust(augment, state.augment)
        state = dataclasses.replace(state, augment=controller)
        return state, jax.tree.map(jnp.mean, d_metrics) | g_metrics

    return update


def to_float(images: Array) -> Array:
    """uint8 images to [-1, 1]; float32 (points) is returned unchanged."""
    is_bytes = images.dtype == jnp.uint8
    return images.astype(jnp.float32) / 127.5 - 1.0 if is_bytes else images
