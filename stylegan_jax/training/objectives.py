"""Objectives of both networks on a minibatch. Source: `loss.py`, NVlabs/stylegan."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from stylegan_jax.augment.pipeline import augment
from stylegan_jax.networks.config import ModelConfig, num_layers
from stylegan_jax.networks.mapping import MappingNetwork
from stylegan_jax.networks.pair import discriminator_network, synthesis_network
from stylegan_jax.ops import latents
from stylegan_jax.training import losses
from stylegan_jax.training.gradients import Loss
from stylegan_jax.training.losses import LossConfig
from stylegan_jax.training.schedule import Phase
from stylegan_jax.training.state import OptimizerConfig

# Of the generator: z and z2 [N, z_dim], noise, crossover [N], labels [N, classes];
# of the discriminator also reals [N, R, R, C] and mix [N]. With augmentation, what
# images of either kind get: augment_fakes and augment_reals.
Batch = dict[str, Any]
Metrics = dict[str, Array]


def make_generate(
    model: ModelConfig, loss: LossConfig, optimizer: OptimizerConfig, phase: Phase
) -> Callable[..., tuple[Array, Array]]:
    """Makes `(g_params, w_avg, batch, alpha) -> (images, w_avg)`, in training mode.

    Source: `G_style` with `is_training=True`, NVlabs/stylegan.
    """
    mapping, synthesis = MappingNetwork(model), synthesis_network(model)
    layers = num_layers(phase.resolution) if model.use_styles else 1
    mixes = loss.style_mixing > 0 and model.use_styles

    def generate(
        params: Any, w_avg: Array, batch: Batch, alpha: Array | None
    ) -> tuple[Array, Array]:
        labels = batch["labels"] if model.label_size else None

        def to_ws(z: Array) -> Array:
            w: Any = mapping.apply({"params": params["mapping"]}, z, labels)
            return jnp.broadcast_to(w[:, None], (w.shape[0], layers, w.shape[1]))

        ws = to_ws(batch["z"])
        mean = lax.stop_gradient(ws[:, 0].mean(axis=0))
        w_avg = latents.lerp(mean, w_avg, optimizer.w_avg_beta)
        if mixes:
            ws = latents.mix_styles(
                ws, to_ws(batch["z2"]), batch["crossover"][:, None, None]
            )
        images: Any = synthesis.apply(
            {"params": params["synthesis"]},
            ws,
            batch["noise"],
            resolution=phase.resolution,
            alpha=alpha,
        )
        return images, w_avg

    return generate


def make_generator_loss(
    model: ModelConfig,
    loss: LossConfig,
    generate: Callable,
    axis_name: str | None = None,
) -> Loss:
    """Makes `(g_params, d_params, alpha, w_avg, batch) -> (loss, (metrics, w_avg))`.

    `axis_name` is of the devices, where each has its block of the batch.
    """
    discriminate = make_discriminate(model, axis_name)
    generator_loss = losses.GENERATOR_LOSSES[loss.objective]

    def g_loss(
        g_params: Any, d_params: Any, alpha: Array | None, w_avg: Array, batch: Batch
    ) -> tuple[Array, tuple[Metrics, Array]]:
        fakes, w_avg = generate(g_params, w_avg, batch, alpha)
        fakes = augmented(batch, "fakes", fakes)
        logits = discriminate(d_params, fakes, batch["labels"], alpha)
        value = generator_loss(logits).mean()
        return value, ({"loss/G": value}, w_avg)

    return g_loss


def make_discriminator_loss(
    model: ModelConfig,
    loss: LossConfig,
    phase: Phase,
    generate: Callable,
    axis_name: str | None = None,
) -> Loss:
    """Makes `(d_params, g_params, alpha, w_avg, batch) -> (loss, (metrics, w_avg))`."""
    loss = loss.resolved()
    apply = make_discriminate(model, axis_name)
    adversarial = losses.DISCRIMINATOR_LOSSES[loss.objective]
    shrinkage = model.resolution // phase.resolution

    def d_loss(
        d_params: Any, g_params: Any, alpha: Array | None, w_avg: Array, batch: Batch
    ) -> tuple[Array, tuple[Metrics, Array]]:
        def discriminate(images: Array) -> Array:
            return apply(d_params, images, batch["labels"], alpha)

        reals = batch["reals"]
        fakes, w_avg = generate(g_params, w_avg, batch, alpha)
        metrics: Metrics = {}
        penalty = jnp.zeros(())

        def score(kind: str, images: Array, name: str, gamma: float | None) -> Array:
            nonlocal penalty

            # Penalties are of the gradients by the images before augmentation.
            def seen(images: Array) -> Array:
                return discriminate(augmented(batch, kind, images))

            if not gamma:
                return seen(images)
            logits, norms = losses.logits_and_gradient_norms(seen, images, shrinkage)
            metrics[name] = norms.mean()
            penalty += gamma / 2 * norms.mean()
            return logits

        real_logits = score("reals", reals, "r1", loss.r1_gamma)
        fake_logits = score("fakes", fakes, "r2", loss.r2_gamma)
        if loss.gp_lambda:
            penalties = losses.gradient_penalty(
                discriminate,
                augmented(batch, "reals", reals),
                augmented(batch, "fakes", fakes),
                batch["mix"],
                target=loss.gp_target,
                shrinkage=shrinkage,
            )
            metrics["gradient_penalty"] = penalties.mean()
            penalty += loss.gp_lambda * penalties.mean()
        if loss.drift:
            # Of `D_wgan`; ProGAN, appendix A.1.
            penalty += loss.drift * jnp.square(real_logits).mean()
        value = adversarial(real_logits, fake_logits).mean() + penalty
        metrics |= {
            "loss/D": value,
            "scores/real": real_logits.mean(),
            "scores/fake": fake_logits.mean(),
        }
        if "augment_reals" in batch:
            metrics["augment/r_t"] = jnp.sign(real_logits).mean()
        return value, (metrics, w_avg)

    return d_loss


def augmented(batch: Batch, kind: str, images: Array) -> Array:
    """Augmented images; `kind` is reals or fakes."""
    values = batch.get(f"augment_{kind}")
    return images if values is None else augment(images, values)


def make_discriminate(
    model: ModelConfig, axis_name: str | None = None
) -> Callable[..., Any]:
    """Makes the scores of images in training, `(params, images, labels, alpha)`."""
    network = discriminator_network(model, strided_groups=False, axis_name=axis_name)

    def apply(params: Any, images: Array, labels: Array, alpha: Array | None) -> Any:
        return network.apply({"params": params}, images, labels, alpha=alpha)

    return apply
