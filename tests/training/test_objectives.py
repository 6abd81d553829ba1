"""Whole objectives, at half the final resolution and in mid-fade."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.mapping import MappingNetwork
from stylegan_jax.networks.synthesis import SynthesisNetwork
from stylegan_jax.ops import latents
from stylegan_jax.training import objectives
from stylegan_jax.training.losses import LossConfig
from stylegan_jax.training.state import OptimizerConfig
from tests import tiny

MODEL = dataclasses.replace(tiny.MODEL, w_dim=5, mapping_width=7, label_size=2)
PHASE = tiny.phase(fading=True, fade_nimg=100.0)  # half the final resolution
ALPHA = jnp.float32(0.3)


def draw(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype("f")


LABELS = np.eye(2, dtype="f")[[0, 1, 1, 0]]
BATCH = {
    "reals": draw(4, 8, 8, 3, seed=1),
    "mix": np.array([0.1, 0.5, 0.7, 1.0], "f"),
    "labels": LABELS,
}
FAKES = draw(4, 8, 8, 3, seed=2)


def d_params():
    return tiny.state(MODEL).d_params


@functools.cache
def critic():
    """Scores, and norms of their gradients by enlarged images, jitted."""
    network = Discriminator(MODEL, strided_groups=False)

    def score(images):
        return network.apply({"params": d_params()}, images, LABELS, alpha=ALPHA)

    def norm(images):
        # Of an enlarged pixel's four copies each has a quarter of the gradient.
        gradient = jax.grad(lambda images: score(images).sum())(images)
        return jnp.sqrt(4 * jnp.sum((gradient / 4) ** 2, axis=(1, 2, 3)))

    scores, norms = jax.jit(score), jax.jit(norm)
    return lambda x: np.float64(scores(x)), lambda x: np.float64(norms(x))


def no_generator(params, w_avg, batch, alpha):
    return params, w_avg


def softplus(x):
    return np.log1p(np.exp(x))


def logistic(real, fake, penalties):
    return (softplus(fake) + softplus(-real)).mean() + penalties


CASES = {
    "R1 of 10 by default": (
        LossConfig(),
        lambda real, fake, norms: logistic(
            real, fake, 10 / 2 * (norms["real"] ** 2).mean()
        ),
    ),
    "R1 and R2": (
        LossConfig(objective="logistic_saturating", r1_gamma=3.0, r2_gamma=2.0),
        lambda real, fake, norms: logistic(
            real,
            fake,
            3 / 2 * (norms["real"] ** 2).mean() + 2 / 2 * (norms["fake"] ** 2).mean(),
        ),
    ),
    "Wasserstein with drift": (
        LossConfig(objective="wgan", drift=0.25),
        lambda real, fake, norms: (fake - real).mean() + 0.25 * (real**2).mean(),
    ),
    "Wasserstein with gradient penalty": (
        LossConfig(objective="wgan_gp", gp_lambda=7.0, gp_target=2.0),
        lambda real, fake, norms: (
            (fake - real).mean()
            + 7 * ((norms["between"] - 2) ** 2 / 4).mean()
            + 0.001 * (real**2).mean()
        ),
    ),
    "hinge": (
        LossConfig(objective="hinge"),
        lambda real, fake, norms: (
            np.maximum(0, 1 + fake).mean() + np.maximum(0, 1 - real).mean()
        ),
    ),
}


@pytest.mark.parametrize(("loss", "expected"), CASES.values(), ids=CASES)
def test_the_discriminator_minimises_the_definition(loss, expected):
    d_loss = objectives.make_discriminator_loss(MODEL, loss, PHASE, no_generator)
    value, (metrics, w_avg) = jax.jit(d_loss)(
        d_params(), FAKES, ALPHA, jnp.ones(5), BATCH
    )
    scores, norm = critic()
    real, fake = scores(BATCH["reals"]), scores(FAKES)
    mix = BATCH["mix"][:, None, None, None]
    norms = {
        "real": norm(BATCH["reals"]),
        "fake": norm(FAKES),
        "between": norm((1 - mix) * BATCH["reals"] + mix * FAKES),
    }
    np.testing.assert_allclose(value, expected(real, fake, norms), rtol=1e-4)
    np.testing.assert_allclose(metrics["loss/D"], value)
    np.testing.assert_allclose(metrics["scores/real"], real.mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["scores/fake"], fake.mean(), rtol=1e-4)
    if "r1" in metrics:
        np.testing.assert_allclose(
            metrics["r1"], (norms["real"] ** 2).mean(), rtol=1e-4
        )
    assert ("r1" in metrics) == loss.objective.startswith("logistic")
    np.testing.assert_array_equal(w_avg, np.ones(5))


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("logistic", lambda fake: softplus(-fake).mean()),
        ("logistic_saturating", lambda fake: -softplus(fake).mean()),
        ("hinge", lambda fake: -fake.mean()),
    ],
)
def test_the_generator_minimises_the_definition(objective, expected):
    loss = LossConfig(objective=objective)
    g_loss = objectives.make_generator_loss(MODEL, loss, no_generator)
    value, (metrics, _) = jax.jit(g_loss)(FAKES, d_params(), ALPHA, jnp.ones(5), BATCH)
    np.testing.assert_allclose(value, expected(critic()[0](FAKES)), rtol=1e-4)
    np.testing.assert_allclose(metrics["loss/G"], value)


def g_batch():
    return {
        "z": draw(4, 6, seed=3),
        "z2": draw(4, 6, seed=4),
        "noise": latents.draw_noise(jax.random.key(1), 4, 4),
        "crossover": np.full((4,), 3),
        "labels": LABELS,
    }


@pytest.mark.thorough
@pytest.mark.parametrize("style_mixing", [0.9, 0.0])
def test_training_mixes_styles_and_averages_the_first_latents(style_mixing):
    params = tiny.generator(MODEL).params
    generate = objectives.make_generate(
        MODEL,
        LossConfig(style_mixing=style_mixing),
        OptimizerConfig(w_avg_beta=0.75),
        PHASE,
    )
    batch = g_batch()
    before = draw(5, seed=5)
    images, w_avg = generate(params, before, batch, ALPHA)

    mapping = {"params": params["mapping"]}
    w1, w2 = (
        MappingNetwork(MODEL).apply(mapping, batch[k], LABELS) for k in ("z", "z2")
    )
    last = w2 if style_mixing else w1
    ws = jnp.stack([w1, w1, w1, last], axis=1)
    expected = SynthesisNetwork(MODEL).apply(
        {"params": params["synthesis"]}, ws, batch["noise"], resolution=8, alpha=ALPHA
    )
    np.testing.assert_allclose(images, expected, atol=1e-4)
    mean = np.float64(w1).mean(axis=0)
    np.testing.assert_allclose(w_avg, 0.25 * mean + 0.75 * before, atol=1e-5)


@pytest.mark.thorough
def test_the_mean_latent_has_no_gradient():
    params = tiny.generator(MODEL).params
    generate = objectives.make_generate(MODEL, LossConfig(), OptimizerConfig(), PHASE)

    def mean(params):
        return generate(params, jnp.zeros(5), g_batch(), ALPHA)[1].sum()

    assert not any(np.any(g) for g in jax.tree.leaves(jax.grad(mean)(params)))


def test_without_styles_the_first_latent_is_all():
    model = dataclasses.replace(MODEL, use_styles=False, const_input=False)
    params = tiny.generator(model).params
    generate = objectives.make_generate(model, LossConfig(), OptimizerConfig(), PHASE)
    batch = g_batch()
    images, _ = generate(params, jnp.zeros(5), batch, ALPHA)
    other, _ = generate(params, jnp.zeros(5), batch | {"z2": 2 * batch["z2"]}, ALPHA)
    np.testing.assert_array_equal(images, other)
