"""A tiny network whose noise counts, and pictures of it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.inversion.code import Code, draw
from stylegan_jax.io import images
from stylegan_jax.networks.generator import Generator
from tests import tiny

MODEL = dataclasses.replace(tiny.MODEL_8, w_dim=12)


@pytest.fixture(scope="session")
def generator() -> Generator:
    made = tiny.generator(MODEL)
    params = jax.tree_util.tree_map_with_path(  # pictures that 8 bits do not saturate
        lambda path, x: x * (0.5 if "to_rgb" in jax.tree_util.keystr(path) else 1),
        made.params,
    )
    return dataclasses.replace(made, params=params)


@pytest.fixture(scope="session")
def small(generator) -> Generator:
    """The same when it has grown to 4 px only: it compiles in half the time."""
    return dataclasses.replace(generator, resolution=4)


@pytest.fixture(scope="session")
def secret(generator) -> Code:
    """Codes of three pictures that the network can draw."""
    return tiny.code(generator, count=3)


@pytest.fixture(scope="session")
def secret_4(secret) -> Code:
    return Code(secret.ws, secret.noise[:2])


@pytest.fixture(scope="session")
def targets(generator, secret) -> jax.Array:
    """Pictures of the secret codes, float32 in about [-1, 1]."""
    return jax.jit(draw)(generator, secret)


@pytest.fixture(scope="session")
def targets_4(small, secret_4) -> jax.Array:
    return jax.jit(draw)(small, secret_4)


@pytest.fixture(scope="session")
def pictures_4(targets_4) -> np.ndarray:
    """In 8 bits."""
    return images.to_uint8(np.asarray(targets_4))


@pytest.fixture(scope="session")
def start(generator, secret) -> Code:
    """The mean of w, and the noise of the secret codes."""
    return Code(jnp.broadcast_to(generator.w_avg, secret.ws.shape), secret.noise)


@pytest.fixture(scope="session")
def start_4(start) -> Code:
    return Code(start.ws, start.noise[:2])
