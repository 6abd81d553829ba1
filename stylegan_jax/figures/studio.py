"""Drawing of images, sheets and films by one compiled program, for all figures."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.inversion.code import Code, draw_pictures, stored_noise
from stylegan_jax.io.grids import Sheet, make_sheet
from stylegan_jax.metrics.draws import draw_noise
from stylegan_jax.networks.config import num_layers
from stylegan_jax.networks.generator import Generator, Noise
from stylegan_jax.networks.seeds import require_pictures
from stylegan_jax.ops import latents
from stylegan_jax.ops.latents import latents_of_seed

CUTOFF = 8  # truncated layers by default, as in `stylegan_jax.sample`
_SCREEN = 2  # factor of a film's pictures over a sheet's

# Of a network.
Part = Literal["convolutions", "styles", "noise", "a mean of w"]


class Film(NamedTuple):
    """Animated figure: `strip` is a still, uint8 `[H, W, 3]`; `frames` are lazy."""

    strip: np.ndarray
    frames: Iterator[np.ndarray]
    count: int


@dataclasses.dataclass(frozen=True)
class Studio:
    """Generator with the settings of drawing.

    `label` is `[1, label_size]` of a conditional network; `batch_size` affects memory
    and speed only; `cell` is the least side of a picture in a figure, in pixels.
    """

    generator: Generator
    label: np.ndarray | None = None
    batch_size: int = 8
    cell: int = 96

    def __post_init__(self) -> None:
        """Checks the fields; raises UserError."""
        for name, value in [("`batch_size`", self.batch_size), ("`cell`", self.cell)]:
            if value < 1:
                raise UserError(f"{name} {value} is below 1")

    @property
    def resolution(self) -> int:
        """Side of the pictures in pixels."""
        return self.generator.resolution

    @property
    def num_layers(self) -> int:
        """Number of layers active at this resolution."""
        return num_layers(self.generator.resolution)

    def require(self, what: Part, figure: str) -> None:
        """Raises UserError if the network has no such part."""
        config = self.generator.config
        has = {
            "convolutions": not config.mlp_layers,
            "styles": config.use_styles,
            "noise": config.use_noise,
            "a mean of w": self.generator.truncation_mean is not None,
        }
        if not has[what]:
            raise UserError(f"{figure} needs a network with {what}, unlike this one")

    def page(
        self, rows: Sequence[Sequence[np.ndarray | None]], **labels: Any
    ) -> np.ndarray:
        """Sheet of rows of pictures, uint8; None is empty, `labels` `make_sheet`'s."""
        cells = [picture for row in rows for picture in row]
        side = max(len(x) for x in cells if x is not None)
        sheet = make_sheet(len(rows), len(rows[0]), side, at_least=self.cell, **labels)
        return sheet.fill(cells)

    def screen(
        self, rows: int, columns: int, *, side: int | None = None, **labels: Any
    ) -> Sheet:
        """Empty sheet for film frames, with pictures of `side` pixels."""
        side, at_least = side or self.resolution, _SCREEN * self.cell
        return make_sheet(rows, columns, side, at_least=at_least, **labels)

    def z(self, seeds: Sequence[int]) -> np.ndarray:
        """Input latents of seeds, `[N, z_dim]`."""
        size = self.generator.config.z_dim
        return np.concatenate([latents_of_seed(seed, size) for seed in seeds])

    def ws_of_z(
        self, z: np.ndarray, *, psi: float = 1.0, cutoff: int | None = CUTOFF
    ) -> np.ndarray:
        """Truncated w per layer, `[N, L, w_dim]`; untruncated without a mean of w."""
        spare = np.repeat(z[-1:], -len(z) % self.batch_size, axis=0)
        batches = np.concatenate([z, spare]).reshape(-1, self.batch_size, z.shape[1])
        parts = [_map(self.generator, z, self.label, psi, cutoff) for z in batches]
        return np.concatenate([np.asarray(part) for part in parts])[: len(z)]

    def ws(
        self, seeds: Sequence[int], *, psi: float = 1.0, cutoff: int | None = CUTOFF
    ) -> np.ndarray:
        """Truncated w per layer of seeds, `[N, L, w_dim]`."""
        return self.ws_of_z(self.z(seeds), psi=psi, cutoff=cutoff)

    def draw(self, ws: np.ndarray, noise: Noise | None = None) -> np.ndarray:
        """Pictures, uint8 `[N, R, R, C]`, of `ws` `[N, L, w_dim]`.

        `noise` is `[N or 1, R, R, 1]` per active layer; None is the stored noise.
        """
        if noise is None:
            noise = stored_noise(self.generator, 1)
        spread = tuple(jnp.broadcast_to(n, (len(ws), *n.shape[1:])) for n in noise)
        return np.stack(list(self.draw_each([Code(jnp.asarray(ws), spread)])))

    def draw_fresh(self, ws: np.ndarray, seed: int = 0) -> Iterator[np.ndarray]:
        """Yields a picture for each of `ws`, with its own noise drawn by `seed`."""
        keys = jax.random.split(jax.random.key(seed), len(ws))
        return self.draw_each(
            Code(jnp.asarray(w[None]), _draw_noise(self.generator, key[None]))
            for w, key in zip(ws, keys, strict=True)
        )

    def draw_each(self, codes: Iterable[Code]) -> Iterator[np.ndarray]:
        """Yields the pictures of codes, lazily; drawn in padded batches.

        Raises UserError for a network of points.
        """
        require_pictures(self.generator)
        each = _each(codes)
        while some := list(itertools.islice(each, self.batch_size)):
            padded = [*some, *[some[-1]] * (self.batch_size - len(some))]
            code = jax.tree.map(lambda *parts: np.concatenate(parts), *padded)
            yield from draw_pictures(self.generator, code)[: len(some)]


