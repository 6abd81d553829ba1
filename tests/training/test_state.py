import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.distributed import parallel
from stylegan_jax.training import state as states
from stylegan_jax.training.state import OptimizerConfig
from tests import tiny
from tests.tiny import MODEL

FADING = tiny.phase(fading=True, end_nimg=100, fade_nimg=100.0)
STABLE = dataclasses.replace(FADING, fading=False)
FINAL = dataclasses.replace(FADING, resolution=16)
ACTIVE = {  # of networks of 16 px: what each phase leaves out
    STABLE: {"block16", "to_rgb4", "from_rgb4", "to_rgb16", "from_rgb16"},
    FADING: {"block16", "to_rgb16", "from_rgb16"},
    FINAL: {"to_rgb4", "from_rgb4"},
    dataclasses.replace(FINAL, fading=False): {
        *("to_rgb4", "from_rgb4", "to_rgb8", "from_rgb8"),
    },
}


@functools.cache
def initial(beta1=0.0):
    if not beta1:
        return states.init_state(jax.random.key(0), MODEL, OptimizerConfig())
    fresh = dataclasses.replace(initial(), g_opt_state=None, d_opt_state=None)
    return states.reset_optimizers(fresh, OptimizerConfig(beta1=beta1))


def tops(*trees):
    """Names of the modules: mapping, block4, ... of several trees together."""
    names = set()
    for tree in trees:
        names |= {"mapping"} & set(tree) | set(tree.get("synthesis", tree))
    return names - {"synthesis"}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("phase", "unused"), ACTIVE.items(), ids=lambda x: getattr(x, "title", None)
)
def test_a_phase_selects_the_modules_of_its_graph(phase, unused):
    state = initial()
    both = (state.g_params, state.d_params)
    assert tops(*states.select(both, phase)) == tops(*both) - unused


def test_a_new_state_has_an_average_of_its_own_and_nothing_in_it_is_shared():
    state = initial()
    chex.assert_trees_all_equal(state.g_ema, state.g_params)
    # Buffers that two leaves share could not be donated.
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state)]
    assert len(set(pointers)) == len(pointers)
    assert state.nimg == 0 and state.nimg.dtype == jnp.int32
    np.testing.assert_array_equal(state.w_avg, np.zeros(6))
    assert [n.shape[1] for n in state.noise] == [4, 4, 8, 8, 16, 16]
    assert all(np.any(n) for n in state.noise)


@pytest.mark.parametrize("beta1", [0.0, 0.5])
def test_merging_puts_the_selected_part_back_and_leaves_the_rest(beta1):
    state = initial(beta1)
    tree = (state.g_params, state.g_opt_state)
    part = states.select(tree, STABLE)
    chex.assert_trees_all_equal(states.merge(tree, part), tree)
    moved = states.merge(tree, jax.tree.map(lambda x: x + 1, part))
    chex.assert_trees_all_equal_structs(moved, tree)

    def check(path, old, new):
        names = tuple(k.key for k in path if isinstance(k, jax.tree_util.DictKey))
        difference = 1 if states.is_active(names, STABLE) else 0
        np.testing.assert_allclose(new, old + difference, err_msg=str(path), atol=1e-6)

    jax.tree_util.tree_map_with_path(check, tree, moved)


def test_selecting_and_merging_keep_a_mapping_without_layers():
    tree = {"mapping": {}, "synthesis": {"block8": 1, "block16": 2}}
    part = states.select(tree, STABLE)
    assert part == {"mapping": {}, "synthesis": {"block8": 1}}
    assert states.merge(tree, part) == tree


