"""A search for latents, then for noise, as a film with the curve of each term."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from stylegan_jax.editing import local, masks
from stylegan_jax.figures.studio import Film, Studio, as_grey, gain_for, grey_levels
from stylegan_jax.figures.style_loss import Loss
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.problem import fit
from stylegan_jax.inversion.recipes import noise_rate
from stylegan_jax.inversion.solver import Optimizer, Plan
from stylegan_jax.inversion.terms import Term
from stylegan_jax.io import grids, plots
from stylegan_jax.io.terminal import progress_bar
from stylegan_jax.metrics.reconstruction import report
from stylegan_jax.networks.generator import Generator

_STRIP = 8  # moments of the search in the strip


class Moment(NamedTuple):
    """The best code of a search so far."""

    stage: str  # w+ or noise
    iteration: int  # of both searches
    picture: np.ndarray  # uint8 [R, R, C]
    values: dict[str, float]  # of each term


def inversion(
    studio: Studio,
    loss: Loss,
    *,
    steps: int = 300,
    noise_steps: int = 200,
    learning_rate: float = 0.05,
    every: int = 10,
    quiet: bool = True,
) -> Film:
    """A search from the mean of w, first for w+, then for noise; a frame per `every`.

    A frame has the picture of each term, grey where its mask hides it, what the best
    code draws, its difference from `loss.target` with the PSNR, and the terms by
    iteration. `learning_rate` is of w+, the noise's is `recipes.noise_rate`.

    Source: Abdal et al. 2020, algorithms 1 to 3.
    """
    plans = {"w+": Plan(steps=steps, optimizer=Optimizer(learning_rate=learning_rate))}
    if noise_steps and studio.generator.config.use_noise:
        optimizer = Optimizer(learning_rate=noise_rate(studio.resolution))
        plans["noise"] = Plan(steps=noise_steps, optimizer=optimizer)
    count = 1 + sum(-(-plan.steps // every) for plan in plans.values())
    with progress_bar(quiet=quiet) as bar:
        found = search(studio.generator, loss, plans, every)
        moments = [*bar.track(found, count, description="search")]
    pictures = np.stack([moment.picture for moment in moments])
    targets = np.broadcast_to(loss.target, pictures.shape)
    psnr = [f"{decibels:.1f} dB" for decibels in report(targets, pictures)["psnr"]]
    levels = np.abs(grey_levels(pictures) - grey_levels(targets))
    gain = gain_for(levels)
    errors = [as_grey(gain * level) for level in levels]
    compared = {
        name: masks.covered(picture, 1 - mask)
        for name, (picture, mask) in loss.parts.items()
        if name in moments[0].values
    }
    difference = f"difference × {gain:g}"
    sheet = studio.page([[*compared.values()]], column_labels=[*compared])
    chosen = np.linspace(0, len(moments) - 1, min(_STRIP, len(moments)))
    some = [round(place) for place in chosen]
    stages = [moments[i].stage for i in some]
    strip = studio.page(
        [[pictures[i] for i in some], [errors[i] for i in some]],
        row_labels=["best so far", difference],
        column_labels=[str(moments[i].iteration) for i in some],
        column_groups=[(name, stages.count(name)) for name in dict.fromkeys(stages)],
        captions=[psnr[i] for i in some] + [""] * len(some),
    )
    plot = _curves(moments, max(sheet.shape[1], strip.shape[1]))

    def frames() -> Iterator[np.ndarray]:
        titles = [
            f"{moment.stage}, iteration {moment.iteration}: {decibels}"
            for moment, decibels in zip(moments, psnr, strict=True)
        ]
        names = [*compared, "best so far", difference]
        for title, *pair, moment in zip(titles, pictures, errors, moments, strict=True):
            screen = studio.screen(
                1,
                len(names),
                column_labels=names,
                column_groups=[(title, len(names))],
                room_for=titles,
            )
            filled = screen.fill([*compared.values(), *pair])
            lines = _curves(moments, filled.shape[1], at=moment.iteration)
            yield np.concatenate([filled, lines])

    return Film(grids.stacked([sheet, strip, plot]), frames(), len(moments))


def search(
    generator: Generator, loss: Loss, plans: Mapping[str, Plan], every: int
) -> Iterator[Moment]:
    """Yields the start, and what is found `every` iterations; `plans` by stage."""
    code, before = local.mean_start(generator), 0
    for stage, plan in plans.items():
        terms = loss.terms(pixels_only=stage == "noise")
        moment = functools.partial(_moment, generator, terms, stage)
        if not before:
            yield moment(code, 0)
        moves = "noise" if stage == "noise" else "latent"
        summands = tuple(terms.values())
        for found in fit(generator, code, summands, plan, moves=moves, chunk=every):
            code = found.code
            yield moment(code, before + len(found.history))
        before += plan.steps


def _moment(
    generator: Generator,
    terms: Mapping[str, Term],
    stage: str,
    code: Code,
    iteration: int,
) -> Moment:
    picture = codes.draw_pictures(generator, code)[0]
    found = jax.device_get(_values(generator, code, tuple(terms.values())))
    values = {name: float(x[0]) for name, x in zip(terms, found, strict=True)}
    return Moment(stage, iteration, picture, values)


@jax.jit
def _values(
    generator: Generator, code: Code, terms: tuple[Term, ...]
) -> list[jax.Array]:
    images = codes.draw(generator, code)
    return [term(images, code) for term in terms]


def _curves(
    moments: Sequence[Moment], width: int, at: float | None = None
) -> np.ndarray:
    lines: dict[str, tuple[list[int], list[float]]] = {}
    for moment in moments:
        for name, value in moment.values.items():
            x, y = lines.setdefault(name, ([], []))
            x.append(moment.iteration)
            y.append(value)
    return plots.log_lines(
        lines, x_label="iteration", y_label="loss", width=width, at=at
    )
