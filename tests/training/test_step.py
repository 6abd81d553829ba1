import dataclasses
import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.distributed import parallel
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.mapping import MappingNetwork
from stylegan_jax.networks.synthesis import SynthesisNetwork
from stylegan_jax.ops import latents
from stylegan_jax.training.losses import LossConfig
from stylegan_jax.training.state import OptimizerConfig, is_active, make_optimizer
from stylegan_jax.training.step import make_step
from tests import tiny

MODEL = dataclasses.replace(tiny.MODEL, label_size=2)
OPTIMIZER = OptimizerConfig(learning_rate=ByResolution(0.01, ((16, 0.02),)))
LOSS = LossConfig()
BATCH = 8
FADING = tiny.phase(16, fading=True, repeats=2, fade_start_nimg=-30.0, fade_nimg=100.0)
STABLE = dataclasses.replace(FADING, resolution=8, fading=False)


def start(model=MODEL):
    """A state in which noise weights and biases are not 0, and no moments are yet."""
    state, tx = tiny.state(model), make_optimizer(OPTIMIZER)
    return dataclasses.replace(
        state,
        w_avg=0 * state.w_avg,
        g_opt_state=tx.init(state.g_params),
        d_opt_state=tx.init(state.d_params),
    )


def batch(resolution, seed=0, repeats=2):
    draw = np.random.RandomState(seed)
    size = (repeats, BATCH, resolution, resolution, 3)
    labels = np.eye(2, dtype="f")[draw.randint(0, 2, (repeats, BATCH))]
    return {"images": draw.randint(0, 256, size).astype(np.uint8), "labels": labels}


@functools.cache
def compiled(phase=FADING, devices=1, model=MODEL, loss=LOSS):
    mesh = parallel.make_mesh(devices)
    return make_step(model, loss, OPTIMIZER, phase, mesh), mesh


def run(phase=FADING, devices=1, model=MODEL, loss=LOSS, calls=1):
    step, mesh = compiled(phase, devices, model, loss)
    place = parallel.replicated(mesh)
    state = jax.device_put(jax.tree.map(jnp.copy, start(model)), place)
    key = jax.device_put(jax.random.key(7), place)
    for seed in range(calls):
        data = batch(phase.resolution, seed)
        if not model.label_size:
            data["labels"] = data["labels"][..., :0]
        state, metrics = step(state, parallel.put_batch(data, mesh, axis=1), key)
    return jax.device_get((state, metrics))


def softplus(x):
    return jnp.log1p(jnp.exp(x))


def restated_update(state, images, labels, alpha, key):
    """One minibatch in plain sight: whole trees, Adam by hand, official order."""
    resolution = FADING.resolution
    key = jax.random.fold_in(key, state["nimg"])
    d_key, _, label_key, g_key = jax.random.split(key, 4)
    mapping, synthesis = MappingNetwork(MODEL), SynthesisNetwork(MODEL)
    discriminator = Discriminator(MODEL, strided_groups=False)

    def generate(params, key, labels):
        z_key, noise_key, mixing_key = jax.random.split(key, 3)
        z = jax.random.normal(z_key, (BATCH, 12))
        noise = latents.draw_noise(noise_key, BATCH, 6)
        crossover = latents.draw_crossover(mixing_key, 0.9, 6)
        w1 = mapping.apply({"params": params["mapping"]}, z[:, :6], labels)
        w2 = mapping.apply({"params": params["mapping"]}, z[:, 6:], labels)
        ws = jnp.stack([jnp.where(i < crossover, w1, w2) for i in range(6)], axis=1)
        variables = {"params": params["synthesis"]}
        images = synthesis.apply(
            variables, ws, noise, resolution=resolution, alpha=alpha
        )
        return images, w1.mean(axis=0)

    def score(params, images, labels):
        return discriminator.apply({"params": params}, images, labels, alpha=alpha)

    x = images / 127.5 - 1
    cells = x.reshape(BATCH, 8, 2, 8, 2, 3).mean(axis=(2, 4))
    coarse = cells.repeat(2, axis=1).repeat(2, axis=2)
    reals = coarse + (x - coarse) * alpha
    fakes, w_d = generate(state["g"], d_key, labels)

    def d_loss(params):
        by_image = jax.grad(lambda images: score(params, images, labels).sum())(reals)
        r1 = jnp.sum(by_image**2) / BATCH
        adversarial = softplus(score(params, fakes, labels)) + softplus(
            -score(params, reals, labels)
        )
        value = adversarial.mean() + 10 / 2 * r1
        return value, {"loss/D": value, "r1": r1}

    def adam(params, gradients, nu, count):
        nu = jax.tree.map(lambda n, g: 0.99 * n + 0.01 * g**2, nu, gradients)
        rate = 0.02
        params = jax.tree.map(
            lambda p, g, n: p - rate * g / (jnp.sqrt(n / (1 - 0.99**count)) + 1e-8),
            params,
            gradients,
            nu,
        )
        return params, nu

    count = state["count"] + 1
    d_gradients, metrics = jax.grad(d_loss, has_aux=True)(state["d"])
    d, d_nu = adam(state["d"], d_gradients, state["d_nu"], count)
    beta = 0.5 ** (BATCH / 10_000)
    ema = jax.tree.map(lambda e, p: p + (e - p) * beta, state["ema"], state["g"])
    new_labels = jax.random.permutation(label_key, labels)

    def g_loss(params):
        fakes, w_g = generate(params, g_key, new_labels)
        value = softplus(-score(d, fakes, new_labels)).mean()
        return value, (w_g, value)

    gradients, (w_g, metrics["loss/G"]) = jax.grad(g_loss, has_aux=True)(state["g"])
    g, g_nu = adam(state["g"], gradients, state["g_nu"], count)
    w_avg = state["w_avg"]
    for w in (w_d, w_g):
        w_avg = w + (w_avg - w) * 0.995
    return dict(
        nimg=state["nimg"] + BATCH,
        g=g,
        d=d,
        ema=ema,
        w_avg=w_avg,
        g_nu=g_nu,
        d_nu=d_nu,
        count=count,
        metrics=metrics,
    )


