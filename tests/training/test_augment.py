"""Augmentation in the training step: its controller, and what it leaves alone."""

import dataclasses
import functools
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.augment import pipeline
from stylegan_jax.data.config import DataConfig
from stylegan_jax.distributed import parallel
from stylegan_jax.runs import checkpoint, stored
from stylegan_jax.runs.checkpoint import CheckpointConfig
from stylegan_jax.training import adaptive, objectives
from stylegan_jax.training.adaptive import NO_AUGMENTATION, AugmentConfig
from stylegan_jax.training.config import RunConfig
from stylegan_jax.training.loop import train
from stylegan_jax.training.losses import LossConfig
from stylegan_jax.training.schedule import ScheduleConfig
from stylegan_jax.training.state import OptimizerConfig, init_state, make_optimizer
from stylegan_jax.training.step import make_step
from tests import tiny

MODEL = tiny.MODEL_8
BATCH = 8
PHASE = tiny.phase(fading=True, repeats=4, fade_start_nimg=-30.0, fade_nimg=100.0)
ADA = AugmentConfig(mode="ada", kimg=0.1, p=0.3)


def signs(count, seed=0):
    return np.random.RandomState(seed).choice([-1, 0, 1, 1, 1], (count, 6)).sum(axis=1)


def test_p_follows_the_formula():
    config = AugmentConfig(mode="ada", target=0.4, kimg=0.5)
    state, seen = adaptive.init(config), []
    step = jax.jit(
        lambda state, mean: adaptive.adjust(config, adaptive.count(state, mean, 6))
    )
    sums = signs(60)
    for total in sums:
        state = step(state, total / 6)
        seen.append(float(state["p"]))
    p, expected = 0.0, []
    for i in range(60):
        if i % 4 == 3:
            r_t = sums[i - 3 : i + 1].sum() / 24
            p = max(p + np.sign(r_t - 0.4) * 24 / 500, 0)
        expected.append(p)
    np.testing.assert_allclose(seen, expected, atol=1e-6)
    assert min(expected[4:]) < max(expected) and 0 in expected[4:]  # both ways


def start(config):
    """A state whose weights have been moved, with a controller and no moments yet."""
    state, tx = tiny.state(MODEL), make_optimizer(OptimizerConfig())
    return dataclasses.replace(
        state,
        w_avg=0 * state.w_avg,
        g_opt_state=tx.init(state.g_params),
        d_opt_state=tx.init(state.d_params),
        augment=adaptive.init(config),
    )


@functools.cache
def compiled(config, devices=1):
    mesh = parallel.make_mesh(devices)
    step = make_step(
        MODEL, LossConfig(), OptimizerConfig(), PHASE, mesh, augment=config
    )
    return step, mesh


def batch(seed=1):
    size = (PHASE.minibatches, BATCH, 8, 8, 3)
    images = np.random.RandomState(seed).randint(0, 256, size).astype(np.uint8)
    return {"images": images, "labels": np.zeros((*size[:2], 0), "f")}


def run(config, devices=1, calls=2, p=None):
    step, mesh = compiled(config, devices)
    place = parallel.replicated(mesh)
    state, seen = jax.tree.map(jnp.copy, start(config)), []
    if p is not None:
        state = dataclasses.replace(
            state, augment=state.augment | {"p": jnp.float32(p)}
        )
    state = jax.device_put(state, place)
    for seed in range(calls):
        given = parallel.put_batch(batch(seed), mesh, axis=1)
        state, metrics = step(state, given, jax.device_put(jax.random.key(7), place))
        seen.append(jax.device_get(metrics))
    return jax.device_get(state), seen


@pytest.mark.thorough
def test_probability_zero_trains_bitwise_as_without():
    """With XLA's optimisations gradients of the two programs differ in the last bit.

    What the discriminator sees does not (tests/augment/test_pipeline.py).
    """
    # p changes at the end of the call.
    state, (metrics,) = run(ADA, calls=1, p=0.0)
    plain, (plain_metrics,) = run(NO_AUGMENTATION, calls=1)
    rest = {k: v for k, v in metrics.items() if not k.startswith("augment")}
    chex.assert_trees_all_equal(rest, plain_metrics)
    chex.assert_trees_all_equal(dataclasses.replace(state, augment={}), plain)
    assert not AugmentConfig(mode="fixed", p=0.0).active
    augmented, _ = run(ADA, calls=1, p=0.9)
    assert np.any(augmented.w_avg != plain.w_avg)


