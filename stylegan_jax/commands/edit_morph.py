"""The operation `morph` of `stylegan_jax.edit`: films."""

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.commands.edit_flags import Command, Inputs, MaskFlags
from stylegan_jax.editing import activations, interpolate
from stylegan_jax.editing.inputs import Item, labels_of
from stylegan_jax.editing.workbench import Workbench
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
    layer: int = activations.LAYER  # whose features are kept outside the mask
    face: Literal["ffhq", "portraits"] = "ffhq"  # how faces are placed
    film: bool = True  # writes morph.mp4, which needs PyAV: the extra `video`

    def run(self, bench: Workbench) -> None:
        """Does it."""
        if self.frames < 1 or self.fps < 1:
            raise UserError("--frames and --fps are at least 1")
        if self.film and importlib.util.find_spec("av") is None:
            raise UserError(
                "films need PyAV: pip install 'stylegan_jax[video]'; or give --no-film"
            )
        items = bench.items(self.inputs)
        if len(items) < 2:
            raise UserError("a morph needs two images or more")
        if self.mask is not None and (len(items) > 2 or self.space == "z"):
            raise UserError("--mask goes with two images, and not with --space z")
        draw = self._draw_function(bench, items)
        places = interpolate.stops(
            len(items), self.frames, ease=self.ease, loop=self.loop
        )
        pictures: list[np.ndarray] = []
        for leg in range(len(items) if self.loop else len(items) - 1):
            t = places[leg * self.frames :][: self.frames + 1] - leg
            # The last frame of a leg is the first one of the next.
            end = leg == len(items) - 2 and not self.loop
            t = t if end else t[: self.frames]
            for start in range(0, len(t), _AT_ONCE):
                some = t[start : start + _AT_ONCE]
                padded = np.append(some, np.full(_AT_ONCE - len(some), some[-1]))
                drawn = draw(leg, (leg + 1) % len(items), padded)
                pictures += list(drawn[: len(some)])
        film = np.stack(pictures)
        chosen = np.linspace(0, len(film) - 1, min(_SHOWN_FRAMES, len(film)))
        row = film[np.rint(chosen).astype(int)]
        bench.write_grid([list(row)], None, [f"frame {round(c)}" for c in chosen])
        if self.film:
            path = bench.outputs.path("morph.mp4")
            video.write(path, film, self.fps)
            print(path)

    def _draw_function(self, bench: Workbench, items: Sequence[Item]) -> Draw:
        generator = bench.generator
        if self.space == "z":
            z = [item.z for item in items if item.z is not None]
            if len(z) < len(items):
                raise UserError("--space z takes seeds only; leave it out")

            labels = labels_of(items)

            def mixed(a: int, b: int, t: np.ndarray) -> np.ndarray | None:
                if labels is None:
                    return None
                t = np.asarray(t, np.float32)[:, None]
                return (1 - t) * labels[a] + t * labels[b]

            def along_circle(a: int, b: int, t: np.ndarray) -> np.ndarray:
                between = interpolate.morph_z(jnp.asarray(z[a]), jnp.asarray(z[b]), t)
                code = bench.code_of_z(np.asarray(between), mixed(a, b, t))
                return draw_pictures(generator, code)

            return along_circle
        code = bench.code(items)

        def along_line(a: int, b: int, t: np.ndarray) -> np.ndarray:
            first, second = code[a : a + 1], code[b : b + 1]
            return draw_pictures(generator, interpolate.morph(first, second, t))

        if self.mask is None:
            return along_line
        flags = MaskFlags(mask=self.mask, face=self.face)
        mask = jnp.asarray(flags.hard_mask(bench))
        masked = jax.jit(activations.masked_morph, static_argnames="layers")

        def inside(a: int, b: int, t: np.ndarray) -> np.ndarray:
            first, second = code[a : a + 1], code[b : b + 1]
            drawn = masked(
                generator, first, second, mask, jnp.asarray(t), layers=self.layer
            )
            return images.to_uint8(np.asarray(drawn))

        return inside