@pytest.mark.thorough
def test_a_call_of_the_step_is_two_updates_written_out_by_hand():
    first = start()
    zeros = jax.tree.map(jnp.zeros_like, (first.g_params, first.d_params))
    state = dict(
        nimg=0,
        g=first.g_params,
        d=first.d_params,
        ema=first.g_ema,
        w_avg=first.w_avg,
        g_nu=zeros[0],
        d_nu=zeros[1],
        count=0,
    )
    data = batch(16)
    alpha = jnp.float32(0.3)  # held for both minibatches
    update = jax.jit(restated_update)
    shown = []
    for i in range(2):
        images = jnp.asarray(data["images"][i], jnp.float32)
        state = update(state, images, data["labels"][i], alpha, jax.random.key(7))
        shown.append(state.pop("metrics"))
    actual, metrics = run()
    assert int(actual.nimg) == 16
    for name in shown[0]:
        mean = (shown[0][name] + shown[1][name]) / 2
        np.testing.assert_allclose(metrics[name], mean, rtol=1e-3, err_msg=name)
    # Adam's steps have nearly one size: compare what moved with a hundredth of it.
    assert_active_close(actual.d_params, state["d"], atol=2e-4)
    assert_active_close(actual.g_params, state["g"], atol=2e-4)
    assert_active_close(actual.g_ema, state["ema"], atol=1e-6)
    np.testing.assert_allclose(actual.w_avg, state["w_avg"], atol=1e-6)


def assert_active_close(actual, expected, atol, phase=FADING):
    def check(path, a, b):
        names = tuple(entry.key for entry in path)
        # Instance norm takes away what a bias adds where no pixel changes sign:
        # such a gradient is rounding error, and Adam gives it a whole step.
        flat = names[-3:] == ("block4", "const", "bias")
        if is_active(names, phase) and not flat:
            np.testing.assert_allclose(a, b, atol=atol, err_msg=str(names))

    jax.tree_util.tree_map_with_path(check, actual, expected)


def test_the_state_keeps_its_structure_shapes_and_types():
    state, metrics = run()
    chex.assert_trees_all_equal_shapes_and_dtypes(state, jax.device_get(start()))
    chex.assert_tree_all_finite(metrics)
    assert {"loss/D", "loss/G", "r1", "scores/real", "scores/fake"} <= set(metrics)


@pytest.mark.thorough
@pytest.mark.parametrize("devices", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_several_devices_give_the_result_of_one(devices):
    # A group of minibatch statistics, four samples, is on one of two devices, and on
    # two of four.
    one, one_metrics = run()
    several, metrics = run(devices=devices)
    # Sums over the batch are added in another order; Adam's first steps have the
    # size of the rate whatever the gradient, so its parameters get a looser bound.
    chex.assert_trees_all_close(one_metrics, metrics, rtol=1e-5, atol=1e-6)
    assert_active_close(one.g_params, several.g_params, atol=2e-4)
    assert_active_close(one.d_params, several.d_params, atol=2e-4)
    np.testing.assert_allclose(one.w_avg, several.w_avg, atol=1e-6)


@pytest.mark.thorough
def test_what_a_phase_does_not_use_stays_bitwise_and_the_rest_moves():
    before, (after, _) = jax.device_get(start()), run(phase=STABLE)

    def check(path, old, new):
        names = tuple(entry.key for entry in path)
        moved = not np.array_equal(old, new)
        assert moved == is_active(names, STABLE), names

    for name in ("g_params", "d_params", "g_ema"):
        old, new = getattr(before, name), getattr(after, name)
        jax.tree_util.tree_map_with_path(check, old, new)
    unused = after.g_opt_state[0].nu["synthesis"]["block16"]
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(unused))