@pytest.mark.thorough
def test_several_devices_give_the_result_of_one():
    one, one_metrics = run(ADA)
    four, metrics = run(ADA, devices=4)
    chex.assert_trees_all_equal(one.augment, four.augment)
    assert one.augment["p"] != np.float32(0.3)
    chex.assert_trees_all_close(one_metrics, metrics, rtol=1e-4, atol=1e-5)


@pytest.mark.thorough
def test_p_is_reported_and_moves_by_the_mean_sign():
    state, metrics = run(ADA, calls=3)
    p = np.float32(0.3)
    for record in metrics:  # a call is four minibatches, an interval
        np.testing.assert_allclose(record["augment/p"], p, rtol=1e-6)
        p += np.sign(record["augment/r_t"] - 0.6) * 4 * BATCH / 100
        p = max(p, np.float32(0))
    np.testing.assert_allclose(state.augment["p"], p, rtol=1e-5)


def test_more_minibatches_than_an_interval_count_with_all_their_images():
    # Five of the discriminator for one of the generator.
    state = adaptive.init(ADA)
    for mean in (1, 1, 1, 1, 0.5):
        state = adaptive.count(state, jnp.float32(mean), BATCH)
    assert state["minibatches"] == 5 and state["signs"] == 36
    state = adaptive.adjust(ADA, state)
    np.testing.assert_allclose(state["p"], 0.3 + 5 * BATCH / 100, rtol=1e-6)
    assert state["minibatches"] == state["images"] == state["signs"] == 0


@pytest.mark.thorough
@pytest.mark.parametrize("mode", ["fixed", "diffaugment"])
def test_the_other_modes_keep_no_state(mode):
    config = AugmentConfig(mode=mode, p=0.7 if mode == "fixed" else 0.0)
    step, _ = compiled(config)
    state, metrics = jax.eval_shape(step, start(config), batch(), jax.random.key(0))
    assert state.augment == {}
    assert "augment/r_t" in metrics and "augment/p" not in metrics
    drawn = adaptive.draw(config, {}, jax.random.key(0), (BATCH, 8, 8, 3))
    images = batch()["images"][0] / np.float32(127.5) - 1
    changed = np.any(pipeline.augment(images, drawn) != images, axis=(1, 2, 3))
    assert changed.mean() > 0.8


@pytest.mark.thorough
def test_losses_see_augmented_images_and_r1_is_by_the_plain_ones(monkeypatch):
    """With a linear discriminator everything is a closed form."""
    weights = np.random.RandomState(0).randn(8 * 8 * 3).astype("f")

    class Linear:
        def apply(self, variables, images, labels, alpha):
            return images.reshape(len(images), -1) @ variables["params"]

    monkeypatch.setattr(objectives, "discriminator_network", lambda *a, **k: Linear())
    rng = np.random.RandomState(1)
    reals, fakes = rng.uniform(-1, 1, (2, 4, 8, 8, 3)).astype("f")
    config = AugmentConfig(mode="fixed", p=0.8)
    drawn = [adaptive.draw(config, {}, jax.random.key(i), reals.shape) for i in (0, 1)]
    batch = {"reals": reals, "labels": None, "mix": None}
    batch |= {"augment_reals": drawn[0], "augment_fakes": drawn[1]}

    def generate(params, w_avg, batch, alpha):
        return fakes + params, w_avg

    phase = dataclasses.replace(PHASE, fading=False)
    loss = LossConfig(objective="wgan", r1_gamma=3.0, drift=0.0)
    d_loss = objectives.make_discriminator_loss(MODEL, loss, phase, generate)
    g_loss = objectives.make_generator_loss(MODEL, loss, generate)
    augmented = [
        np.asarray(pipeline.augment(x, values), np.float64).reshape(4, -1)
        for x, values in zip((reals, fakes), drawn, strict=True)
    ]
    # The augmentation's linear part, one image of one lit pixel at a time.
    lit = np.eye(192, dtype="f").reshape(192, 1, 8, 8, 3)
    dark = pipeline.augment(np.zeros((4, 8, 8, 3), "f"), drawn[0])
    columns = [
        np.asarray(
            pipeline.augment(np.broadcast_to(x, (4, 8, 8, 3)), drawn[0]) - dark
        ).reshape(4, -1)
        for x in lit
    ]
    linear = np.stack(columns, axis=1).astype(np.float64)  # [4, in, out]
    gradients = linear @ weights  # of the scores by the images, [4, 192]
    r1 = (gradients**2).sum(axis=1).mean()
    value, (metrics, _) = d_loss(weights, 0.0, None, jnp.zeros(()), batch)
    scores = [x @ weights for x in augmented]
    np.testing.assert_allclose(metrics["r1"], r1, rtol=1e-4)
    expected = scores[1].mean() - scores[0].mean() + 1.5 * r1
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    np.testing.assert_allclose(metrics["augment/r_t"], np.sign(scores[0]).mean(), 1e-6)
    # By the discriminator's weights, through the gradient in R1.
    slope = jax.grad(d_loss, has_aux=True)(weights, 0.0, None, jnp.zeros(()), batch)[0]
    by_r1 = 3.0 * np.einsum("nio,ni->o", linear, gradients) / 4
    wanted = augmented[1].mean(axis=0) - augmented[0].mean(axis=0) + by_r1
    np.testing.assert_allclose(slope, wanted, rtol=1e-3, atol=1e-3)
    value, _ = g_loss(0.0, weights, None, jnp.zeros(()), batch)
    np.testing.assert_allclose(value, -scores[1].mean(), rtol=1e-4)


