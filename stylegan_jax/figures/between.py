"""Interpolation in z and w, and morphs between codes."""

from collections.abc import Iterable, Iterator, Sequence

import jax.numpy as jnp
import numpy as np

from stylegan_jax.editing import mixing
from stylegan_jax.figures.studio import Film, Studio
from stylegan_jax.inversion.code import Code, stored_noise
from stylegan_jax.io.grids import Sheet

_STRIP = np.linspace(0, 1, 9)  # moments on the way from one image to the next
_TIMES = [f"t = {t:.3g}" for t in _STRIP]


def interpolation(
    studio: Studio,
    paths: Sequence[Sequence[int]],
    *,
    frames: int = 45,
    psi: float = 0.7,
) -> Film:
    """Paths on great circles in z, above, and on straight lines in w, below.

    Each of `paths` is a row of seeds, all of one length, at least 2; the film follows
    them and returns to the first seeds, with `frames` per segment. The strip is the
    first segment. Truncation is of w, in z of each point's w.

    Source: Karras et al. 2018, section 4.1, and its accompanying video.
    """
    z = np.stack([studio.z(path) for path in paths])  # [P, stops, z_dim]
    stops = z.shape[1]
    ws = np.stack([studio.ws(path, psi=psi) for path in paths])
    noise = stored_noise(studio.generator, 1)

    def codes(moments: Iterable[float]) -> Iterator[Code]:
        for moment in moments:
            place, t = int(moment), float(moment % 1)
            following = (place + 1) % stops
            in_z = [
                mixing.morph_z(path[None, place], path[None, following], jnp.array([t]))
                for path in map(jnp.asarray, z)
            ]
            ws_z = studio.ws_of_z(np.concatenate(in_z), psi=psi)
            ws_w = (1 - t) * ws[:, place] + t * ws[:, following]
            both = np.concatenate([ws_z, ws_w])
            spread = [jnp.broadcast_to(n, (len(both), *n.shape[1:])) for n in noise]
            yield Code(jnp.asarray(both), tuple(spread))

    pictures = np.stack([*studio.draw_each(codes(_STRIP))])
    pictures = pictures.reshape(len(_STRIP), 2, len(paths), *pictures.shape[1:])
    strip = studio.page(
        [[*pictures[:, space, path]] for path in range(len(paths)) for space in (0, 1)],
        row_labels=["in z", "in w"] * len(paths),
        row_groups=[(f"seeds {path[0]}, {path[1]}", 2) for path in paths],
        column_labels=_TIMES,
    )
    screen = studio.screen(2, len(paths), row_labels=["in z", "in w"])
    moments = mixing.stops(stops, frames, loop=True)
    drawn = studio.draw_each(codes(moments))
    return Film(strip, _filled(drawn, screen), len(moments))


def morph(
    studio: Studio, pairs: Sequence[tuple[str, Code, Code]], *, frames: int = 45
) -> Film:
    """Straight lines between pairs of codes, w of each layer and noise.

    `pairs` are names and two codes of one image each; the film goes there and back,
    with `frames` each way.

    Source: Abdal et al. 2019 (Image2StyleGAN), morphing (`editing.mixing.morph`).
    """

    def drawn(t: np.ndarray) -> Iterator[np.ndarray]:
        return studio.draw_each(
            mixing.morph(first, second, moment[None])
            for moment in t
            for _, first, second in pairs
        )

    names = [name for name, _, _ in pairs]
    pictures = [*drawn(_STRIP)]
    strip = studio.page(
        [pictures[place :: len(pairs)] for place in range(len(pairs))],
        row_labels=names,
        column_labels=_TIMES,
    )
    screen = studio.screen(1, len(pairs), column_labels=names)
    path = mixing.stops(2, frames, loop=True)  # there and back
    t = np.where(path <= 1, path, 2 - path)
    return Film(strip, _filled(drawn(t), screen), len(t))


def _filled(pictures: Iterator[np.ndarray], screen: Sheet) -> Iterator[np.ndarray]:
    """Frames of as many pictures as the screen has cells."""
    cells: list[np.ndarray] = []
    for picture in pictures:
        cells.append(picture)
        if len(cells) == len(screen.cells):
            yield screen.fill(cells)
            cells = []