@pytest.mark.thorough
def test_the_first_update_after_a_reset_moves_every_weight_by_the_learning_rate():
    phase = dataclasses.replace(STABLE, repeats=1)
    step, mesh = compiled(phase)
    state = jax.device_put(jax.tree.map(jnp.copy, start()), parallel.replicated(mesh))
    data = parallel.put_batch(batch(8, repeats=1), mesh, axis=1)
    after, _ = step(state, data, jax.random.key(7))
    moved = after.d_params["block8"]["conv0"]["weight"]
    moved = np.abs(moved - start().d_params["block8"]["conv0"]["weight"])
    np.testing.assert_allclose(moved, 0.01, rtol=1e-2)


@pytest.mark.thorough
def test_the_state_is_donated():
    step, mesh = compiled()
    state = jax.device_put(jax.tree.map(jnp.copy, start()), parallel.replicated(mesh))
    step(state, parallel.put_batch(batch(16), mesh, axis=1), jax.random.key(7))
    assert state.g_params["synthesis"]["block4"]["conv"]["weight"].is_deleted()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("accumulate", "devices"), [pytest.param(2, 1, marks=pytest.mark.slow), (4, 2)]
)
def test_a_minibatch_in_parts_gives_the_result_of_the_whole(accumulate, devices):
    # Without statistics over the minibatch, which see a part only, and with no
    # labels, whose permutation is of the whole.
    model = dataclasses.replace(MODEL, mbstd_group_size=0, label_size=0)
    whole, _ = run(phase=STABLE, model=model)
    in_parts = dataclasses.replace(STABLE, accumulate=accumulate)
    parts, _ = run(phase=in_parts, devices=devices, model=model)
    for field in dataclasses.fields(whole):  # everything that a step carries on
        expected, found = (getattr(state, field.name) for state in (whole, parts))
        if field.name in ("g_params", "d_params", "g_ema"):
            assert_active_close(expected, found, 5e-4, STABLE)
        elif not field.name.endswith("opt_state"):  # squared gradients round more
            chex.assert_trees_all_close(expected, found, rtol=1e-4, atol=1e-6)
        else:
            chex.assert_trees_all_close(expected, found, rtol=2e-2, atol=1e-4)
    assert float(jnp.abs(whole.w_avg).max()) > 1e-3


@pytest.mark.thorough
@pytest.mark.parametrize(
    "loss",
    [
        LossConfig(objective="logistic_saturating"),
        LossConfig(objective="wgan_gp"),
        LossConfig(objective="hinge", r1_gamma=1.0, r2_gamma=1.0),
    ],
    ids=lambda loss: loss.objective,
)
def test_every_objective_trains(loss):
    phase = dataclasses.replace(STABLE, repeats=1)
    step, mesh = compiled(phase, loss=loss)
    state = jax.device_put(jax.tree.map(jnp.copy, start()), parallel.replicated(mesh))
    data = parallel.put_batch(batch(8, repeats=1), mesh, axis=1)
    after, metrics = step(state, data, jax.random.key(7))
    chex.assert_tree_all_finite((after, metrics))
    assert ("gradient_penalty" in metrics) == (loss.objective == "wgan_gp")
    assert ("r2" in metrics) == (loss.r2_gamma > 0)
    norm = math.sqrt(float(metrics["grad_norm/G"]))
    assert norm > 0


@pytest.mark.thorough
def test_bfloat16_trains_close_to_float32():
    model = dataclasses.replace(MODEL, dtype="bfloat16")
    _, exact = run()
    state, rounded = run(model=model)
    chex.assert_type(jax.tree.leaves(state.g_params), np.float32)
    np.testing.assert_allclose(rounded["loss/D"], exact["loss/D"], rtol=0.05)
    np.testing.assert_allclose(rounded["r1"], exact["r1"], rtol=0.1)


def test_a_minibatch_that_cannot_be_shared_out_is_refused():
    phase = dataclasses.replace(STABLE, batch_size=6)
    with pytest.raises(ValueError, match="batch_size 6 at 8 px in 1 parts"):
        make_step(MODEL, LOSS, OPTIMIZER, phase, parallel.make_mesh(4))
