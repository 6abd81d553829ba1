"""Cancellable searches with progress: inversion, inpainting, scribbles.

Each yields after every chunk of iterations and, at the end or when `stop` is set, the
last progress again as `finished`.
"""

import dataclasses
import threading
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.demo.session import Session, Source
from stylegan_jax.editing import local, masks
from stylegan_jax.editing.local import Edit, Search
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.problem import fit
from stylegan_jax.inversion.recipes import Recipe, make_terms
from stylegan_jax.inversion.solver import Optimizer, Plan
from stylegan_jax.io.images import from_uint8

# Not the paper's descent, which by pixels alone stops far from the known pixels.
INPAINTING_PLAN = Plan(optimizer=Optimizer(learning_rate=0.05))
FEATHER = 0.03  # deviation of the blur of masks, of the side, as in `edit`


class Effort(NamedTuple):
    """Iterations of a search; `noise` is 0 for networks without noise."""

    latents: int
    noise: int


EFFORTS = {
    "quick": Effort(200, 100),
    "usual": Effort(500, 500),
    "long": Effort(2000, 1000),
}


class Progress(NamedTuple):
    """Progress of a search; losses of noise and of latents do not compare.

    `code` is the best so far, of one image, on the host; `picture` that of the code.
    """

    done: int
    total: int
    loss: float
    code: Code
    picture: np.ndarray
    finished: bool = False


def invert(
    session: Session, photo: np.ndarray, effort: Effort, stop: threading.Event
) -> Iterator[Progress]:
    """Searches for the code of a photograph, uint8 `[R, R, C]`: latents, then noise.

    With an encoder its estimate comes first, after no iterations.
    """
    recipe = local.quick_recipe(session.generator, session.features.kind, *effort)
    target = jnp.asarray(from_uint8(photo[None]))
    yield from _followed(session, _restored(session, target, recipe), effort, stop)


def inpaint(
    session: Session,
    picture: np.ndarray,
    hole: np.ndarray,
    effort: Effort,
    stop: threading.Event,
) -> Iterator[Progress]:
    """Fills a hole, `[1, R, R, 1]` above 0, of a picture; `editing.local.inpaint`."""
    if not hole.any():
        raise UserError("nothing is marked: paint over what should be filled anew")
    if (hole > 0).all():
        raise UserError("everything is marked: leave something to go by")
    edits = local.inpaint(
        session.generator,
        jnp.asarray(from_uint8(picture[None])),
        jnp.asarray(hole),
        local.mean_start(session.generator),
        _search(session, INPAINTING_PLAN, effort),
        edge=jnp.asarray(masks.feather(masks.dilate(hole, 2 * FEATHER), FEATHER)),
    )
    yield from _followed(session, edits, effort, stop)


def scribble(
    session: Session,
    source: Source,
    painted: np.ndarray,
    touched: np.ndarray,
    effort: Effort,
    stop: threading.Event,
) -> Iterator[Progress]:
    """Turns strokes on a picture into image content; `editing.local.scribble`.

    `painted` is `source` with strokes, uint8 `[R, R, C]`, `touched` their mask
    `[1, R, R, 1]`. Colours are followed too: all rows move, nearly freely, and not only
    the paper's first six of 18, which are for shapes.
    """
    if not touched.any():
        raise UserError("no stroke is on the picture: paint what should be there")
    edits = local.scribble(
        session.generator,
        jnp.asarray(from_uint8(painted[None])),
        jnp.asarray(masks.feather(masks.dilate(touched, FEATHER), FEATHER)),
        session.plain(source),
        _search(session, local.SCRIBBLE_PLAN, effort),
        rows=range(session.num_rows),
        stay=0.001,
    )
    yield from _followed(session, edits, effort, stop)


def _search(session: Session, plan: Plan, effort: Effort) -> Search:
    return Search(
        features=session.features,
        w=dataclasses.replace(plan, steps=effort.latents),
        noise_steps=effort.noise,
    )


def _restored(session: Session, target: Array, recipe: Recipe) -> Iterator[Edit]:
    generator, before = session.generator, 0
    code = local.mean_start(generator)
    if session.encoder is not None:
        code = Code(session.estimate(target), code.noise)
        yield Edit(code, code)
    for stage in recipe.stages:
        terms = make_terms(stage, target, code, session.features, session.statistics)
        done = before
        for found in fit(generator, code, terms, stage.plan, moves=stage.moves):
            done, loss = before + len(found.history), float(found.history[-1].mean())
            yield Edit(found.code, found.code, done, loss)
        code, before = found.code, done


def _followed(
    session: Session, edits: Iterator[Edit], effort: Effort, stop: threading.Event
) -> Iterator[Progress]:
    total = effort.latents + (effort.noise if session.has_noise else 0)
    for edit in edits:
        edit = jax.device_get(edit)
        progress = Progress(
            done=int(edit.iterations),
            total=total,
            loss=float(edit.loss),
            code=edit.code,
            picture=session.draw(edit.code),
        )
        yield progress
        if stop.is_set():
            break
    if not np.isfinite(progress.loss):
        raise UserError("the search met numbers that are not finite; try another")
    yield progress._replace(finished=True)
