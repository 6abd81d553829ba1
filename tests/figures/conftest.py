"""A network of 16 px whose noise counts, and what figures fill their cells with."""

import jax
import numpy as np
import pytest

from stylegan_jax.figures.studio import Studio
from stylegan_jax.io import images
from stylegan_jax.io.grids import Sheet
from stylegan_jax.networks.generator import Generator
from tests import tiny


@pytest.fixture(scope="session")
def generator() -> Generator:
    return tiny.generator()


@pytest.fixture(scope="session")
def studio(generator) -> Studio:
    return Studio(generator, batch_size=4, cell=16)


@pytest.fixture(scope="session")
def w_of(generator):
    """One w per layer of a seed, by the mapping itself: `[L, w_dim]`, untruncated."""

    def w_of(seed):
        z = np.random.RandomState(seed).randn(1, 6).astype("f")
        return np.array(generator.map(z))[0]

    return w_of


@pytest.fixture(scope="session")
def synthesize(generator):
    """A picture of one w per layer and of noise, drawn alone: uint8 `[16, 16, 3]`."""
    jitted = jax.jit(generator.synthesize)

    def synthesize(ws, noise=None):
        noise = generator.noise if noise is None else noise
        return images.to_uint8(np.asarray(jitted(np.asarray(ws)[None], noise)))[0]

    return synthesize


@pytest.fixture
def cells(monkeypatch):
    """The pictures that sheets are filled with, one list per figure or frame."""
    filled = []
    fill = Sheet.fill

    def recording(sheet, pictures):
        filled.append(list(pictures))
        return fill(sheet, pictures)

    monkeypatch.setattr(Sheet, "fill", recording)
    return filled


@pytest.fixture(scope="session")
def same():
    """Asserts that pictures agree up to rounding, which batches may change."""

    def same(picture, expected):
        difference = np.abs(picture.astype(int) - expected.astype(int))
        assert difference.max() <= 1 and (difference > 0).mean() < 0.02

    return same
