"""Compiling the step of a phase while the phase before it still trains."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jax.typing import DTypeLike

from stylegan_jax.distributed import parallel
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.training.config import Config
from stylegan_jax.training.schedule import Phase
from stylegan_jax.training.state import TrainState, init_state, shardings
from stylegan_jax.training.step import Batch, TrainStep, make_step


def abstract_state(config: Config, mesh: Mesh) -> TrainState:
    """Shapes, types and sharding of the state, without computing anything."""

    def init(key: jax.Array) -> TrainState:
        return init_state(key, config.model, config.optimizer, config.augment)

    shapes = jax.eval_shape(init, jax.random.key(0))
    places = shardings(shapes, mesh, spread=config.run.shard_state)
    return jax.tree.map(_at, shapes, places)


def abstract_batch(
    model: ModelConfig, phase: Phase, mesh: Mesh, dtype: DTypeLike = jnp.uint8
) -> Batch:
    """Shapes, types and sharding of what one call of the phase's step takes."""
    lead = (phase.minibatches, phase.batch_size)
    size = (phase.resolution, phase.resolution, model.num_channels)
    shapes = {
        "images": jax.ShapeDtypeStruct((*lead, *size), dtype),
        "labels": jax.ShapeDtypeStruct((*lead, model.label_size), jnp.float32),
    }
    return _placed(shapes, parallel.split(mesh, axis=1))


def compile_step(config: Config, phase: Phase, mesh: Mesh) -> TrainStep:
    """Traces and compiles the training step of a phase; takes seconds to minutes."""
    state = abstract_state(config, mesh)
    places = jax.tree.map(lambda x: x.sharding, state)
    step = make_step(
        config.model,
        config.loss,
        config.optimizer,
        phase,
        mesh,
        places,
        config.augment,
    )
    key = jax.eval_shape(lambda: jax.random.key(0))
    return step.lower(  # type: ignore[attr-defined]
        state,
        abstract_batch(config.model, phase, mesh, config.data.dtype),
        _placed(key, parallel.replicated(mesh)),
    ).compile()


class StepsAhead:
    """Iterates over phases and their compiled steps, one compilation ahead."""

    def __init__(
        self,
        config: Config,
        phases: tuple[Phase, ...],
        mesh: Mesh,
        wait: Callable[[Callable[[], bool]], bool] | None = None,
    ) -> None:
        """Compiles nothing yet.

        Args:
            config: the whole configuration.
            phases: of the steps, in order.
            mesh: the devices.
            wait: is given a function that says whether the next step is compiled, and
                returns when it is; or False, when nobody wants it any more, which
                ends the iteration. By default nothing can end it early.
        """
        self._compile = lambda phase: compile_step(config, phase, mesh)
        self._phases = phases
        self._wait = wait or (lambda compiled: True)

    def __iter__(self) -> Iterator[tuple[Phase, TrainStep]]:
        """Yields a phase and its step while the next one compiles in a thread."""
        ahead: Future[TrainStep] | None = None
        for i, phase in enumerate(self._phases):
            ahead = ahead or _in_background(self._compile, phase)
            if not self._wait(ahead.done):
                return
            step = ahead.result()
            following = self._phases[i + 1 : i + 2]
            ahead = _in_background(self._compile, *following) if following else None
            yield phase, step


def _in_background(
    function: Callable[[Phase], TrainStep], phase: Phase
) -> Future[TrainStep]:
    """Calls a function in a thread.

    Not a daemon: a program that ends while XLA compiles in one would crash, so the
    end of the program waits for it. Commands do not wait (`running.run_main`): they end
    the process, which ends its threads.
    """
    future: Future[TrainStep] = Future()

    def run() -> None:
        try:
            future.set_result(function(phase))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="compile").start()
    return future


def _placed(tree, sharding):  # type: ignore[no-untyped-def]
    return jax.tree.map(lambda x: _at(x, sharding), tree)


def _at(x: jax.ShapeDtypeStruct, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
