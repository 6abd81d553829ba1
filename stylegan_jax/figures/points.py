"""Goodfellow's GAN on points through training: its theory on the line, its modes.

Source: Goodfellow et al. 2014, figure 1 and section 4.
"""

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr

from stylegan_jax import loading
from stylegan_jax.by_resolution import parse_by_resolution
from stylegan_jax.data.sources import Points, open_source, unwrapped
from stylegan_jax.errors import UserError
from stylegan_jax.figures.score_curves import run_names
from stylegan_jax.figures.studio import Film
from stylegan_jax.io import plots
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator
from stylegan_jax.networks.pair import discriminator_network
from stylegan_jax.runs.run_directory import data_config, model_config, read_config
from stylegan_jax.runs.stored import step_directories
from stylegan_jax.training import sample_grids
from stylegan_jax.training.state import OptimizerConfig, averaged, init_state

# Of the configuration, as a shape of `io/records.py`.
_NEEDS = {
    "schedule": {"initial_resolution": int, "batch_size": str},
    "model": {"resolution": int},
    "run": {"seed": int},
}
_LATENTS = np.linspace(-4, 4, 2001)  # all but 0.006% of z
_BINS = 400  # of the line
_ARROWS = np.linspace(-2, 2, 17)
_DRAWN = 8_000  # points in a panel
_STRIP = 5  # moments in the strip


class Moment(NamedTuple):
    """Networks of a run after `step`."""

    step: str
    generator: Generator
    d_params: Any


class Theory(NamedTuple):
    """Densities and scores on a line, float64 `[N]` each, of points `x`.

    `best` is the best discriminator of these densities. `latents` and `places` `[M]`
    are z and G(z).
    """

    x: np.ndarray
    p_data: np.ndarray
    p_g: np.ndarray
    scores: np.ndarray
    best: np.ndarray
    latents: np.ndarray
    places: np.ndarray


def moments(run: Path, count: int) -> list[Moment]:
    """The untrained networks, and those of up to `count - 1` checkpoints in order.

    They are the networks in training. Raises UserError without checkpoints.
    """
    steps = kept(run, count)
    found = [Moment(step_of(run, 0), *untrained(run))]
    for nimg, path in steps:
        bundle = loading.load_bundle(path)
        assert bundle.raw is not None and bundle.discriminator is not None
        params = bundle.discriminator.params
        found.append(Moment(step_of(run, nimg), bundle.raw, params))
    return found


def untrained(run: Path) -> tuple[Generator, Any]:
    """The generator and the discriminator's parameters as training initialised them."""
    model, key = model_config(run), jax.random.key(_stored(run)["run"]["seed"])
    state = init_state(key, model, OptimizerConfig())
    return averaged(state, model, model.resolution), state.d_params


def kept(run: Path, count: int) -> list[tuple[int, Path]]:
    """Images shown and paths of up to `count - 1` checkpoints, oldest first.

    They are evenly spread, with the start of training as the one before them. Raises
    UserError if there are none.
    """
    steps = step_directories(run / "checkpoints")[::-1]
    if not steps:
        raise UserError(f"{run} has no checkpoints yet; train first")
    places = np.linspace(-1, len(steps) - 1, min(count, len(steps) + 1))
    return [steps[round(place)] for place in places[1:]]


def step_of(run: Path, nimg: int) -> str:
    """Training progress: generator updates, or images for a growing run."""
    stored = _stored(run)
    schedule, resolution = stored["schedule"], stored["model"]["resolution"]
    if schedule["initial_resolution"] != resolution:
        return f"{nimg / 1000:g} kimg"
    batch_size = parse_by_resolution(schedule["batch_size"]).at(resolution)
    return f"step {nimg // (batch_size * schedule.get('d_steps', 1)):,}"


def pushed_density(
    latents: np.ndarray, places: np.ndarray, edges: np.ndarray
) -> np.ndarray:
    """Mean density in `[B]` bins of G(z), z unit normal, float64.

    `places` are G at ascending `latents`, straight in between; `edges` `[B + 1]`. The
    density follows from the change of variables, without samples.
    """
    masses = np.diff(ndtr(latents))
    low = np.minimum(places[1:], places[:-1])
    width = np.maximum(np.abs(np.diff(places)), 1e-9)
    below = [masses @ np.clip((edge - low) / width, 0, 1) for edge in edges]
    return np.diff(below) / np.diff(edges)


def normal_density(x: np.ndarray, centers: np.ndarray, std: float) -> np.ndarray:
    """Density `[N]` at `x` of equally likely normals around `centers` `[K]`."""
    apart = (x[:, None] - centers) / std
    return np.exp(-(apart**2) / 2).mean(axis=1) / (std * np.sqrt(2 * np.pi))


def best_scores(p_data: np.ndarray, p_g: np.ndarray) -> np.ndarray:
    """The best discriminator, p_data / (p_data + p_g); NaN where hardly a point is.

    Source: proposition 1.
    """
    total = p_data + p_g
    seen = total > 1e-3 * p_data.max()
    return np.divide(p_data, total, out=np.full_like(total, np.nan), where=seen)


def theory_of(moment: Moment, source: Points, span: tuple[float, float]) -> Theory:
    """Densities of data and samples, and the discriminator between them."""
    edges = np.linspace(*span, _BINS + 1)
    x = (edges[1:] + edges[:-1]) / 2
    ends = np.concatenate([_LATENTS, _ARROWS])
    places, logits = _apply(moment.generator, moment.d_params, ends, x)
    places = np.asarray(places, np.float64)
    p_g = pushed_density(_LATENTS, places[: len(_LATENTS)], edges)
    p_data = normal_density(x, source.centers[:, 0].astype(np.float64), source.std)
    scores = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    best = best_scores(p_data, p_g)
    return Theory(x, p_data, p_g, scores, best, _ARROWS, places[len(_LATENTS) :])


