"""Codes of the small network of all tests."""

import pytest

from stylegan_jax.inversion.code import Code
from tests import tiny


@pytest.fixture(scope="session")
def generator(tiny_generator):
    return tiny_generator


@pytest.fixture(scope="session")
def codes(generator) -> tuple[Code, Code, Code]:
    """Three codes, of one image each, with different rows and noise."""
    return tuple(tiny.code(generator, seed) for seed in (1, 2, 3))