def grey_levels(pictures: np.ndarray) -> np.ndarray:
    """Mean over channels, float64 `[..., H, W]` of `[..., H, W, C]`.

    Source: `draw_noise_detail_figure`, `generate_figures.py` of NVlabs/stylegan.
    """
    return pictures.astype(np.float64).mean(-1)


def gain_for(levels: np.ndarray) -> float:
    """Largest power of two, at least 1, that keeps 99% of pixels below white."""
    brightest = float(np.quantile(levels, 0.99))
    if brightest <= 0:
        return 1.0
    return 2.0 ** max(0, math.floor(math.log2(255 / brightest)))


def as_grey(levels: np.ndarray) -> np.ndarray:
    """Grey levels `[H, W]`, 0 to 255, as uint8 `[H, W, 1]`."""
    return np.rint(np.clip(levels, 0, 255)).astype(np.uint8)[..., None]


def as_signed(values: np.ndarray, span: float) -> np.ndarray:
    """Numbers `[H, W]` as colours, uint8 `[H, W, 3]`.

    From blue at `-span` through white to red at `span`; span 0 is white.
    """
    share = np.clip(values / (span or 1.0), -1, 1)[..., None]
    towards = np.where(share > 0, (178, 24, 43), (33, 102, 172))
    return np.rint(255 + np.abs(share) * (towards - 255)).astype(np.uint8)


def _map_and_truncate(
    generator: Generator,
    z: Array,
    label: Array | None,
    psi: Array,
    cutoff: int | None,
) -> Array:
    if label is not None:
        label = jnp.broadcast_to(label, (z.shape[0], label.shape[1]))
    ws = generator.map(z, label)
    mean = generator.truncation_mean
    return ws if mean is None else latents.truncate(ws, mean, psi, cutoff)


def _each(codes: Iterable[Code]) -> Iterator[Code]:
    for code in codes:
        code = jax.device_get(code)
        yield from (code[i : i + 1] for i in range(len(code)))


_map = jax.jit(_map_and_truncate, static_argnames="cutoff")
_draw_noise = jax.jit(draw_noise)
