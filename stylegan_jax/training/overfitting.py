"""Overfitting measured by scores of held-out images (Karras et al. 2020, ADA)."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh

from stylegan_jax.data.sources import Source, open_source
from stylegan_jax.distributed import parallel
from stylegan_jax.networks.config import num_layers
from stylegan_jax.ops import growing, latents
from stylegan_jax.training import adaptive, objectives
from stylegan_jax.training.config import Config
from stylegan_jax.training.objectives import Batch
from stylegan_jax.training.schedule import Phase
from stylegan_jax.training.state import TrainState, select
from stylegan_jax.training.step import to_float

_MINIBATCHES = 4
# Metrics: mean scores of samples and of images in training and held out, and r_v.
FAKE, TRAIN = "overfitting/fake", "overfitting/train"
HELD_OUT, R_V = "overfitting/held_out", "overfitting/r_v"


def validation_ratio(train: Array, held_out: Array, fake: Array) -> Array:
    """r_v of mean scores: 0 without overfitting, 1 where held-out images look fake.

    Not finite where samples score as training images do. Source: section 3.1, eq. 1.
    """
    return (train - held_out) / (train - fake)


def observer(
    config: Config, source: Source, mesh: Mesh
) -> Callable[[int, TrainState, Phase], Mapping[str, float]] | None:
    """Makes `(nimg, state, phase) -> metrics`; None if `data.holdout` is 0.

    Metrics are of four minibatches each of training images (`source`), held-out images
    and samples, augmented with the present strength. Every process computes all of it.
    """
    if not config.data.holdout:
        return None
    held_out = open_source(dataclasses.replace(config.data, part="held_out"))
    everywhere = parallel.replicated(mesh)

    @functools.cache
    def compiled(phase: Phase) -> Callable[..., Mapping[str, Array]]:
        return jax.jit(make_scores(config, phase), out_shardings=everywhere)

    def observe(nimg: int, state: TrainState, phase: Phase) -> Mapping[str, float]:
        random = np.random.default_rng([config.data.seed, nimg])
        shape = (_MINIBATCHES, phase.batch_size)
        batches = [
            _batch(images, random.choice(len(images), shape), phase.resolution)
            for images in (source, held_out)
        ]
        key = jax.random.fold_in(jax.random.key(config.run.seed), nimg)
        inputs = parallel.place((*batches, key), everywhere)
        found = jax.device_get(compiled(phase)(state, *inputs))
        return {name: float(x) for name, x in found.items() if np.isfinite(x)}

    return observe


def make_scores(config: Config, phase: Phase) -> Callable[..., Mapping[str, Array]]:
    """Makes the pure function `(state, train, held_out, key) -> metrics` of a phase."""
    model, augment = config.model, config.augment
    generate = objectives.make_generate(model, config.loss, config.optimizer, phase)
    discriminate = objectives.make_discriminate(model)
    layers = num_layers(phase.resolution)

    def scores(
        state: TrainState, train: Batch, held_out: Batch, key: Array
    ) -> Mapping[str, Array]:
        alpha = phase.alpha(state.nimg)
        g_params, d_params = select((state.g_params, state.d_params), phase)

        def score(images: Array, labels: Array, key: Array) -> Array:
            if augment.active:
                values = adaptive.draw(augment, state.augment, key, images.shape)
                images = objectives.augment(images, values)
            return discriminate(d_params, images, labels, alpha).mean()

        def one(batches: tuple[Batch, Batch, Array]) -> Array:
            reals, others, key = batches
            keys = jax.random.split(key, 5)
            z = jax.random.normal(keys[0], (phase.batch_size, model.z_dim))
            noise = layers if model.use_noise else 0
            drawn = {
                "z": z,
                "z2": z,
                "noise": latents.draw_noise(keys[1], phase.batch_size, noise),
                "labels": reals["labels"],
                "crossover": jnp.full((phase.batch_size,), layers),
            }
            fakes, _ = generate(g_params, state.w_avg, drawn, alpha)
            means = [score(fakes, reals["labels"], keys[2])]
            for batch, key in zip((reals, others), keys[3:], strict=True):
                images = to_float(batch["images"])
                if alpha is not None:
                    images = growing.fade_reals(images, alpha)
                means.append(score(images, batch["labels"], key))
            return jnp.stack(means)

        keys = jax.random.split(key, _MINIBATCHES)
        fake, real, other = lax.map(one, (train, held_out, keys)).mean(axis=0)
        ratio = validation_ratio(real, other, fake)
        return {FAKE: fake, TRAIN: real, HELD_OUT: other, R_V: ratio}

    return scores


def _batch(source: Source, indices: np.ndarray, resolution: int) -> Batch:
    images = np.stack([source.image(int(i), resolution) for i in indices.flat])
    labels = np.stack([source.label(int(i)) for i in indices.flat])
    return {
        "images": images.reshape(*indices.shape, *images.shape[1:]),
        "labels": labels.reshape(*indices.shape, labels.shape[1]).astype("f"),
    }
