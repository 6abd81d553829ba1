"""Four fake CPU devices, strict numerics, and what several tests share."""

import os

# Before JAX is imported: XLA's CPU backend needs a thread per collective in flight.
os.environ.setdefault("NPROC", "32")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from pathlib import Path

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")
# Compiled programs are kept between runs of the tests.
_CACHE = Path(__file__).parent.parent / ".pytest_cache" / "xla"
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


@pytest.fixture
def key() -> jax.Array:
    """A key for whatever a test draws."""
    return jax.random.key(0)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Reference numbers and real data outside the repository; skips without them."""
    path = Path(os.environ.get("STYLEGAN_JAX_SHARED", ""))
    if not os.environ.get("STYLEGAN_JAX_SHARED"):
        path = Path(__file__).resolve().parents[2] / "shared"
    if not (path / "reference").is_dir():
        pytest.skip("reference data is not at hand (STYLEGAN_JAX_SHARED)")
    return path
