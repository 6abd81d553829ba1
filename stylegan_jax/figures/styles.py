"""Style mixing, scaling of styles, and effects of each layer's style."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from stylegan_jax.editing.mixing import scale_style
from stylegan_jax.editing.rows import named_rows
from stylegan_jax.figures.studio import Studio, as_grey, gain_for, grey_levels
from stylegan_jax.inversion.code import Code

SCALES = ("coarse", "middle", "fine")


def style_mixing(
    studio: Studio,
    sources: Sequence[int],
    destinations: Sequence[Sequence[int]],
    *,
    psi: float = 1.0,
) -> np.ndarray:
    """Styles of some layers from source B, others from source A; uint8 `[H, W, 3]`.

    `sources` are seeds of B, one per column; `destinations` seeds of A, one per row, in
    three groups: coarse, middle and fine styles are replaced.

    Source: Karras et al. 2018, figure 3; `draw_style_mixing_figure`,
    `generate_figures.py` of NVlabs/stylegan. Differs: layers in networks below 64 px
    (`editing.rows.named_rows`).
    """
    studio.require("styles", "style mixing")
    groups = [(name, list(d)) for name, d in zip(SCALES, destinations, strict=True)]
    # The smallest networks have no middle layers.
    groups = [(n, s) for n, s in groups if s and named_rows(n, studio.num_layers)]
    ws_b = studio.ws(sources, psi=psi)
    rows: list[list[np.ndarray | None]] = [[None, *studio.draw(ws_b)]]
    for name, seeds in groups:
        layers = list(named_rows(name, studio.num_layers))
        ws_a = studio.ws(seeds, psi=psi)
        mixed = ws_a[:, None].repeat(len(sources), axis=1)
        mixed[:, :, layers] = ws_b[None][:, :, layers]
        drawn_a = studio.draw(ws_a)
        drawn = studio.draw(mixed.reshape(-1, *ws_a.shape[1:]))
        for row, picture in enumerate(drawn_a):
            rows.append([picture, *drawn[row * len(sources) :][: len(sources)]])
    return studio.page(
        rows,
        row_groups=[("", 1), *((f"{name} from B", len(s)) for name, s in groups)],
        column_groups=[("source A", 1), ("source B", len(sources))],
    )


def style_scaling(
    studio: Studio,
    seeds: Sequence[int],
    *,
    factors: Sequence[float] = (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0),
) -> np.ndarray:
    """`mean + factor (w - mean)` in some layers, or all; uint8 `[H, W, 3]`.

    A row per group of layers and seed, a column per factor: 1 is the image, 0 has the
    mean's styles in these layers, and in all layers it is the mean image.

    Source: Karras et al. 2018, appendix B, for groups of layers.
    """
    studio.require("styles", "scaling of styles")
    studio.require("a mean of w", "scaling of styles")
    groups = {name: named_rows(name, studio.num_layers) for name in (*SCALES, "all")}
    groups = {name: rows for name, rows in groups.items() if rows}
    mean, rows = studio.generator.truncation_mean, []
    assert mean is not None
    for w in studio.ws(seeds):
        code = Code(jnp.asarray(w[None]), ())
        for layers in groups.values():
            scaled = [scale_style(code, mean, f, layers).ws for f in factors]
            rows.append([*studio.draw(np.concatenate(scaled))])
    return studio.page(
        rows,
        row_labels=[*groups] * len(seeds),
        row_groups=[(f"seed {seed}", len(groups)) for seed in seeds],
        column_labels=[f"× {factor:g}".replace("-", "−") for factor in factors],
    )


def layer_effects(
    studio: Studio,
    seeds: Sequence[int],
    *,
    donor: int,
    count: int = 16,
    psi: float = 0.7,
) -> np.ndarray:
    """Effects of replacing each layer's style by a donor's, uint8 `[H, W, 3]`.

    Two rows per seed: the image with one layer's style of `donor`, and each pixel's
    mean change in grey levels over `count` donors (`donor` and the seeds after it). The
    number below is the mean over the image.
    """
    studio.require("styles", "the effect of layers")
    layers = studio.num_layers
    ws, ws_donors = (
        studio.ws(s, psi=psi) for s in (seeds, [donor + i for i in range(count)])
    )
    pictures, donor_picture = studio.draw(ws), studio.draw(ws_donors[:1])[0]
    rows: list[list[np.ndarray | None]] = []
    changes: list[np.ndarray] = []  # of each image, `[layers, R, R]`
    for w, picture in zip(ws, pictures, strict=True):
        swapped, maps = [], []
        for layer in range(layers):
            mixed = np.repeat(w[None], count, axis=0)
            mixed[:, layer] = ws_donors[:, layer]
            drawn = studio.draw(mixed)
            swapped.append(drawn[0])
            maps.append(np.abs(grey_levels(drawn) - grey_levels(picture)).mean(0))
        rows.append([picture, *swapped, donor_picture])
        changes.append(np.stack(maps))
    gain = gain_for(np.stack(changes))
    captions: list[str] = []
    for place, maps in enumerate(changes):
        greys = [as_grey(gain * levels) for levels in maps]
        rows.insert(2 * place + 1, [None, *greys, None])
        captions += [""] * (layers + 2)
        captions += ["", *(f"{levels.mean():.2f}" for levels in maps), ""]
    sizes = [(f"{2 ** (i + 2)} px", 2) for i in range(layers // 2)]
    return studio.page(
        rows,
        row_labels=["one style of B", f"mean change × {gain:g}"] * len(seeds),
        column_labels=["A", *(f"layer {i + 1}" for i in range(layers)), "B"],
        row_groups=[(f"seed {seed}", 2) for seed in seeds],
        column_groups=[("", 1), *sizes, ("", 1)],
        captions=captions,
    )
