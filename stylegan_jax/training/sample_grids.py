"""Grids of reals and of samples from fixed latents; of points, their density."""

from collections.abc import Callable

import jax
import numpy as np
from jax import Array

from stylegan_jax.data.sources import Source
from stylegan_jax.io import grids, images, plots
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator
from stylegan_jax.training.config import RunConfig

_CHUNK = 8  # images drawn at once, for memory
_POINTS = 8_000  # points in a picture


class Samples:
    """Writes grids of reals and of samples."""

    def __init__(
        self,
        config: RunConfig,
        model: ModelConfig,
        source: Source,
        write: Callable[[str, int, np.ndarray], object],
    ) -> None:
        """Draws the reals; `write` takes a name, an image count and a uint8 picture."""
        self._config, self._model, self._write = config, model, write
        if model.resolution == 1:
            reals = first_points(source)
            self._draw = make_draw_points(config, model, span_of(reals))
            self._reals = plots.panels([(source.name, reals)], span=span_of(reals))
        else:
            self._draw = make_draw(config, model, source)
            shown = range(config.grid_columns * config.grid_rows)
            reals = [source.image(i % len(source), model.resolution) for i in shown]
            self._reals = grids.grid(np.stack(reals), columns=config.grid_columns)

    def write_reals(self) -> None:
        """Writes the first images of the data, in the data's own order."""
        self._write("reals", 0, self._reals)

    def write_fakes(self, nimg: int, generator: Generator) -> float | None:
        """Writes samples; returns their `diversity`."""
        grid = self._draw(generator)
        self._write("fakes", nimg, grid)
        return diversity(self._config, self._model, grid, self._reals)


def make_draw(
    config: RunConfig, model: ModelConfig, source: Source
) -> Callable[[Generator], np.ndarray]:
    """Makes the function from a generator to a uint8 grid of samples.

    The latents are `RandomState(run.seed).randn`, the labels those of the first images,
    the noise the stored one. Grids have the final resolution in all phases.
    """
    count = config.grid_columns * config.grid_rows
    z = np.random.RandomState(config.seed).randn(count, model.z_dim)
    labels = np.stack([source.label(i % len(source)) for i in range(count)])
    inputs = (z.astype(np.float32), labels.astype(np.float32))

    @jax.jit
    def draw(generator: Generator, z: Array, labels: Array) -> Array:
        def one(inputs: tuple[Array, Array]) -> Array:
            z, label = inputs
            known = label[None] if model.label_size else None
            return generator.sample(
                z[None], labels=known, psi=config.grid_psi, cutoff=None
            )[0]

        return jax.lax.map(one, (z, labels), batch_size=_CHUNK)

    def draw_grid(generator: Generator) -> np.ndarray:
        samples = images.to_uint8(jax.device_get(draw(generator, *inputs)))
        factor = model.resolution // generator.resolution
        samples = samples.repeat(factor, axis=1).repeat(factor, axis=2)
        return grids.grid(samples, columns=config.grid_columns)

    return draw_grid


def make_draw_points(
    config: RunConfig, model: ModelConfig, span: tuple[float, float]
) -> Callable[[Generator], np.ndarray]:
    """Makes the function from a generator to a uint8 picture of its points."""
    z = np.random.RandomState(config.seed).randn(_POINTS, model.z_dim)
    draw = jax.jit(lambda generator, z: generator.sample(z, psi=1.0)[:, 0, 0])

    def draw_points(generator: Generator) -> np.ndarray:
        points = jax.device_get(draw(generator, z.astype(np.float32)))
        return plots.panels([("samples", points)], span=span)

    return draw_points


def diversity(
    config: RunConfig, model: ModelConfig, fakes: np.ndarray, reals: np.ndarray
) -> float | None:
    """Variation of a grid of samples relative to one of reals: 0 to about 1.

    The ratio of the root mean square distances of pixels to their mean over the cells.
    None for points and for a single picture.
    """
    rows, columns = config.grid_rows, config.grid_columns
    if model.resolution == 1 or rows * columns == 1:
        return None

    def spread(grid: np.ndarray) -> float:
        height, width = grid.shape[0] // rows, grid.shape[1] // columns
        cells = grid.astype(np.float32).reshape(rows, height, columns, width, -1)
        return float(np.sqrt(np.mean(cells.var(axis=(0, 2)))))

    of_reals = spread(reals)
    return spread(fakes) / of_reals if of_reals else None


def first_points(source: Source) -> np.ndarray:
    """The first points of a source of points, `[N, dimensions]`."""
    count = min(len(source), _POINTS)
    return np.stack([source.image(i, 1)[0, 0] for i in range(count)])


def span_of(points: np.ndarray) -> tuple[float, float]:
    """Lowest and highest coordinate to show, with room around the points."""
    low, high = float(points.min()), float(points.max())
    room = 0.25 * (high - low)
    return low - room, high + room
