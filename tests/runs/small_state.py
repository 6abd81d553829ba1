"""A small state, two checkpoints of it, and ways to damage them."""

import os
import shutil
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax

from stylegan_jax.runs.checkpoint import CheckpointConfig, Checkpoints


@flax.struct.dataclass
class State:
    nimg: jax.Array
    g_params: dict[str, Any]
    g_ema: dict[str, Any]
    w_avg: jax.Array
    noise: tuple[jax.Array, ...]
    g_opt_state: optax.OptState
    empty: dict[str, Any]


def make_state(seed=0, width=8):
    random = np.random.RandomState(seed)

    def normal(*shape):
        return jnp.asarray(random.randn(*shape).astype("f"))

    params = {
        "mapping": {"dense0": {"weight": normal(width, 4)}},
        "synthesis": {
            "block4": {"const": normal(1, 4, 4, 3)},
            "half": normal(5).astype(jnp.bfloat16),
            "odd": jnp.array([np.nan, -0.0, np.inf, 1e-45], jnp.float32),
            "no_labels": jnp.zeros((0, 4)),
        },
    }
    tx = optax.chain(optax.clip(1.0), optax.adam(1e-3, b1=0.0))
    return State(
        nimg=jnp.uint32(1000 + seed),
        g_params=params,
        g_ema=jax.tree.map(lambda x: x * 2, params),
        w_avg=normal(4),
        noise=tuple(jnp.full((1, r, r, 1), r + seed, jnp.float32) for r in (4, 8)),
        g_opt_state=tx.init(params),
        empty={},
    )


def assert_bitwise_equal(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def on_host(state):
    return jax.tree.map(lambda x: np.array(x, copy=True), state)


def data_files(step):
    """Every non-empty file of a checkpoint, relative to it."""
    files = (p for p in sorted(step.rglob("*")) if p.is_file() and p.stat().st_size)
    return [path.relative_to(step) for path in files]


def two_checkpoints(tmp_path):
    old, new = make_state(1), make_state(2)
    with Checkpoints(tmp_path, CheckpointConfig()) as checkpoints:
        checkpoints.save(1000, old)
        checkpoints.save(2000, new)
    return old, new, tmp_path / "checkpoints" / "nimg_000002000"


def flip_array_bit(step):
    for path in step.glob("state/**/d/*"):  # which of them holds what varies
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


def truncate(step):
    for path in step.glob("state/**/d/*"):
        os.truncate(path, path.stat().st_size // 2)


def empty(step):
    shutil.rmtree(step)
    step.mkdir()
