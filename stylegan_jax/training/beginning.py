"""The state that a run begins or continues with."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from stylegan_jax.distributed import parallel
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator
from stylegan_jax.runs.checkpoint import Checkpoints, Restored
from stylegan_jax.training import compiling, transfer
from stylegan_jax.training.config import Config
from stylegan_jax.training.state import TrainState, init_state, shardings
from stylegan_jax.training.transfer import Beginning

# Between the seeds of two rollbacks: far from the seeds that people choose.
_PRIME = 104_729
BEGUN = "begun"  # of a new run's facts: what came along of other networks


def restore_or_init(
    config: Config, checkpoints: Checkpoints, mesh: Mesh, beginning: Beginning | None
) -> Restored:
    """The newest good checkpoint, or a new state before the first image."""
    restored = checkpoints.restore_latest(compiling.abstract_state(config, mesh))
    if restored is not None:
        return restored
    key = jax.random.key(config.run.seed)
    state = init_state(key, config.model, config.optimizer, config.augment)
    nimg, facts = 0, {}
    if beginning is not None:
        source = beginning.source
        state, rows = transfer.adopt(state, config.model, source)
        nimg = transfer.first_image(config, beginning.kimg)
        state = dataclasses.replace(state, nimg=jnp.asarray(nimg, jnp.int32))
        facts[BEGUN] = transfer.table(source, rows)
    return Restored(nimg, placed(state, config, mesh), facts, {})


def placed(state: TrainState, config: Config, mesh: Mesh) -> TrainState:
    """The state where the step wants it."""
    places = shardings(state, mesh, spread=config.run.shard_state)
    return parallel.place(state, places)


def saved_generator(
    state: TrainState, model: ModelConfig, facts: Mapping[str, Any]
) -> Generator:
    """The averaged generator of a restored state, as `stylegan_jax.load` has it."""
    alpha = facts.get("alpha")
    return Generator(
        params=state.g_ema,
        w_avg=state.w_avg,
        noise=state.noise,
        alpha=None if alpha is None else jnp.float32(alpha),
        config=model,
        resolution=facts["resolution"],
    )


def reseeded(config: Config, rollbacks: int) -> Config:
    """Other latents and another order of the data after every rollback."""
    run = dataclasses.replace(config.run, seed=config.run.seed + _PRIME * rollbacks)
    data = dataclasses.replace(config.data, seed=config.data.seed + _PRIME * rollbacks)
    return dataclasses.replace(config, run=run, data=data)
