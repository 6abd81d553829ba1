"""Why a mapping network: latents of two factors, one combination of which is missing.

Source: Karras et al. 2018, figure 6 and section 4.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax import loading
from stylegan_jax.data.sources import open_source
from stylegan_jax.errors import UserError
from stylegan_jax.io import plots
from stylegan_jax.metrics.path_length import path_distances, trimmed_mean
from stylegan_jax.metrics.separability import separability
from stylegan_jax.networks.generator import Generator
from stylegan_jax.runs.run_directory import data_config
from stylegan_jax.training.sample_grids import first_points

_SIDE = 200  # of the grid of latents that level lines are drawn from
_LEVELS = np.linspace(-1, 1, 9)
_SHOWN = 3_000  # latents drawn as dots


class LatentSpace(NamedTuple):
    """Latents of samples and their points, float32 `[N, 2]` each, and measures.

    `path` is the mean squared distance of points over the squared step, on straight
    lines between latents; `separability` is by the signs of the points' coordinates;
    `missing` the share of points in the missing quadrant, 0 to 1.
    """

    name: str
    latents: np.ndarray
    points: np.ndarray
    path: float
    separability: float
    missing: float
    draw: Callable[[Any], Array]  # latents `[N, 2]` to points


def latent_space(
    generator: Generator, space: str, *, name: str = "", count: int = 20_000
) -> LatentSpace:
    """Samples and measures the latents of a generator of points in `space`, z or w."""
    keys = jax.random.split(jax.random.key(0), 3)
    shape = (count, generator.config.z_dim)
    z0, z1 = (jax.random.normal(key, shape) for key in keys[:2])
    t = jax.random.uniform(keys[2], (count,))
    to_latents, draw = _of_space(generator, space)
    latents = jax.jit(to_latents)(z0)
    points = jax.jit(draw)(latents)
    measure = jax.jit(
        lambda paths: path_distances(
            lambda z: to_latents(z)[:, None],
            lambda ws: draw(ws[:, 0]),
            lambda a, b: jnp.sum(jnp.square(a - b), axis=1),
            paths,
            space="w",  # straight lines
            crop=False,
        )
    )
    found, drawn = np.asarray(latents), np.asarray(points)
    return LatentSpace(
        name or space,
        found,
        drawn,
        trimmed_mean(np.asarray(measure((z0, z1, t)), np.float64)),
        separability(found, drawn).score,
        missing_share(drawn),
        jax.jit(draw),
    )


def missing_share(points: np.ndarray) -> float:
    """Share of points `[N, 2]` with two positive coordinates, 0 to 1."""
    return float(np.mean((points > 0).all(axis=1)))


def spaces(mapped: Path, plain: Path) -> tuple[LatentSpace, LatentSpace, LatentSpace]:
    """z of the run without a mapping network, and z and w of the one with it.

    Raises UserError for runs on other data, or if both have a mapping or none.
    """
    for run in (mapped, plain):
        name = data_config(run).name
        if name != "corner":
            raise UserError(
                f"{run} was trained on {name}; the figure is of two runs of "
                "configs/corner.py"
            )
    with_mapping, without = loading.load(mapped), loading.load(plain)
    layers = (with_mapping.config.mapping_layers, without.config.mapping_layers)
    if not layers[0] or layers[1]:
        raise UserError(
            f"{mapped} has {layers[0]} mapping layers and {plain} {layers[1]}; give "
            "the run with a mapping network, and the one without"
        )
    configs = (with_mapping.config, without.config)
    if {size for x in configs for size in (x.z_dim, x.w_dim)} != {2}:
        raise UserError("latents of more or less than two numbers cannot be drawn")
    return (
        latent_space(without, "z", name="z, no mapping"),
        latent_space(with_mapping, "z", name="z, with mapping"),
        latent_space(with_mapping, "w", name="w, with mapping"),
    )


def disentanglement(mapped: Path, plain: Path) -> np.ndarray:
    """Lines of constant factors in the data, and in z and w, uint8 `[H, W, 3]`.

    `mapped` and `plain` are runs with and without a mapping network. Red is where the
    missing combination would be drawn; dots are latents of samples.

    Source: Karras et al. 2018, figure 6.
    """
    reals = first_points(open_source(data_config(mapped)))[:_SHOWN]
    figure, axes = plots.axes_of(4, 4, (2.9, 3.3))
    square = (-1.25, 1.25)
    _panel(axes[0], "data", reals, (square, square), lambda x: x)
    axes[0].set_xlabel(f"missing combination {missing_share(reals):.1%}", fontsize=8)
    for axis, found in zip(axes[1:], spaces(mapped, plain), strict=True):
        spans = [span_of(x) for x in found.latents.T]
        _panel(axis, found.name, found.latents[:_SHOWN], spans, found.draw)
        axis.set_xlabel(
            f"missing combination {found.missing:.1%}\npath length {found.path:.2f}, "
            f"separability {found.separability:.2f}",
            fontsize=8,
        )
    return plots.pixels_of(figure)


def span_of(values: np.ndarray) -> tuple[float, float]:
    """Lowest and highest of all but a thousandth of values, with room around them."""
    low, high = np.quantile(values, (0.0005, 0.9995))
    room = 0.1 * (high - low)
    return float(low - room), float(high + room)


def _of_space(
    generator: Generator, space: str
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    def to_points(w: Array) -> Array:
        return generator.synthesize(w[:, None])[:, 0, 0]

    def to_w(z: Array) -> Array:
        return generator.map(z)[:, 0]

    if space == "w":
        return to_w, to_points
    return (lambda z: z), (lambda z: to_points(to_w(z)))


def _panel(
    axis: Any,
    title: str,
    latents: np.ndarray,
    spans: Sequence[tuple[float, float]],
    draw: Callable[[np.ndarray], Any],
) -> None:
    sides = [np.linspace(low, high, _SIDE) for low, high in spans]
    grid = np.stack(np.meshgrid(*sides), axis=-1).astype(np.float32)
    factors = np.asarray(draw(grid.reshape(-1, 2))).reshape(grid.shape)
    axis.contourf(*sides, factors.min(axis=-1), [0, 1e9], colors=["#f6c9c9"])
    axis.plot(*latents.T, ".", color="0.75", ms=1)
    for factor, colour in zip(np.moveaxis(factors, -1, 0), ("C0", "C1"), strict=True):
        axis.contour(*sides, factor, _LEVELS, colors=colour, linewidths=0.9)
    axis.set(xticks=[], yticks=[], xlim=spans[0], ylim=spans[1])
    axis.set_title(title, fontsize=10)
