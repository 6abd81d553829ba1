"""StyleGAN and Image2StyleGAN++ in JAX/Flax: train, sample, invert, edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from stylegan_jax.networks.generator import Generator

__version__ = "0.1.0"


def load(path: str | Path) -> Generator:
    """Loads a generator: see `stylegan_jax.loading.load`."""
    from stylegan_jax import loading  # JAX is imported only when it is needed

    return loading.load(path)
