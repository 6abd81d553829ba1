"""A network with random weights and codes of it, drawn once for all tests here."""

import jax
import numpy as np
import pytest

from stylegan_jax.inversion.code import Code
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator, init_generator

CONFIG = ModelConfig(
    resolution=16,
    z_dim=6,
    w_dim=6,
    mapping_width=6,
    mapping_layers=1,
    channel_base=128,
    channel_max=8,
)


@pytest.fixture(scope="session")
def generator() -> Generator:
    """16 px, 6 layers, 8 channels; noise matters, and the mean of w is not 0."""
    made = jax.jit(init_generator, static_argnums=1)(jax.random.key(0), CONFIG)
    params = jax.tree.map(lambda x: x + 0.1, made.params)
    return made.replace(params=params, w_avg=made.w_avg + 0.5)


def make_code(generator: Generator, seed: int, count: int = 1) -> Code:
    ws = np.random.RandomState(seed).randn(count, 6, 6).astype("f")
    return Code(
        jax.numpy.asarray(ws), generator.draw_noise(jax.random.key(seed), count)
    )


@pytest.fixture(scope="session")
def codes(generator) -> tuple[Code, Code, Code]:
    """Three codes, of one image each, with different rows and noise."""
    return tuple(make_code(generator, seed) for seed in (1, 2, 3))
