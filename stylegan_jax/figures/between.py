"""From one image to the next: in z, in w, and between codes of any images."""

from collections.abc import Callable, Iterator, Sequence

import jax.numpy as jnp
import numpy as np

from stylegan_jax.editing import mixing
from stylegan_jax.figures.film import SCREEN, Film
from stylegan_jax.figures.studio import Studio, rgb
from stylegan_jax.inversion.code import Code, stored_noise
from stylegan_jax.io.grids import Sheet, make_sheet

_STRIP = 9  # moments on the way from one image to the next


def interpolation(
    studio: Studio,
    paths: Sequence[Sequence[int]],
    *,
    frames: int = 45,
    psi: float = 0.7,
) -> Film:
    """The same ways on great circles in z, above, and on straight lines in w, below.

    Args:
        studio: of any network with a mapping.
        paths: seeds of each path, which the film runs along side by side and back to
            their first; all of one length, at least 2. The strip is the first two seeds
            of each path.
        frames: from one seed to the next.
        psi: truncation; w is truncated, and in z each point's w.

    Source: Karras et al. 2018, section 4.1, and its accompanying video.
    """
    z = np.stack([studio.z(path) for path in paths])  # [P, stops, z_dim]
    stops = z.shape[1]
    ws = np.stack([studio.ws(path, psi=psi) for path in paths])
    noise = stored_noise(studio.generator, 1)

    def at(place: int, t: float) -> tuple[np.ndarray, np.ndarray]:
        """`[P, L, w_dim]` in z and in w, at `t` after the stop `place`."""
        following, moment = (place + 1) % stops, jnp.array([t])
        in_z = [
            mixing.morph_z(path[None, place], path[None, following], moment)
            for path in map(jnp.asarray, z)
        ]
        ws_z = studio.ws_of_z(np.concatenate(in_z), psi=psi)
        return ws_z, (1 - t) * ws[:, place] + t * ws[:, following]

    def drawn(moments: Sequence[tuple[int, float]]) -> Iterator[np.ndarray]:
        """Pictures: for each moment all paths in z, then in w."""

        def codes() -> Iterator[Code]:
            for place, t in moments:
                both = np.concatenate(at(place, t))
                spread = [jnp.broadcast_to(n, (len(both), *n.shape[1:])) for n in noise]
                yield Code(jnp.asarray(both), tuple(spread))

        return map(rgb, studio.draw_each(codes()))

    strip = _strip_of_paths(studio, paths, drawn)
    screen = make_sheet(
        2,
        len(paths),
        studio.resolution,
        row_labels=["in z", "in w"],
        at_least=SCREEN * studio.cell,
    )
    path = mixing.stops(stops, frames, loop=True)
    moments = [(int(p), float(p % 1)) for p in path]
    frames_of = _filled(drawn(moments), screen)
    return Film(strip, frames_of, len(moments))


def _strip_of_paths(
    studio: Studio,
    paths: Sequence[Sequence[int]],
    drawn: Callable[[Sequence[tuple[int, float]]], Iterator[np.ndarray]],
) -> np.ndarray:
    """Each path's first two seeds and what is between them, in z and in w."""
    strip_t = np.linspace(0, 1, _STRIP)
    pictures = np.stack(list(drawn([(0, float(t)) for t in strip_t])))
    # [T, 2, P, ...] to a row per path and space.
    pictures = pictures.reshape(_STRIP, 2, len(paths), *pictures.shape[1:])
    rows = pictures.transpose(2, 1, 0, 3, 4, 5).reshape(-1, *pictures.shape[3:])
    return make_sheet(
        2 * len(paths),
        _STRIP,
        studio.resolution,
        row_labels=["in z", "in w"] * len(paths),
        row_groups=[(f"seeds {path[0]}, {path[1]}", 2) for path in paths],
        column_labels=[f"t = {t:.3g}" for t in strip_t],
        at_least=studio.cell,
    ).fill(list(rows))


def morph(
    studio: Studio, pairs: Sequence[tuple[str, Code, Code]], *, frames: int = 45
) -> Film:
    """The straight line between the codes of two images, w of each layer and noise.

    Args:
        studio: of the codes' network.
        pairs: name and two codes of one image each. The film shows all pairs side by
            side, there and back.
        frames: from the first to the second.

    Source: Abdal et al. 2019 (Image2StyleGAN), morphing (`editing.mixing.morph`).
    """

    def drawn(t: np.ndarray) -> Iterator[np.ndarray]:
        """Pictures: for each t all pairs."""
        return map(
            rgb,
            studio.draw_each(
                mixing.morph(first, second, moment[None])
                for moment in t
                for _, first, second in pairs
            ),
        )

    strip_t = np.linspace(0, 1, _STRIP)
    pictures = list(drawn(strip_t))
    rows = [pictures[place :: len(pairs)] for place in range(len(pairs))]
    strip = make_sheet(
        len(pairs),
        _STRIP,
        studio.resolution,
        row_labels=[name for name, _, _ in pairs],
        column_labels=[f"t = {t:.3g}" for t in strip_t],
        at_least=studio.cell,
    ).fill([picture for row in rows for picture in row])
    screen = make_sheet(
        1,
        len(pairs),
        studio.resolution,
        column_labels=[name for name, _, _ in pairs],
        at_least=SCREEN * studio.cell,
    )
    path = mixing.stops(2, frames, loop=True)  # there and back
    t = np.where(path <= 1, path, 2 - path)
    return Film(strip, _filled(drawn(t), screen), len(t))


def _filled(pictures: Iterator[np.ndarray], screen: Sheet) -> Iterator[np.ndarray]:
    """Frames of as many pictures each as the screen has cells."""
    cells: list[np.ndarray] = []
    for picture in pictures:
        cells.append(picture)
        if len(cells) == len(screen.cells):
            yield screen.fill(cells)
            cells = []
