"""Local edits: crossover, inpainting, scribbles, local style and face swaps.

Algorithms of Image2StyleGAN++ (Abdal et al. 2020): a search for latents, then one for
noise, never back. Images are `[N, H, W, C]` in [-1, 1], masks `[N or 1, H, W, 1]`; all
N are edited at once, by default in the paper's 1000 iterations of each kind, and an
`Edit` is yielded after every chunk.

Differs: noise starts as that of the start code, not as N(0, 1).
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from stylegan_jax.editing.rows import INPAINTING_ROWS, SCRIBBLE_ROWS, rows_of_18
from stylegan_jax.features.extractor import Params
from stylegan_jax.inversion import recipes, terms
from stylegan_jax.inversion.code import Code, drawn, stored_noise
from stylegan_jax.inversion.feature_nets import (
    NO_FEATURES,
    FeatureNets,
    Perceptual,
)
from stylegan_jax.inversion.problem import Solution, fit
from stylegan_jax.inversion.recipes import Recipe, with_perceptual
from stylegan_jax.inversion.solver import Optimizer, Plan
from stylegan_jax.inversion.terms import FeatureTerm, PixelTerm, StayTerm, Term
from stylegan_jax.io.summary import short_repr
from stylegan_jax.networks.generator import Generator

# Makes a term of target images and a mask.
MakeTerm = Callable[[Array, Array | None], Term]

PIXEL_WEIGHT = 1e-5
# Searches for latents.
PLAN = Plan()
SCRIBBLE_PLAN = Plan(optimizer=Optimizer(learning_rate=0.1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """Settings of the searches for latents and noise."""

    # Networks of `inversion.load_features`, that images are compared by beside pixels.
    features: FeatureNets = NO_FEATURES
    perceptual: MakeTerm | None = None  # makes a term of your own instead
    w: Plan | None = None  # for the latents; None is the algorithm's own
    noise: Plan | None = None  # None is Adam at `noise_rate`, higher in `inpaint`
    noise_steps: int = 1000  # where `noise` is None; 0 leaves the search out


class Edit(NamedTuple):
    """Progress of an edit; `latents` is the code before noise moved, `loss` a mean."""

    latents: Code
    code: Code
    iterations: int = 0
    loss: float = 0.0


def quick_recipe(
    generator: Generator,
    perceptual: Perceptual,
    w_steps: int | None = None,
    noise_steps: int | None = None,
    **weights: str | os.PathLike[str] | None,
) -> Recipe:
    """The recipe `editing` with other numbers of iterations.

    Networks without noise have no stage for it. `weights` are paths, as of
    `recipes.with_perceptual`.
    """
    found = recipes.recipe("editing", generator.resolution)
    noise_steps = noise_steps if generator.config.use_noise else 0
    found = recipes.with_steps(found, w_steps, noise_steps)
    return with_perceptual(found, perceptual, **weights)


def inpainting_plan(compared: Perceptual) -> Plan:
    """The search for latents of `inpaint`: the paper's 200 steps of gradient descent.

    The rate is the paper's 0.8 with its perceptual term. By pixels alone, or with the
    included network, the loss is flatter at any resolution, and the rate is 20, as
    docs/results.md measures.
    """
    rate = 20.0 if compared in ("included", "none") else 0.8
    return Plan(optimizer=Optimizer(name="sgd", learning_rate=rate), steps=200)


def mean_start(
    generator: Generator,
    count: int = 1,
    *,
    spread: float = 0.0,
    key: Array | None = None,
) -> Code:
    """The mean latent with the stored noise, the start of the papers' searches.

    `spread` adds U[-spread, spread], one vector per image, to all rows (paper: 0.4).
    """
    size = generator.config.w_dim
    w = jnp.zeros((count, size))
    if generator.w_avg is not None:
        w = w + generator.w_avg[None]
    if spread:
        key = jax.random.key(0) if key is None else key
        w = w + jax.random.uniform(key, w.shape, minval=-spread, maxval=spread)
    ws = jnp.broadcast_to(w[:, None], (count, generator.config.num_ws, size))
    return Code(ws, stored_noise(generator, count))


# --- Algorithms --------------------------------------------------------------------


def crossover(
    generator: Generator,
    inside: Array,
    outside: Array,
    mask: Array,
    start: Code,
    search: Search = Search(),
) -> Iterator[Edit]:
    """One image inside a mask, another outside; yields after every chunk.

    Args:
        inside: `[N, H, W, C]` in [-1, 1], as `outside`.
        mask: `[N or 1, H, W, 1]`, 1 is inside; usually blurred, `masks.feather`.
        start: the code that the search begins at, such as `mean_start`.

    Source: algorithm 3.
    """
    seen = [*_look(search, inside, mask), *_look(search, outside, 1 - mask)]
    targets = [_pixels(inside, mask), _pixels(outside, 1 - mask)]
    yield from _search(generator, start, seen, lambda _: targets, search)


def inpaint(
    generator: Generator,
    images: Array,
    hole: Array,
    start: Code | None = None,
    search: Search = Search(),
    *,
    edge: Array | None = None,
    rows: Sequence[int] | None = None,
) -> Iterator[Edit]:
    """Fills a hole; pixels inside it have no influence.

    Args:
        images: `[N, H, W, C]` in [-1, 1].
        hole: `[N or 1, H, W, 1]`, above 0 is hole.
        start: by default `mean_start`; with a spread, every start has its own solution.
        search: by default `inpainting_plan` of what it compares by, then 1000
            iterations of noise.
        edge: a blurred mask a little larger than the hole, where noise keeps what the
            latents gave; None is the hole.
        rows: that move; by default `rows_of_18` of the paper's 1 to 9, 17 and 18.

    Source: algorithm 4. Differs: the hole is grey in both images of the perceptual
    term, because features near a hole depend on its pixels.
    """
    if start is None:
        start = mean_start(generator, len(images))
    known = (hole <= 0).astype(jnp.float32)
    images = jnp.where(hole <= 0, images, 0.0)
    if rows is None:
        rows = rows_of_18(INPAINTING_ROWS, generator.config.num_ws)
    pixels, *features = _look(search, images, known)
    seen = [pixels, *(Hidden(term, known) for term in features)]
    edge = 1 - known if edge is None else jnp.maximum(edge, 1 - known)

    def targets(before: Array) -> list[Term]:
        return [_pixels(images, 1 - edge), _pixels(before, edge, factor=10.0)]

    plan = inpainting_plan("own" if search.perceptual else search.features.kind)
    rate = recipes.noise_rate(generator.resolution, "inpaint")
    yield from _search(generator, start, seen, targets, search, plan, rows, rate)


def scribble(
    generator: Generator,
    painted: Array,
    region: Array,
    start: Code,
    search: Search = Search(),
    *,
    rows: Sequence[int] | None = None,
    stay: float = 0.01,
) -> Iterator[Edit]:
    """Turns strokes painted on images into image content.

    Args:
        painted: images with strokes, `[N, H, W, C]` in [-1, 1].
        region: of the strokes, blurred, `[N or 1, H, W, 1]`; noise restores them there.
        start: the code w* of the images without strokes.
        search: by default `SCRIBBLE_PLAN`, then 1000 iterations of noise.
        rows: that move; by default `rows_of_18` of the first six.
        stay: weight of `||w* - w||`.

    Source: algorithm 5; the weight is a port's, the paper gives none.
    """
    if rows is None:
        rows = rows_of_18(SCRIBBLE_ROWS, generator.config.num_ws)
    seen = [*_look(search, painted, None), StayTerm(start.ws, stay)]
    targets = _restored(painted, region)
    yield from _search(generator, start, seen, targets, search, SCRIBBLE_PLAN, rows)


def transfer_local_style(
    generator: Generator,
    images: Array,
    styles: Array,
    mask: Array,
    start: Code,
    search: Search = Search(),
    *,
    make_style: MakeTerm | None = None,
) -> Iterator[Edit]:
    """Gives the outside of a blurred mask the style of other images.

    `start` is the code of `images`. The paper's `make_style` is `terms.style_term` with
    its parameters; `colour_term`, the default, needs no feature network.

    Source: algorithm 6.
    """
    style = (make_style or colour_term)(styles, 1 - mask)
    seen = [*_look(search, images, mask), style]
    yield from _search(generator, start, seen, _restored(images, mask), search)


def swap_face(
    generator: Generator,
    images: Array,
    donors: Array,
    mask: Array,
    start: Code,
    search: Search = Search(),
    *,
    match: bool = True,
) -> Iterator[Edit]:
    """The donors' faces in images: a crossover, by default after colours are matched.

    Both are aligned alike, the mask is blurred, such as a `masks.part` "face", and
    `start` is the code of `images`.
    """
    donors = match_colours(donors, images, mask) if match else donors
    return crossover(generator, donors, images, mask, start, search)


def match_colours(images: Array, reference: Array, mask: Array) -> Array:
    """Images with the mean and deviation of each colour of a reference, in a mask.

    Source: Reinhard et al. 2001, "Color transfer between images", here in RGB.
    """

    def moments(x: Array) -> tuple[Array, Array]:
        weight = jnp.broadcast_to(mask, (*x.shape[:3], 1))
        weight = weight / weight.sum((1, 2, 3), keepdims=True)
        mean = (weight * x).sum((1, 2), keepdims=True)
        return mean, jnp.sqrt((weight * (x - mean) ** 2).sum((1, 2), keepdims=True))

    (mean, std), (wanted_mean, wanted_std) = moments(images), moments(reference)
    matched = wanted_mean + (images - mean) * wanted_std / jnp.maximum(std, 1e-3)
    return jnp.clip(matched, -1.0, 1.0)


# --- Searches ----------------------------------------------------------------------


def _search(
    generator: Generator,
    start: Code,
    seen: Sequence[Term],
    targets: Callable[[Array], Sequence[Term]],
    search: Search,
    plan: Plan = PLAN,
    rows: Sequence[int] | None = None,
    rate: float | None = None,
) -> Iterator[Edit]:
    """Latents for the terms `seen`, then noise for `targets(their images)`."""
    latents = Edit(start, start)
    for found in fit(generator, start, seen, search.w or plan, layers=rows):
        latents = _edit(found.code, found, 0)
        yield latents
    if not generator.config.use_noise or not search.noise_steps:
        return
    rate = rate or recipes.noise_rate(generator.resolution, "edit")
    plan = Plan(optimizer=Optimizer(learning_rate=rate), steps=search.noise_steps)
    plan = search.noise or plan
    kept = targets(drawn(generator, latents.code))
    for found in fit(generator, latents.code, kept, plan, moves="noise"):
        yield _edit(latents.code, found, latents.iterations)


def _edit(latents: Code, found: Solution, before: int) -> Edit:
    loss = float(found.history[-1].mean())
    return Edit(latents, found.code, before + len(found.history), loss)


def _restored(images: Array, mask: Array) -> Callable[[Array], Sequence[Term]]:
    """Noise restores images in a mask and elsewhere keeps what the latents gave."""
    return lambda before: [_pixels(images, mask), _pixels(before, 1 - mask)]


# --- Terms -------------------------------------------------------------------------


def _pixels(target: Array, mask: Array | None, factor: float = 1.0) -> Term:
    return PixelTerm(target, mask, PIXEL_WEIGHT * factor)


def _look(search: Search, target: Array, mask: Array | None) -> list[Term]:
    make = search.perceptual or _perceptual(search.features)
    found = [_pixels(target, mask)]
    return found if make is None else [*found, make(target, mask)]


@struct.dataclass
class Hidden:
    """A term of images whose masked-out part is grey."""

    term: Term
    visible: Array  # [N or 1, H, W, 1]

    __repr__ = short_repr

    def __call__(self, images: Array, code: Code) -> Array:
        """`[N]`."""
        return self.term(self.visible * images, code)


def colour_term(target: Array, mask: Array | None) -> FeatureTerm:
    """Mean squared difference of `colour_gram`, a style without a feature network."""
    mask = jnp.ones_like(target[:1, :, :, :1]) if mask is None else mask
    return FeatureTerm(colour_gram(target, mask), 1.0, {}, _colours, (mask,))


def _colours(term: FeatureTerm, images: Array) -> Array:
    assert term.masks is not None
    found = colour_gram(images, term.masks[0])
    return jnp.mean((found - term.target) ** 2, (1, 2))


def colour_gram(images: Array, mask: Array) -> Array:
    """Masked mean of the outer products of (R, G, B, 1): `[N, C + 1, C + 1]`."""
    pixels = jnp.concatenate([images, jnp.ones_like(images[..., :1])], -1)
    mask = jnp.broadcast_to(mask, (*images.shape[:3], 1))
    moments = jnp.einsum("nhwc,nhwd,nhwe->ncd", pixels, pixels, mask)
    return moments / jnp.sum(mask, (1, 2, 3))[:, None, None]


def _masked(
    make: Callable[..., Term], params: Params, target: Array, mask: Array | None
) -> Term:
    return make(target, params, mask=mask)


def _perceptual(features: FeatureNets) -> MakeTerm | None:
    """The perceptual term of the available network.

    LPIPS and custom networks have no masked features: outside the mask images are grey.
    """
    for make, params in (
        (terms.perceptual_term, features.vgg16),
        (terms.included_term, features.included),
    ):
        if params is not None:
            return partial(_masked, make, params)
    weight = PIXEL_WEIGHT * terms.LEVELS**2
    if features.lpips is not None:
        make = partial(terms.lpips_term, params=features.lpips, weight=weight)
    elif features.own is not None:
        make = partial(terms.feature_term, network=features.own, weight=PIXEL_WEIGHT)
    else:
        return None
    return lambda target, mask: (
        make(target) if mask is None else Hidden(make(mask * target), mask)
    )
