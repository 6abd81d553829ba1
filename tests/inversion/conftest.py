"""A tiny network whose noise counts, and pictures of it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.inversion.code import Code
from stylegan_jax.io import images
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator, init_generator

MODEL = ModelConfig(
    resolution=8,
    z_dim=6,
    w_dim=12,
    mapping_width=7,
    mapping_layers=2,
    mapping_lr_multiplier=1.0,
    channel_base=128,
    channel_max=8,
)


@pytest.fixture(scope="session")
def whole() -> Generator:
    drawn = jax.jit(init_generator, static_argnums=1)(jax.random.key(3), MODEL)
    # Fresh networks ignore noise; trained ones do not.
    params = jax.tree_util.tree_map_with_path(
        lambda path, x: x + 0.3 if path[-1].key == "noise_weight" else x, drawn.params
    )
    for name in ("to_rgb4", "to_rgb8"):  # pictures that 8 bits do not saturate
        params["synthesis"][name]["weight"] *= 0.15
    ws = drawn.map(np.random.RandomState(1).randn(1000, 6).astype("f"))
    return drawn.replace(params=params, w_avg=ws[:, 0].mean(0))


@pytest.fixture(scope="session")
def generator(whole) -> Generator:
    return whole


@pytest.fixture(scope="session")
def small(whole) -> Generator:
    """The same when it has grown to 4 px only: it compiles in half the time."""
    return dataclasses.replace(whole, resolution=4)


@pytest.fixture(scope="session")
def secret(whole) -> Code:
    """Codes of pictures that the network can draw: a different w for each layer."""
    z = np.random.RandomState(0).randn(3 * MODEL.num_ws, 6).astype("f")
    ws = whole.map(z)[:, 0].reshape(3, MODEL.num_ws, -1)
    return Code(ws, whole.draw_noise(jax.random.key(5), 3))


@pytest.fixture(scope="session")
def targets(generator, secret) -> jax.Array:
    """Pictures of the secret codes, float32 in about [-1, 1]."""
    return generator.synthesize(secret.ws, secret.noise)


@pytest.fixture(scope="session")
def pictures(targets) -> np.ndarray:
    """The same in 8 bits."""
    return images.to_uint8(np.asarray(targets))


@pytest.fixture(scope="session")
def start(generator, secret) -> Code:
    """The mean of w, and the noise of the secret codes."""
    return Code(jnp.broadcast_to(generator.w_avg, secret.ws.shape), secret.noise)
