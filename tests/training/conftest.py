"""Compiled steps that several tests share."""

import pytest

from stylegan_jax.training import compiling

_COMPILED = {}


@pytest.fixture
def compiled_once(monkeypatch):
    """Steps of the same networks, losses, phase and devices are compiled once."""
    plain = compiling.compile_step

    def compile_step(config, phase, mesh):
        key = (config.model, config.loss, config.optimizer, config.augment, phase, mesh)
        key += (config.run.shard_state, config.data.dtype)
        if key not in _COMPILED:
            _COMPILED[key] = plain(config, phase, mesh)
        return _COMPILED[key]

    monkeypatch.setattr(compiling, "compile_step", compile_step)