@pytest.mark.parametrize("beta1", [0.0, 0.5])
def test_the_optimizer_is_adam_with_bias_correction_at_its_resolutions_rate(beta1):
    rate = ByResolution(0.5, ((16, 0.25),))
    config = OptimizerConfig(learning_rate=rate, beta1=beta1, beta2=0.9, epsilon=0.1)
    draw = np.random.RandomState(0)
    start = draw.randn(5)
    for resolution, rate in ((8, 0.5), (16, 0.25)):
        tx = states.make_optimizer(config, resolution)
        params = {"weight": jnp.asarray(start, jnp.float32)}
        opt_state = tx.init(params)
        x, m, v = start.copy(), np.zeros(5), np.zeros(5)
        for t in range(1, 4):
            gradient = draw.randn(5)
            m = beta1 * m + (1 - beta1) * gradient
            v = 0.9 * v + 0.1 * gradient**2
            x -= rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - 0.9**t)) + 0.1)
            gradients = {"weight": jnp.asarray(gradient, jnp.float32)}
            updates, opt_state = tx.update(gradients, opt_state, params)
            params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(params["weight"], x, rtol=1e-5, atol=1e-6)


def test_learning_rates_are_the_official_ones():
    rate = OptimizerConfig().learning_rate
    rates = [rate.at(2**k) for k in range(2, 11)]
    assert rates == [0.001] * 5 + [0.0015, 0.002, 0.003, 0.003]
    config = OptimizerConfig()
    assert (config.beta1, config.beta2, config.epsilon) == (0, 0.99, 1e-8)
    assert (config.ema_kimg, config.w_avg_beta) == (10, 0.995)


def test_a_reset_forgets_moments_and_counts_and_nothing_else():
    state = initial(0.5)
    used = jax.tree.map(lambda x: x + 1, (state.g_opt_state, state.d_opt_state))
    used = dataclasses.replace(state, g_opt_state=used[0], d_opt_state=used[1])
    reset = states.reset_optimizers(used, OptimizerConfig(beta1=0.5))
    chex.assert_trees_all_equal(reset, state)
    moments = jax.tree.leaves((reset.g_opt_state, reset.d_opt_state))
    assert len(moments) > 4 and not any(np.any(leaf) for leaf in moments)


def test_the_generator_of_a_state_is_its_average_as_far_as_it_has_grown():
    state = initial()
    ema = jax.tree.map(lambda x: x + 1, state.g_ema)
    state = dataclasses.replace(state, g_ema=ema, nimg=jnp.int32(25))
    generator = states.generator_of(state, MODEL, FADING)
    assert generator.params is ema and generator.w_avg is state.w_avg
    assert generator.resolution == 8
    np.testing.assert_allclose(generator.alpha, 0.25)
    assert states.generator_of(state, MODEL, STABLE).alpha is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beta1": 1.0}, "beta1 is 1.0, not in"),
        ({"w_avg_beta": -0.1}, "w_avg_beta is -0.1, not in"),
        ({"learning_rate": ByResolution(0.0)}, "learning_rate"),
        ({"epsilon": 0.0}, "epsilon is 0.0, not positive"),
        ({"ema_kimg": -1}, "ema_kimg is -1, below 0"),
    ],
)
def test_impossible_optimizers_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        OptimizerConfig(**values)


def bytes_of(tree):
    """Bytes on the first device, and of one whole copy."""
    leaves = jax.tree.leaves(tree)
    here = sum(leaf.addressable_shards[0].data.nbytes for leaf in leaves)
    return here, sum(leaf.nbytes for leaf in leaves)


def test_moments_and_average_are_shared_out_and_nothing_else():
    mesh = parallel.make_mesh(4)
    state = initial()
    places = states.shardings(state, mesh, spread=True)
    spread = parallel.place(state, places)
    for field in dataclasses.fields(state):
        here, whole = bytes_of(getattr(spread, field.name))
        if field.name in ("g_ema", "g_opt_state", "d_opt_state"):
            # Nearly a quarter: a few small arrays have no axis that divides.
            assert whole / 4 <= here <= 0.27 * whole, field.name
        else:
            assert here == whole, field.name
    chex.assert_trees_all_equal(jax.device_get(spread), jax.device_get(state))
    whole = parallel.copy_everywhere(spread.g_ema, mesh)
    assert bytes_of(whole)[0] == bytes_of(whole)[1]
    everywhere = states.shardings(state, mesh, spread=False)
    assert all(s.is_fully_replicated for s in jax.tree.leaves(everywhere))
