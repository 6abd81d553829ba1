"""The operation `morph` of `stylegan_jax.edit`: films."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.commands.edit_bench import Command, Workbench
from stylegan_jax.commands.edit_flags import Face, Inputs, read_mask
from stylegan_jax.commands.flag_groups import require_at_least
from stylegan_jax.commands.inputs import Item, labels_of, z_of
from stylegan_jax.editing import mixing
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.code import draw_pictures
from stylegan_jax.io import images, video

_SHOWN_FRAMES = 7  # of a film, in its grid
_AT_ONCE = 8  # frames that are drawn together

# Frames of the way from one item to another, by their places and t.
Draw = Callable[[int, int, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Morph(Command):
    """A film from image to image, on straight lines between codes."""

    inputs: Inputs
    frames: int = 60  # from one image to the next
    fps: int = 30  # frames per second
    loop: bool = False  # back to the first image at the end
    ease: bool = True  # starts and stops softly at every image
    # w: lines in w and noise. z: great circles between seeds, and classes mixed.
    space: Literal["w", "z"] = "w"
    # Only the inside of a mask changes, as masks of other operations are given: the
    # first image's features are kept outside.
    mask: str | None = None
    layer: int = mixing.LAYER  # whose features are kept outside the mask
    face: Face = "ffhq"  # how faces are placed
    film: bool = True  # writes morph.mp4, which needs PyAV: the extra `video`

    def run(self, bench: Workbench) -> None:
        require_at_least(self, frames=1, fps=1)
        if self.film:
            video.load_av()
        items = bench.items(self.inputs)
        if len(items) < 2:
            raise UserError("a morph needs two images or more")
        if self.mask is not None and (len(items) > 2 or self.space == "z"):
            raise UserError("--mask goes with two images, and not with --space z")
        draw = (self._lines if self.space == "w" else self._circles)(bench, items)
        places = mixing.stops(len(items), self.frames, ease=self.ease, loop=self.loop)
        legs = np.minimum(places.astype(int), len(items) - (1 if self.loop else 2))
        pictures: list[np.ndarray] = []
        for leg in np.unique(legs):
            t = (places - leg)[legs == leg]
            for start in range(0, len(t), _AT_ONCE):
                some = t[start : start + _AT_ONCE]
                padded = np.pad(some, (0, _AT_ONCE - len(some)), "edge")
                drawn = draw(leg, (leg + 1) % len(items), padded)
                pictures += list(drawn[: len(some)])
        film = np.stack(pictures)
        chosen = np.linspace(0, len(film) - 1, min(_SHOWN_FRAMES, len(film)))
        row = film[np.rint(chosen).astype(int)]
        bench.write_grid([list(row)], (), [f"frame {round(c)}" for c in chosen])
        if self.film:
            path = bench.outputs.path("morph.mp4")
            video.write(path, film, self.fps)
            print(path)

    def _circles(self, bench: Workbench, items: Sequence[Item]) -> Draw:
        z, labels = z_of(items), labels_of(items)
        if z is None:
            raise UserError("--space z takes seeds only; leave it out")

        def draw(a: int, b: int, t: np.ndarray) -> np.ndarray:
            ends = jnp.asarray(z[a : a + 1]), jnp.asarray(z[b : b + 1])
            between = mixing.morph_z(*ends, t)
            label = None
            if labels is not None:
                share = np.asarray(t, np.float32)[:, None]
                label = (1 - share) * labels[a] + share * labels[b]
            code = mixing.code_of_z(
                bench.generator, between, self.psi, cutoff=bench.cutoff, labels=label
            )
            return draw_pictures(bench.generator, code)

        return draw

    def _lines(self, bench: Workbench, items: Sequence[Item]) -> Draw:
        generator, code, mask = bench.generator, bench.code(items), None
        if self.mask is not None:
            mask = jnp.asarray(read_mask(self.mask, generator.resolution, self.face))
        masked = jax.jit(partial(mixing.masked_morph, layers=self.layer))

        def draw(a: int, b: int, t: np.ndarray) -> np.ndarray:
            first, second = code[a : a + 1], code[b : b + 1]
            if mask is None:
                return draw_pictures(generator, mixing.morph(first, second, t))
            drawn = masked(generator, first, second, mask, jnp.asarray(t))
            return images.to_uint8(np.asarray(drawn))

        return draw
