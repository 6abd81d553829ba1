"""Small networks of the tests, and codes, directions, photographs and runs of them.

Nothing here is compiled: shapes come from the package, numbers from NumPy.
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.portraits.source import Portraits
from stylegan_jax.editing.directions import Direction
from stylegan_jax.inversion.code import Code
from stylegan_jax.io.outputs import write_png
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator, init_generator
from stylegan_jax.runs import run_directory
from stylegan_jax.runs.checkpoint import CheckpointConfig, Checkpoints
from stylegan_jax.training.config import Config, RunConfig
from stylegan_jax.training.schedule import Phase, ScheduleConfig
from stylegan_jax.training.state import OptimizerConfig, TrainState, init_state

# 16 px, with a mapping of two layers.
MODEL = ModelConfig(
    resolution=16,
    z_dim=6,
    w_dim=6,
    mapping_width=6,
    mapping_layers=2,
    channel_base=128,
    channel_max=8,
)
# 8 px, four layers: what compiles soonest.
MODEL_8 = dataclasses.replace(MODEL, resolution=8, mapping_layers=1)
# A perceptron of points in the plane: what trains soonest.
POINTS = ModelConfig(
    resolution=1,
    num_channels=2,
    z_dim=6,
    w_dim=6,
    mapping_layers=0,
    use_styles=False,
    use_noise=False,
    mlp_layers=1,
    mlp_width=8,
    mbstd_group_size=0,
)
# The checkpoints of `start_run`, by images shown.
SAVED = {100: {"resolution": 8, "alpha": None}, 200: {"resolution": 16, "alpha": 0.25}}


def numbers(shapes: Any, seed: int = 0, model: ModelConfig = MODEL) -> Any:
    """Arrays in place of `shapes`, of a pytree, as if they had been trained.

    Noise and biases count, the mean of w is not 0, images do not saturate.
    """
    random = np.random.RandomState(seed)

    def trained(path: tuple, x: jax.ShapeDtypeStruct) -> np.ndarray:
        names = [str(getattr(key, "key", getattr(key, "name", ""))) for key in path]
        drawn = random.randn(*x.shape)
        if names[-1] == "noise_weight":
            drawn = 0.3 + 0.1 * drawn
        elif names[-1] == "bias":
            drawn = 0.1 * drawn
        elif names[-1] == "const":
            drawn = 1 + 0.3 * drawn
        elif any(name.startswith("to_rgb") for name in names):
            drawn = 0.3 * drawn
        elif names[-1] == "w_avg":
            drawn = 0.5 + 0.1 * drawn
        if "mapping" in names:
            drawn = drawn / model.mapping_lr_multiplier
        return jax.numpy.asarray(drawn, x.dtype)

    return jax.tree_util.tree_map_with_path(trained, shapes)


def phase(resolution: int = 8, **changes: Any) -> Phase:
    """A phase of 10,000 images in minibatches of eight, one per step; not fading."""
    plain = {
        **dict(fading=False, start_nimg=0, end_nimg=10_000, batch_size=8),
        **dict(accumulate=1, repeats=1, fade_start_nimg=0, fade_nimg=1),
    }
    return Phase(resolution=resolution, **(plain | changes))


@functools.cache
def generator(model: ModelConfig = MODEL, seed: int = 3) -> Generator:
    """A generator as if it were trained; the same object every time."""
    shapes = jax.eval_shape(lambda: init_generator(jax.random.key(0), model))
    return numbers(shapes, seed, model)


@functools.cache
def state(model: ModelConfig = MODEL, seed: int = 3) -> TrainState:
    """A state of training; raw weights, average and discriminator are different."""
    key, optimizer = jax.random.key(0), OptimizerConfig()
    made = numbers(jax.eval_shape(lambda: init_state(key, model, optimizer)), seed)
    ours = generator(model, seed)
    return dataclasses.replace(
        made,
        nimg=np.int32(0),
        g_params=jax.tree.map(lambda x: x * 1.25, ours.params),
        g_ema=ours.params,
        w_avg=ours.w_avg,
        noise=ours.noise,
        g_opt_state=jax.tree.map(abs, made.g_opt_state),
        d_opt_state=jax.tree.map(abs, made.d_opt_state),
    )


def code(made: Generator, seed: int = 0, count: int = 1) -> Code:
    """Codes of `count` images: another w for each layer, and noise of their own."""
    random = np.random.RandomState(seed)
    shape = (count, made.config.num_ws, made.config.w_dim)
    noise = [random.randn(count, *x.shape[1:]).astype("f") for x in made.noise]
    ws = (np.asarray(made.w_avg) + 0.5 * random.randn(*shape)).astype("f")
    return Code(jax.numpy.asarray(ws), tuple(map(jax.numpy.asarray, noise)))


def directions(w_dim: int = 6) -> tuple[Direction, ...]:
    """Five of attributes: with and without deviation, of some layers, and in z."""
    options: list[tuple[str, dict[str, Any]]] = [
        ("age", {"std": 0.7}),
        ("eyeglasses", {}),
        ("gender", {"std": 2.0, "layers": (1, 2)}),
        ("pose", {"std": 1.5, "space": "z"}),
        ("smile", {"std": 1.0}),
    ]
    return tuple(
        Direction(name=name, vector=np.random.RandomState(i).randn(w_dim), **others)
        for i, (name, others) in enumerate(options)
    )


@functools.cache
def photos(count: int = 4, resolution: int = 16) -> np.ndarray:
    """Portraits, uint8 `[N, R, R, 3]`; read only."""
    source = Portraits(count)
    drawn = np.stack([source.image(i, resolution) for i in range(count)])
    drawn.flags.writeable = False
    return drawn


def write_photos(folder: Path, count: int = 4, resolution: int = 16) -> Path:
    """A folder of `photos`, 0.png to 3.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, pixels in enumerate(photos(count, resolution)):
        write_png(folder / f"{i}.png", pixels, "picture")
    return folder