def theory(run: Path, *, frames: int = 60) -> Film:
    """p_data, p_g and D(x) through a run on points on the line; latents by arrows.

    The strip has five moments, the film up to `frames`. Raises UserError for other
    data, or latents of more than one number.
    """
    source, model = _points(run, 1)
    if model.z_dim != 1:
        raise UserError(
            f"{run} has latents of {model.z_dim} numbers; arrows from them are drawn "
            "for one: train configs/gan_ring.py:theory"
        )
    span = sample_grids.span_of(source.values)
    found = moments(run, frames)
    drawn = [(x.step, theory_of(x, source, span)) for x in found]
    top = 1.6 * max(float(theory.p_data.max()) for _, theory in drawn)
    # Closer in the beginning, when most happens.
    places = (len(drawn) - 1) * np.linspace(0, 1, min(_STRIP, len(drawn))) ** 2
    strip = _page([drawn[round(place)] for place in places], top, (2.6, 2.8))
    film = (_page([each], top, (6.4, 4.8)) for each in drawn)
    return Film(strip, film, len(drawn))


def modes(runs: Sequence[Path], *, count: int = 6) -> np.ndarray:
    """Points of runs through training, a row each, uint8 `[H, W, 3]`.

    The columns are `count` moments, evenly spread from the start, and the data. Raises
    UserError for runs on images.
    """
    rows = []
    for run in runs:
        source, model = _points(run)
        reals = sample_grids.first_points(source)
        z = np.random.RandomState(0).randn(_DRAWN, model.z_dim).astype(np.float32)
        row = [
            (moment.step, np.asarray(_draw(moment.generator, z)))
            for moment in moments(run, count)
        ]
        rows.append([*row, ("data", reals)])
    if len({len(row) for row in rows}) > 1:
        fewest = min(map(len, rows)) - 1  # without the data
        raise UserError(
            "the runs have not as many checkpoints as one another; at most "
            f"{fewest} `columns` can be drawn of all"
        )
    span = sample_grids.span_of(reals)
    names = run_names(runs)
    pictures = [*itertools.chain(*rows)]
    return plots.panels(pictures, span=span, row_labels=names)


def _stored(run: Path) -> dict[str, Any]:
    return read_config(run, _NEEDS)


def _points(run: Path, dimensions: int | None = None) -> tuple[Points, ModelConfig]:
    source, _ = unwrapped(open_source(data_config(run)), [])
    if not isinstance(source, Points) or source.num_channels != (
        dimensions or source.num_channels
    ):
        where = "on the line" if dimensions == 1 else "of points"
        raise UserError(
            f"{run} was trained on {source.name}; this figure is of data {where}, such "
            f"as configs/gan_ring.py{':theory' if dimensions == 1 else ''}"
        )
    return source, model_config(run)


@jax.jit
def _draw(generator: Generator, z: jax.Array) -> jax.Array:
    return generator.sample(z, psi=1.0)[:, 0, 0]


@jax.jit
def _apply(
    generator: Generator, d_params: Any, z: jax.Array, x: jax.Array
) -> tuple[jax.Array, jax.Array]:
    network = discriminator_network(generator.config)
    logits: Any = network.apply(
        {"params": d_params}, jnp.float32(x)[:, None, None, None], None
    )
    return _draw(generator, jnp.float32(z)[:, None])[:, 0], logits


def _page(
    drawn: Sequence[tuple[str, Theory]], top: float, inches: tuple[float, float]
) -> np.ndarray:
    figure, axes = plots.axes_of(len(drawn), _STRIP, inches)
    for axis, (title, theory) in zip(axes, drawn, strict=True):
        _panel(axis, title, theory, top)
    axes[0].legend(fontsize=7, loc="upper left", frameon=False)
    return plots.pixels_of(figure)


def _panel(axis: Any, title: str, theory: Theory, top: float) -> None:
    x, line = theory.x, functools.partial(axis.plot, lw=1.4)
    line(x, theory.p_data, "k:", label="p_data")
    line(x, theory.p_g, color="tab:green", label="p_g")
    scale = top / 2  # D from 0 to 1 over half of the height
    line(x, scale * theory.best, color="0.7", lw=1, label="best D")
    line(x, scale * theory.scores, "--", color="tab:blue", label="D")
    axis.axhline(scale / 2, color="tab:blue", lw=0.4)
    axis.axhline(0, color="k", lw=0.8)
    axis.axhline(-0.35 * top, color="k", lw=0.8)
    middle = (x[0] + x[-1]) / 2
    for z, place in zip(theory.latents, theory.places, strict=True):
        start = middle + z * (x[-1] - x[0]) / 6
        end = float(np.clip(place, x[0], x[-1]))
        axis.annotate(
            "",
            (end, -0.01 * top),
            (start, -0.35 * top),
            arrowprops={"arrowstyle": "->", "lw": 0.5, "shrinkA": 0, "shrinkB": 0},
        )
    axis.text(x[0], -0.33 * top, "z", fontsize=8)
    axis.text(x[0], 0.02 * top, "x", fontsize=8)
    axis.set(xlim=(x[0], x[-1]), ylim=(-0.38 * top, top), xticks=[], yticks=[])
    axis.set_title(title, fontsize=9)