CONFIG = tiny.config(
    data=DataConfig(portraits_size=12),
    augment=dataclasses.replace(ADA, kimg=1, target=-0.99),
    schedule=ScheduleConfig(
        stable_kimg=0.05, fade_kimg=0.05, total_kimg=0.16, repeats=1, batch_size=8
    ),
    checkpoint=CheckpointConfig(every_kimg=0.04, keep_last=9),
    run=RunConfig(tick_kimg=0.03, grid_columns=2, grid_rows=1),
)


@pytest.mark.thorough
@pytest.mark.optimised
def test_a_stopped_run_goes_on_bitwise_in_the_middle_of_an_interval(tmp_path):
    mesh = parallel.make_mesh(2)
    whole = jax.device_get(train(CONFIG, tmp_path / "whole", mesh=mesh))
    schedule = dataclasses.replace(CONFIG.schedule, total_kimg=0.072)
    short = dataclasses.replace(CONFIG, schedule=schedule)
    half = jax.device_get(train(short, tmp_path / "run", mesh=mesh))
    assert half.augment["minibatches"] == 1 and half.augment["p"] > 0
    resumed = jax.device_get(train(CONFIG, tmp_path / "run", mesh=mesh))
    chex.assert_trees_all_equal(resumed, whole)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert all({"augment/p", "augment/r_t"} <= set(record) for record in records)


@pytest.mark.thorough
def test_a_checkpoint_without_a_controller_gets_a_new_one(tmp_path):
    state = init_state(jax.random.key(0), MODEL, OptimizerConfig())
    leaves = {k: np.asarray(v) for k, v in stored.named_leaves(state).items()}
    template = init_state(jax.random.key(1), MODEL, OptimizerConfig(), ADA)
    placed = checkpoint._place(leaves, template, tmp_path)
    chex.assert_trees_all_equal(placed.g_params, state.g_params)
    assert {name: float(x) for name, x in placed.augment.items()} == dict.fromkeys(
        ("p", "signs", "images", "minibatches"), 0.0
    )
    # And one that has it is read without.
    leaves = {k: np.asarray(v) for k, v in stored.named_leaves(placed).items()}
    chex.assert_trees_all_equal(checkpoint._place(leaves, state, tmp_path), state)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": "ADA"}, "not one of none, ada"),
        ({"mode": "ada", "pipe": "abc"}, "not one of blit"),
        ({"mode": "fixed", "p": 1.5}, "not in 0 to 1"),
        ({"p": 0.2}, "set augment.mode to fixed or ada"),
        ({"mode": "ada", "kimg": 0}, "not positive"),
        ({"mode": "ada", "target": 1.0}, "between -1 and 1"),
    ],
)
def test_odd_settings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        AugmentConfig(**fields)


def test_few_images_without_augmentation_are_told_what_to_add():
    advice = adaptive.advice(NO_AUGMENTATION, 1234)
    assert advice is not None
    assert advice.startswith("1,234 images") and "`augment.mode` ada" in advice
    assert adaptive.advice(NO_AUGMENTATION, 20_000) is None
    assert adaptive.advice(ADA, 100) is None