def config(model: ModelConfig = MODEL, **sections: Any) -> Config:
    """Of a run of three phases, 8 px to 16 px, that is over in 150 steps."""
    size = {"initial_resolution": min(8, model.resolution)}
    defaults = {
        "data": DataConfig(portraits_size=32, mirror=True),
        "schedule": ScheduleConfig(
            **size, stable_kimg=0.1, fade_kimg=0.1, total_kimg=0.6, batch_size=4
        ),
        "checkpoint": CheckpointConfig(every_kimg=0.1, asynchronous=False),
        "run": RunConfig(tick_kimg=0.1, grid_columns=2, grid_rows=1),
    }
    return Config(model=model, **(defaults | sections))


def ring(total_kimg: float = 0.064, batch_size: int = 8, **sections: Any) -> Config:
    """Of a run on points on a ring, with a checkpoint every 16 of them."""
    defaults = {
        "data": DataConfig(name="ring", num_channels=2),
        "schedule": ScheduleConfig(
            initial_resolution=1,
            total_kimg=total_kimg,
            repeats=1,
            batch_size=batch_size,
        ),
        "checkpoint": CheckpointConfig(every_kimg=0.016, keep_last=9),
        "run": RunConfig(tick_kimg=0.016, grid_ticks=10**6),
    }
    return Config(model=POINTS, **(defaults | sections))


def start_run(
    path: Path,
    model: ModelConfig = MODEL,
    saved: Mapping[int, dict[str, Any]] | None = None,
    **sections: Any,
) -> Path:
    """A run directory as training leaves it, without training."""
    run_directory.start_run(path, config(model, **sections))
    if saved is None:
        saved = {k: v for k, v in SAVED.items() if v["resolution"] <= model.resolution}
    with Checkpoints(path, CheckpointConfig(asynchronous=False)) as checkpoints:
        for nimg, shown in saved.items():
            checkpoints.save(nimg, state(model), shown)
    return path
