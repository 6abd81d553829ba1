"""Local edits: crossover, inpainting, scribbles, local style and face swaps.

Algorithms of Image2StyleGAN++ (Abdal et al. 2020): a search for latents, then one for
noise, never back. Images are `[N, H, W, C]` in [-1, 1], masks `[N or 1, H, W, 1]`; all
N are edited at once, by default in the paper's 1000 iterations of each kind, and an
`Edit` is yielded after every chunk.

Differs: noise starts as that of the start code, not as N(0, 1).
"""

import dataclasses
from collections.abc import Generator as Steps
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from stylegan_jax.editing.local_terms import PIXEL_WEIGHT, Hidden, MakeTerm, colour_term
from stylegan_jax.editing.rows import INPAINTING_ROWS, SCRIBBLE_ROWS, rows_of_18
from stylegan_jax.inversion.code import Code, draw, stored_noise
from stylegan_jax.inversion.problem import Solution, fit
from stylegan_jax.inversion.recipes import (
    Perceptual,
    Recipe,
    Stage,
    Weights,
    noise_rate,
    with_perceptual,
)
from stylegan_jax.inversion.solver import Optimizer, Plan
from stylegan_jax.inversion.terms import PixelTerm, StayTerm, Term
from stylegan_jax.networks.generator import Generator

# Searches for latents.
PLAN = Plan()
INPAINTING_PLAN = Plan(optimizer=Optimizer(name="sgd", learning_rate=0.8), steps=200)
# Of gradient descent by pixels alone, as docs/results.md measures.
PIXELS_RATE = 20.0
SCRIBBLE_PLAN = Plan(optimizer=Optimizer(learning_rate=0.1))

_draw = jax.jit(draw)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """Settings of the searches for latents and noise.

    Attributes:
        perceptual: makes the perceptual terms, such as `terms.perceptual_term` with its
            parameters; None compares pixels alone.
        w: plan for the latents; None is the algorithm's own.
        noise: plan for the noise; None is Adam at `noise_rate`, higher in `inpaint`.
        noise_steps: iterations where `noise` is None; 0 leaves the search out.
    """

    perceptual: MakeTerm | None = None
    w: Plan | None = None
    noise: Plan | None = None
    noise_steps: int = 1000


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
) -> Recipe:
    """Image2StyleGAN++'s recipe with fewer and longer steps, for photographs to edit.

    500 iterations of each kind by default; rates 0.05 for w and `noise_rate` for noise.
    """
    plan = Plan(optimizer=Optimizer(learning_rate=0.05), steps=w_steps or 500)
    stages = [Stage(name="w", moves="latent", plan=plan)]
    noise_steps = 500 if noise_steps is None else noise_steps
    if noise_steps and generator.config.use_noise:
        optimizer = Optimizer(learning_rate=noise_rate(generator.resolution, "edit"))
        plan = Plan(optimizer=optimizer, steps=noise_steps)
        pixels = Weights(perceptual=0.0)
        stages.append(Stage(name="noise", moves="noise", weights=pixels, plan=plan))
    return with_perceptual(Recipe(stages=tuple(stages), noise="stored"), perceptual)


