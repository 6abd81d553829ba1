"""A served network: compiled programs that draw and edit one image at a time.

Caches latents and pictures of seeds, which all visitors share, and no visitor data.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.editing import directions, mixing
from stylegan_jax.editing.directions import Direction
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.code import Code, draw_pictures, stored_noise
from stylegan_jax.inversion.objective import NO_FEATURES, FeatureNets
from stylegan_jax.io.summary import short_repr
from stylegan_jax.networks.generator import Generator, Noise
from stylegan_jax.ops import latents
from stylegan_jax.ops.latents import latents_of_seed

CUTOFF = 8  # layers that are truncated, as in `stylegan_jax.sample`
_KEPT = 1024  # latents of seeds
_KEPT_PIXELS = 1 << 24  # of their pictures


@dataclasses.dataclass(frozen=True)
class Sample:
    """A picture with a seed."""

    seed: int  # as in `stylegan_jax.sample`
    psi: float = 0.7  # truncation, where the network has a mean of w
    class_index: int | None = None
    noise_seed: int | None = None  # None is the network's own noise

    __repr__ = short_repr


# Input of an edit: a sample, or the code of a photograph.
Source = Sample | Code


class Session:
    """A network with its compiled programs, directions and feature networks."""

    def __init__(
        self,
        generator: Generator,
        sliders: Sequence[Direction] = (),
        features: FeatureNets = NO_FEATURES,
    ) -> None:
        """Compiles all drawing; without `features` searches compare pixels only."""
        config = generator.config
        if generator.resolution == 1:
            raise UserError("this network draws points, not pictures; nothing to show")
        self.resolution = generator.resolution
        self.num_classes = config.label_size  # 0 where it is unconditional
        self.num_rows = config.num_ws  # of a code: one w per layer
        self.truncates = generator.truncation_mean is not None
        self.has_noise = config.use_noise
        self.editable = config.use_styles  # for mixing, inversion and local edits
        dims = {"w": config.w_dim, "z": config.z_dim}
        for slider in sliders:
            if slider.dim != dims[slider.space]:
                raise UserError(
                    f"direction {slider.name!r} has {slider.dim} numbers in "
                    f"{slider.space}, this network {dims[slider.space]}; it belongs to "
                    "another network"
                )
        self.generator = jax.device_put(generator)
        self.sliders = tuple(sliders) if config.use_styles else ()
        self.features = features
        self._steps = {
            "w": _stacked(self.sliders, "w", (config.num_ws, config.w_dim)),
            "z": _stacked(self.sliders, "z", (config.z_dim,)),
        }
        self._mapped = functools.lru_cache(_KEPT)(self._map_seed)
        pictures = max(_KEPT_PIXELS // generator.resolution**2, 1)
        self._drawn = functools.lru_cache(pictures)(self._draw_sample)
        # Run everything once, to compile before the first visitor.
        first = Sample(0, class_index=0 if self.num_classes else None)
        noisy = dataclasses.replace(first, noise_seed=0)
        code = self.turned(first, [0.0] * len(self.sliders))
        self.draw(self.morph(code, self.code(noisy), 0.5))

    def code(self, source: Source) -> Code:
        """The code of a source; UserError for an invalid seed or class."""
        if isinstance(source, Code):
            return source
        if not 0 <= source.seed < 2**32:
            raise UserError(f"seed {source.seed} is not from 0 to {2**32 - 1}")
        ws = self._mapped(source.seed, source.class_index)
        return Code(self._truncated(ws, source.psi), self._noise(source.noise_seed))

    def draw(self, code: Code) -> np.ndarray:
        """The picture of a code of one image, uint8 `[H, W, C]`."""
        return draw_pictures(self.generator, code)[0]

    def picture(self, source: Source) -> np.ndarray:
        """The picture of a source; those of samples are cached."""
        if isinstance(source, Code):
            return self.draw(source)
        return self._drawn(source)

    def turned(self, source: Source, amounts: Sequence[float]) -> Code:
        """A source moved along all `sliders` by `amounts` in standard deviations.

        In units of the latent space where those are unknown. UserError for another
        number of amounts, or a photograph along a direction in z.
        """
        if len(amounts) != len(self.sliders):
            raise UserError(f"{len(amounts)} amounts for {len(self.sliders)} sliders")
        amount = jnp.asarray(np.asarray(amounts, np.float32))
        in_z = [
            slider.space == "z" and value != 0
            for slider, value in zip(self.sliders, amounts, strict=True)
        ]
        code = self.code(source)
        if any(in_z):
            if isinstance(source, Code):
                name = self.sliders[in_z.index(True)].name
                raise UserError(
                    f"direction {name!r} is in z: it moves samples, not photographs"
                )
            z = latents_of_seed(source.seed, self.generator.config.z_dim)
            z = _moved(jnp.asarray(z), self._steps["z"], amount)
            ws = self._map(z, source.class_index)
            code = Code(self._truncated(ws, source.psi), code.noise)
        if not self.sliders:
            return code
        return Code(_moved(code.ws, self._steps["w"], amount), code.noise)

    def mix(self, content: Source, style: Source, rows: Sequence[int]) -> Code:
        """The content with some rows of the style and the content's noise."""
        return mixing.mix(self.code(content), self.code(style), rows)

    def morph(self, first: Source, second: Source, t: float) -> Code:
        """Linear interpolation of two codes, `t` of 0 to 1."""
        return _morph(self.code(first), self.code(second), jnp.float32([t]))

    def plain(self, source: Source) -> Code:
        """The code with the network's stored noise, the start of local edits."""
        return Code(self.code(source).ws, stored_noise(self.generator, 1))

    def _draw_sample(self, sample: Sample) -> np.ndarray:
        picture = self.draw(self.code(sample))
        picture.setflags(write=False)  # everybody gets this one
        return picture

    def _map_seed(self, seed: int, class_index: int | None) -> Array:
        z = latents_of_seed(seed, self.generator.config.z_dim)
        return self._map(jnp.asarray(z), class_index)

    def _map(self, z: Array, class_index: int | None) -> Array:
        count, labels = self.num_classes, None
        if count:
            if class_index is None or not 0 <= class_index < count:
                raise UserError(f"class {class_index} is not one of 0 to {count - 1}")
            labels = jnp.asarray(np.eye(1, count, class_index, dtype=np.float32))
        return _map(self.generator, z, labels)

    def _truncated(self, ws: Array, psi: float) -> Array:
        mean = self.generator.truncation_mean
        if mean is None:
            return ws
        return _truncate(ws, mean, jnp.float32(psi))

    def _noise(self, seed: int | None) -> Noise:
        if seed is None or not self.has_noise:
            return stored_noise(self.generator, 1)
        return _draw_noise(self.generator, jax.random.key(seed))


def _stacked(
    sliders: Sequence[Direction], space: directions.Space, shape: tuple[int, ...]
) -> Array:
    """Steps of each slider per unit, `[sliders, *shape]`."""
    steps = np.zeros((len(sliders), *shape), np.float32)
    for i, slider in enumerate(sliders):
        if slider.space == space:
            rows = slider.rows(shape[0]) if space == "w" else slider.vector
            steps[i] = rows * (slider.std or 1.0)
    return jnp.asarray(steps)


@jax.jit
def _map(generator: Generator, z: Array, labels: Array | None) -> Array:
    return generator.map(z, labels)


@jax.jit
def _truncate(ws: Array, w_avg: Array, psi: Array) -> Array:
    return latents.truncate(ws, w_avg, psi, CUTOFF)


@jax.jit
def _draw_noise(generator: Generator, key: Array) -> Noise:
    return generator.draw_noise(key, 1)


@jax.jit
def _moved(codes: Array, steps: Array, amounts: Array) -> Array:
    return codes + jnp.tensordot(amounts, steps, 1)[None]


_morph = jax.jit(mixing.morph)
