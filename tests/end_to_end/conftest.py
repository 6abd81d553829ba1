"""A recipe small enough for a test, and the commands as users start them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import pytest

import stylegan_jax

ROOT = Path(stylegan_jax.__file__).resolve().parents[1]
RECIPE = '''"""Two resolutions, three phases, a hundred and fifty steps."""

import stylegan_jax as sg


def get_config() -> sg.Config:
    return sg.Config(
        model=sg.ModelConfig(
            resolution=16,
            z_dim=8,
            w_dim=8,
            mapping_width=8,
            mapping_layers=1,
            channel_max=8,
        ),
        data=sg.DataConfig(portraits_size=32, mirror=True),
        schedule=sg.ScheduleConfig(
            stable_kimg=0.1, fade_kimg=0.1, total_kimg=1.2, repeats=2, batch_size=4
        ),
        checkpoint=sg.CheckpointConfig(every_kimg=0.048),
        run=sg.RunConfig(tick_kimg=0.1, grid_columns=2, grid_rows=1),
    )
'''

Start = Callable[..., subprocess.Popen]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The file of the tiny recipe."""
    path = tmp_path / "tiny.py"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def start() -> Start:
    """Starts `python -m stylegan_jax.PROGRAM WORDS...`, output to a pipe."""

    def start(program: str, *words: object) -> subprocess.Popen:
        cache = f"{jax.config.jax_compilation_cache_dir}_commands"
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",
            # The same for every process of a test. What is compiled is kept, in a
            # folder of its own: a killed process may leave half a file there.
            "XLA_FLAGS": "--xla_backend_optimization_level=0"
            " --xla_llvm_disable_expensive_passes=true",
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        return subprocess.Popen(
            [sys.executable, "-m", f"stylegan_jax.{program}", *map(str, words)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start