def inpainting_plan(perceptual: bool) -> Plan:
    """The search for latents of `inpaint`: the paper's 200 steps of gradient descent.

    The rate is the paper's 0.8 with its perceptual term; without, the loss (a mean over
    pixels) is flatter at any resolution: `PIXELS_RATE`.
    """
    if perceptual:
        return INPAINTING_PLAN
    optimizer = dataclasses.replace(
        INPAINTING_PLAN.optimizer, learning_rate=PIXELS_RATE
    )
    return dataclasses.replace(INPAINTING_PLAN, optimizer=optimizer)


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
    config = generator.config
    w_avg = jnp.zeros(config.w_dim) if generator.w_avg is None else generator.w_avg
    w = jnp.broadcast_to(w_avg, (count, config.w_dim))
    if spread:
        key = jax.random.key(0) if key is None else key
        w = w + jax.random.uniform(key, w.shape, minval=-spread, maxval=spread)
    ws = jnp.broadcast_to(w[:, None], (count, config.num_ws, config.w_dim))
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
    """One image inside a mask (usually blurred, `masks.feather`), another outside.

    Source: algorithm 3.
    """
    seen = [*_look(search, inside, mask), *_look(search, outside, 1 - mask)]
    latents = yield from _latents(generator, start, seen, search, PLAN)
    targets = _pixels(inside, mask), _pixels(outside, 1 - mask)
    yield from _detail(generator, latents, targets, search)


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
        hole: above 0 is hole.
        start: by default `mean_start`; with a spread, every start has its own solution.
        search: by default `inpainting_plan`, then 1000 iterations of noise.
        edge: a blurred mask a little larger than the hole, where noise keeps what the
            latents gave; None is the hole.
        rows: that move; None takes the paper's 1 to 9, 17 and 18 of 18, in other
            networks those of `rows.rows_of_18`.

    Source: algorithm 4. Differs: the hole is grey in both images of the perceptual
    term, because features near a hole depend on its pixels.
    """
    if start is None:
        start = mean_start(generator, len(images))
    known = (hole <= 0).astype(jnp.float32)
    images = jnp.where(hole <= 0, images, 0.0)
    if rows is None:
        rows = rows_of_18(INPAINTING_ROWS, generator.config.num_ws)
    seen = _look(search, images, known, hide=True)
    plan = inpainting_plan(search.perceptual is not None)
    latents = yield from _latents(generator, start, seen, search, plan, rows)
    edge = 1 - known if edge is None else jnp.maximum(edge, 1 - known)
    targets = (
        _pixels(images, 1 - edge),
        _pixels(_draw(generator, latents.code), edge, factor=10.0),
    )
    rate = noise_rate(generator.resolution, "inpaint")
    yield from _detail(generator, latents, targets, search, rate)


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
        region: of the strokes, blurred; noise restores them there.
        start: the code w* of the images without strokes.
        search: by default `SCRIBBLE_PLAN`, then 1000 iterations of noise.
        rows: that move; None takes the first six of 18, in other networks those of
            `rows.rows_of_18`.
        stay: weight of `||w* - w||`.

    Source: algorithm 5; the weight is a port's, the paper gives none.
    """
    if rows is None:
        rows = rows_of_18(SCRIBBLE_ROWS, generator.config.num_ws)
    seen = [*_look(search, painted, None), StayTerm(start.ws, stay)]
    latents = yield from _latents(generator, start, seen, search, SCRIBBLE_PLAN, rows)
    yield from _restored(generator, latents, painted, region, search)


def transfer_local_style(
    generator: Generator,
    images: Array,
    styles: Array,
    mask: Array,
    start: Code,
    search: Search = Search(),
    *,
    make_style: MakeTerm = colour_term,
) -> Iterator[Edit]:
    """Gives the outside of a blurred mask the style of other images.

    `start` is the code of `images`. The paper's `make_style` is `terms.style_term` with
    its parameters; `colour_term` needs no feature network.

    Source: algorithm 6.
    """
    seen = [*_look(search, images, mask), make_style(styles, 1 - mask)]
    latents = yield from _latents(generator, start, seen, search, PLAN)
    yield from _restored(generator, latents, images, mask, search)


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


def _look(
    search: Search, target: Array, mask: Array | None, *, hide: bool = False
) -> list[Term]:
    found: list[Term] = [PixelTerm(target, mask, PIXEL_WEIGHT)]
    if search.perceptual is not None:
        term = search.perceptual(target, mask)
        found.append(Hidden(term, mask) if hide and mask is not None else term)
    return found


def _pixels(target: Array, mask: Array, factor: float = 1.0) -> Term:
    return PixelTerm(target, mask, PIXEL_WEIGHT * factor)


def _latents(
    generator: Generator,
    start: Code,
    seen: Sequence[Term],
    search: Search,
    plan: Plan,
    rows: Sequence[int] | None = None,
) -> Steps[Edit, None, Edit]:
    plan = plan if search.w is None else search.w
    edit = Edit(start, start)
    for found in fit(generator, start, seen, plan, layers=rows):
        edit = _edit(found.code, found, 0)
        yield edit
    return edit


def _restored(
    generator: Generator, latents: Edit, images: Array, mask: Array, search: Search
) -> Iterator[Edit]:
    """Noise that restores images in a mask and elsewhere keeps what latents gave."""
    drawn = _draw(generator, latents.code)
    targets = _pixels(images, mask), _pixels(drawn, 1 - mask)
    yield from _detail(generator, latents, targets, search)


def _detail(
    generator: Generator,
    latents: Edit,
    targets: Sequence[Term],
    search: Search,
    rate: float | None = None,
) -> Iterator[Edit]:
    if not generator.config.use_noise or not search.noise_steps:
        return
    rate = noise_rate(generator.resolution, "edit") if rate is None else rate
    optimizer = Optimizer(learning_rate=rate)
    plan = search.noise or Plan(optimizer=optimizer, steps=search.noise_steps)
    for found in fit(generator, latents.code, targets, plan, moves="noise"):
        yield _edit(latents.code, found, latents.iterations)


def _edit(latents: Code, found: Solution, before: int) -> Edit:
    loss = float(found.history[-1].mean())
    return Edit(latents, found.code, before + len(found.history), loss)
