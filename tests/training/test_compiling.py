import dataclasses
import threading

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.data.config import DataConfig
from stylegan_jax.distributed import parallel
from stylegan_jax.training import compiling
from stylegan_jax.training import step as step_module
from stylegan_jax.training.config import Config
from stylegan_jax.training.losses import LossConfig
from stylegan_jax.training.schedule import ScheduleConfig, phases
from stylegan_jax.training.state import init_state
from stylegan_jax.training.step import make_step
from tests import tiny

CONFIG = Config(model=tiny.MODEL)
ABLATIONS = [
    {"mapping_layers": 0},
    {"mapping_layers": 0, "label_size": 6, "w_dim": 12, "embed_labels": False},
    {"use_styles": False, "const_input": False, "use_pixel_norm": True},
    {"use_noise": False, "use_instance_norm": False, "blur": False},
    {"mbstd_group_size": 0, "num_channels": 1, "dtype": "bfloat16", "remat": True},
]


@pytest.mark.thorough
@pytest.mark.parametrize("changes", ABLATIONS, ids=lambda changes: "-".join(changes))
def test_the_step_of_every_ablation_keeps_the_states_shapes(changes):
    model = dataclasses.replace(CONFIG.model, **changes)
    data = DataConfig(num_channels=model.num_channels)
    config = dataclasses.replace(CONFIG, model=model, data=data)
    mesh = parallel.make_mesh()
    state = compiling.abstract_state(config, mesh)
    phase = phases(config.schedule, 16)[1]
    assert phase.fading
    step = make_step(model, config.loss, config.optimizer, phase, mesh)
    batch = compiling.abstract_batch(model, phase, mesh)
    after, _ = jax.eval_shape(step, state, batch, jax.random.key(0))
    chex.assert_trees_all_equal_shapes_and_dtypes(after, state)


def test_the_abstract_state_is_that_of_a_real_one_on_every_device():
    mesh = parallel.make_mesh()
    abstract = compiling.abstract_state(CONFIG, mesh)
    state = init_state(jax.random.key(0), CONFIG.model, CONFIG.optimizer)
    chex.assert_trees_all_equal_shapes_and_dtypes(abstract, state)
    shardings = {leaf.sharding for leaf in jax.tree.leaves(abstract)}
    assert shardings == {parallel.replicated(mesh)}


def test_the_abstract_batch_is_one_call_of_the_step_split_over_devices():
    mesh = parallel.make_mesh()
    phase = phases(CONFIG.schedule, 16)[0]
    batch = compiling.abstract_batch(CONFIG.model, phase, mesh)
    chex.assert_shape(batch["images"], (4, 256, 8, 8, 3))
    chex.assert_shape(batch["labels"], (4, 256, 0))
    assert batch["images"].dtype == jnp.uint8
    assert batch["images"].sharding.shard_shape((4, 256, 8, 8, 3))[1] == 64


def test_the_next_step_compiles_while_the_one_before_it_is_in_use():
    begun = {name: threading.Event() for name in "abc"}

    def compiled(phase):
        begun[phase].set()
        return phase.upper()

    steps = compiling.steps_ahead(("a", "b", "c"), compiled)
    assert next(steps) == ("a", "A")
    assert begun["b"].wait(10) and not begun["c"].is_set()
    assert list(steps) == [("b", "B"), ("c", "C")]


def test_a_step_that_does_not_compile_raises_when_it_is_needed():
    def compiled(phase):
        if phase == "b":
            raise ValueError("no room")
        return phase.upper()

    steps = compiling.steps_ahead(("a", "b"), compiled)
    assert next(steps) == ("a", "A")
    with pytest.raises(ValueError, match="no room"):
        next(steps)


@pytest.mark.thorough
@pytest.mark.parametrize("devices", [1, 2])
def test_a_loop_of_ones_own_traces_and_compiles_its_step_once(devices, monkeypatch):
    model = dataclasses.replace(CONFIG.model, resolution=8, use_noise=False)
    schedule = ScheduleConfig(initial_resolution=4, batch_size=4, repeats=1)
    phase, *_ = phases(schedule, 8)
    traced = []
    make_update = step_module.make_update

    def counted(*args):
        update = make_update(*args)

        def call(*args):
            traced.append(1)
            return update(*args)

        return call

    monkeypatch.setattr(step_module, "make_update", counted)
    loss = LossConfig(r1_gamma=0.0)  # no second derivatives: compiles sooner
    mesh = parallel.make_mesh(devices)
    step = make_step(model, loss, CONFIG.optimizer, phase, mesh)
    state = init_state(jax.random.key(0), model, CONFIG.optimizer)
    for _ in range(3):
        images = np.zeros((1, 4, 4, 4, 3), np.uint8)
        batch = {"images": images, "labels": np.zeros((1, 4, 0), np.float32)}
        before = jax.tree.leaves(state.g_params)
        state, _ = step(state, batch, jax.random.key(1))
        places = {x.sharding for x in jax.tree.leaves(state)}
        assert places == {parallel.replicated(mesh)}
    assert all(x.is_deleted() for x in before)  # donated
    assert len(traced) == 1 and int(state.nimg) == 12
