"""A served network: compiled programs that draw and edit one image at a time.

Caches pictures of seeds, which all visitors share, and no visitor data.
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
from stylegan_jax.editing.fading import faded
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import spaces
from stylegan_jax.inversion.code import Code, draw_pictures, stored_noise
from stylegan_jax.inversion.encoder import Encoder
from stylegan_jax.inversion.feature_nets import NO_FEATURES, FeatureNets
from stylegan_jax.io.summary import short_repr
from stylegan_jax.networks.generator import Generator
from stylegan_jax.networks.seeds import one_hot
from stylegan_jax.ops.latents import latents_of_seed

CUTOFF = 8  # layers that are truncated, as in `stylegan_jax.sample`
_KEPT_PIXELS = 1 << 24  # of pictures of seeds


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
        encoder: Encoder | None = None,
    ) -> None:
        """Compiles all drawing; without `features` searches compare pixels only.

        Inversions begin at the estimate of an `encoder`.
        """
        config = generator.config
        if generator.resolution == 1:
            raise UserError("this network draws points, not pictures; nothing to show")
        self.resolution = generator.resolution
        self.num_classes = config.label_size  # 0 where it is unconditional
        self.num_rows = config.num_ws  # of a code: one w per layer
        self.truncates = generator.truncation_mean is not None
        self.has_noise = config.use_noise
        self.editable = config.use_styles  # for mixing, inversion and local edits
        self.generator = jax.device_put(generator)
        self.sliders = tuple(sliders) if config.use_styles else ()
        self.features, self.encoder = features, encoder
        self._move = jax.jit(self._moved, static_argnums=0)
        pictures = max(_KEPT_PIXELS // generator.resolution**2, 1)
        self._drawn = functools.lru_cache(pictures)(self._draw_sample)
        # Run everything once, to compile before the first visitor.
        first = Sample(0, class_index=0 if self.num_classes else None)
        noisy = dataclasses.replace(first, noise_seed=0)
        code = self.turned(first, [0.0] * len(self.sliders))
        self.draw(self.morph(code, self.code(noisy), 0.5))
        if encoder is not None:
            side, channels = generator.resolution, config.num_channels
            self.estimate(jnp.zeros((1, side, side, channels)))

    @functools.cached_property
    def statistics(self) -> spaces.Statistics:
        """Of the network's w."""
        labels = spaces.every_class(self.generator)
        return spaces.w_statistics(self.generator, labels=labels)

    def estimate(self, images: Array) -> Array:
        """The encoder's w+ of images `[N, R, R, C]` in [-1, 1]."""
        assert self.encoder is not None
        return _estimate(self.encoder, images)

    def code(self, source: Source) -> Code:
        """The code of a source; UserError for an invalid seed or class."""
        return (
            source if isinstance(source, Code) else self._code(source, self._z(source))
        )

    def draw(self, code: Code) -> np.ndarray:
        """The picture of a code of one image, uint8 `[H, W, C]`."""
        return draw_pictures(self.generator, code)[0]

    def picture(self, source: Source) -> np.ndarray:
        """The picture of a source; those of samples are cached."""
        return self.draw(source) if isinstance(source, Code) else self._drawn(source)

    def turned(self, source: Source, amounts: Sequence[float]) -> Code:
        """A source moved along all `sliders` by `amounts` in standard deviations.

        In units of the latent space where those are unknown. UserError for another
        number of amounts, or a photograph along a direction in z.
        """
        if len(amounts) != len(self.sliders):
            raise UserError(f"{len(amounts)} amounts for {len(self.sliders)} sliders")
        pairs = list(zip(self.sliders, amounts, strict=True))
        steps = {
            space: jnp.float32(
                [value for slider, value in pairs if slider.space == space]
            )
            for space in ("w", "z")
        }
        if isinstance(source, Sample):
            code = self._code(source, self._move("z", self._z(source), steps["z"]))
        else:
            code = source
            for slider, value in pairs:
                if slider.space == "z" and value:
                    raise UserError(
                        f"direction {slider.name!r} is in z: it moves samples, not "
                        "photographs"
                    )
        ws = self._move("w", code.ws, steps["w"])
        if isinstance(source, Sample):  # whose noise is its own, wherever it moves
            return Code(ws, code.noise)
        return faded(self.generator, code, ws)

    def _moved(self, space: directions.Space, codes: Array, steps: Array) -> Array:
        sliders = [slider for slider in self.sliders if slider.space == space]
        for slider, step in zip(sliders, steps, strict=True):
            step = step * (slider.std or 1.0)
            codes = directions.apply(codes, slider, step, distance="relative")
        return codes

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

    def _z(self, sample: Sample) -> Array:
        if not 0 <= sample.seed < 2**32:
            raise UserError(f"seed {sample.seed} is not from 0 to {2**32 - 1}")
        return jnp.asarray(latents_of_seed(sample.seed, self.generator.config.z_dim))

    def _code(self, sample: Sample, z: Array) -> Code:
        labels = one_hot(self.num_classes, sample.class_index)
        how = {"psi": jnp.float32(sample.psi), "cutoff": CUTOFF, "labels": labels}
        code = _code_of_z(self.generator, z, **how)
        if sample.noise_seed is None or not self.has_noise:
            return code
        key = jax.random.key(sample.noise_seed)
        return Code(code.ws, _draw_noise(self.generator, key, 1))


_code_of_z = jax.jit(mixing.code_of_z, static_argnames="cutoff")
_draw_noise = jax.jit(Generator.draw_noise, static_argnums=2)
_morph = jax.jit(mixing.morph)
_estimate = jax.jit(Encoder.__call__)
