"""Compilation of the next phase's step during training; lack of device memory."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, Sharding
from jax.typing import DTypeLike

from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.training.config import Config
from stylegan_jax.training.schedule import Phase
from stylegan_jax.training.state import TrainState, init_state, shardings
from stylegan_jax.training.step import Batch, TrainStep, make_step


def abstract_state(config: Config, mesh: Mesh) -> TrainState:
    """Shapes, types and sharding of the state; computes nothing."""

    def init(key: jax.Array) -> TrainState:
        return init_state(key, config.model, config.optimizer, config.augment)

    shapes = jax.eval_shape(init, jax.random.key(0))
    places = shardings(shapes, mesh, spread=config.run.shard_state)
    return jax.tree.map(_at, shapes, places)


def abstract_batch(
    model: ModelConfig, phase: Phase, mesh: Mesh, dtype: DTypeLike = jnp.uint8
) -> Batch:
    """Shapes, types and sharding of the arguments of a phase's step."""
    lead = (phase.minibatches, phase.batch_size)
    size = (phase.resolution, phase.resolution, model.num_channels)
    place = parallel.split(mesh, axis=1)
    return {
        "images": jax.ShapeDtypeStruct((*lead, *size), dtype, sharding=place),
        "labels": jax.ShapeDtypeStruct(
            (*lead, model.label_size), jnp.float32, sharding=place
        ),
    }


def compile_step(config: Config, phase: Phase, mesh: Mesh) -> TrainStep:
    """Traces and compiles the training step of a phase; takes seconds to minutes."""
    state = abstract_state(config, mesh)
    step = make_step(
        config.model,
        config.loss,
        config.optimizer,
        phase,
        mesh,
        jax.tree.map(lambda x: x.sharding, state),
        config.augment,
    )
    batch = abstract_batch(config.model, phase, mesh, config.data.dtype)
    key = jax.eval_shape(lambda: jax.random.key(0))
    key = _at(key, parallel.replicated(mesh))
    return step.lower(state, batch, key).compile()  # type: ignore[attr-defined]


def steps_ahead(
    phases: tuple[Phase, ...],
    compiled: Callable[[Phase], TrainStep],
    wait: Callable[[Callable[[], bool]], bool] = lambda ready: True,
) -> Iterator[tuple[Phase, TrainStep]]:
    """Yields phases and their compiled steps, compiling one ahead in a thread.

    `wait` takes a predicate (next step compiled?) and blocks until it holds; returning
    False instead ends the iteration.
    """
    # Python waits for its thread at exit: XLA crashes if a program ends as it compiles.
    thread = ThreadPoolExecutor(1, "compile")
    ahead = [thread.submit(compiled, phase) for phase in phases[:1]]
    for i, phase in enumerate(phases):
        current = ahead.pop()
        if not wait(current.done):
            return
        step = current.result()
        ahead = [thread.submit(compiled, after) for after in phases[i + 1 : i + 2]]
        yield phase, step


@contextlib.contextmanager
def memory_explained(phase: Callable[[], Phase | None]) -> Iterator[None]:
    """Turns device memory exhaustion in the block into a UserError with flags."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        now = phase()
        if "RESOURCE_EXHAUSTED" not in str(error) or now is None:
            raise
        raise UserError(
            f"out of device memory at {now.title} ({str(error).splitlines()[0][:200]});"
            " the same command takes less with `model.remat`, or with `change` and a "
            f"smaller `schedule.batch_size` (here {now.batch_size}) or a larger "
            f"`schedule.accumulate` (here {now.accumulate}) at this resolution"
        ) from error


def _at(x: jax.ShapeDtypeStruct, sharding: Sharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
