"""A server of jobs, and two recipes that compile in a moment."""

import jax
import pytest

from tests.distributed import jobs

HEAD = '''"""For tests."""

from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.data.config import DataConfig
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.runs.checkpoint import CheckpointConfig
from stylegan_jax.training.config import Config, RunConfig
from stylegan_jax.training.losses import LossConfig
from stylegan_jax.training.schedule import ScheduleConfig
from stylegan_jax.training.state import OptimizerConfig

'''
# Adam's first steps have the size of the rate whatever the gradient; with a large
# epsilon a step is proportional to it, so that runs can be compared to 1e-5.
_FACES = """
def get_config():
    return Config(
        model=ModelConfig(
            resolution=8, z_dim=4, w_dim=4, mapping_width=4, mapping_layers=1,
            channel_max=4,
        ),
        data=DataConfig(
            portraits_size=24, labels="eyeglasses", mirror=True, holdout=0.25
        ),
        optimizer=OptimizerConfig(learning_rate=ByResolution(0.01), epsilon=100.0),
        schedule=ScheduleConfig(
            total_kimg=0.096, repeats=1, batch_size=ByResolution(16)
        ),
        checkpoint=CheckpointConfig(every_kimg=0.048),
        run=RunConfig(tick_kimg=ByResolution(0.016), grid_columns=2, grid_rows=1),
    )
"""
RING = """
def get_config():
    return Config(
        model=ModelConfig(
            resolution=1, num_channels=2, z_dim=4, w_dim=4, mapping_layers=0,
            normalize_z=False, use_styles=False, use_noise=False, mlp_layers=1,
            mlp_width=8, mbstd_group_size=0,
        ),
        data=DataConfig(name="ring", num_channels=2),
        loss=LossConfig(r1_gamma=0.1),
        optimizer=OptimizerConfig(learning_rate=ByResolution(0.001), epsilon=1e-4),
        schedule=ScheduleConfig(
            initial_resolution=1, total_kimg=0.8, repeats=1,
            batch_size=ByResolution(8), reset_optimizers=False,
        ),
        checkpoint=CheckpointConfig(every_kimg=0.08),
        run=RunConfig(tick_kimg=ByResolution(0.04), grid_ticks=10**6),
    )
"""


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Starts jobs; what they compile is kept between runs of the tests."""
    cache = f"{jax.config.jax_compilation_cache_dir}_jobs"
    server = jobs.Server(tmp_path_factory.mktemp("jobs"), cache)
    yield server
    server.close()


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """Recipe of a small StyleGAN: 6 steps of 16 images."""
    path = tmp_path_factory.mktemp("recipes") / "faces.py"
    path.write_text(HEAD + _FACES)
    return path


@pytest.fixture(scope="session")
def ring(tmp_path_factory):
    """Recipe of small multi-layer perceptrons: 100 steps of 8 points."""
    path = tmp_path_factory.mktemp("recipes") / "ring.py"
    path.write_text(HEAD + RING)
    return path
