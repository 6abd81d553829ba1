"""Searches that can be watched and stopped: inversion, inpainting, scribbles.

Each yields its progress after every chunk of iterations, with the best picture so far,
which stays when it is stopped.
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
from stylegan_jax.editing.local_terms import make_perceptual
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.objective import make_terms
from stylegan_jax.inversion.problem import fit
from stylegan_jax.inversion.recipes import Perceptual, Recipe
from stylegan_jax.inversion.solver import Optimizer, Plan
from stylegan_jax.io import images

# Not the paper's descent, which by pixels alone stops far from what is known.
INPAINTING_PLAN = Plan(optimizer=Optimizer(learning_rate=0.05))
FEATHER = 0.03  # deviation of the blur of masks, of the side, as in `edit`


class Effort(NamedTuple):
    """Iterations of a search."""

    latents: int
    noise: int


EFFORTS = {
    "quick": Effort(200, 100),
    "usual": Effort(500, 500),
    "long": Effort(2000, 1000),
}


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a search is.

    Attributes:
        done: iterations so far.
        total: that there will be.
        loss: of the last one; of noise it is measured otherwise than of latents.
        code: the best so far, of one image; numbers on the host.
        latents: the best before the noise was touched.
        picture: of the code, uint8 `[H, W, C]`.
        finished: whether this is the last word.
    """

    done: int
    total: int
    loss: float
    code: Code
    latents: Code
    picture: np.ndarray
    finished: bool = False


def invert(
    session: Session, photo: np.ndarray, effort: Effort, stop: threading.Event
) -> Iterator[Progress]:
    """Looks for the code of a photograph, latents first and then noise.

    Args:
        session: whose network should draw it.
        photo: uint8 `[R, R, C]`.
        effort: how long; no noise where the network has none.
        stop: may be set at any time; the best so far is the last that is yielded.

    Yields:
        Progress after every chunk, and at the end `finished`.

    Raises:
        UserError: a photograph of another size, or a loss that is not finite.
    """
    generator = session.generator
    expected = (session.resolution,) * 2 + (generator.config.num_channels,)
    if photo.shape != expected:
        raise UserError(f"the photograph is {photo.shape}, not {expected}")
    recipe = local.quick_recipe(
        generator, _perceptual(session), effort.latents, effort.noise
    )
    target = jnp.asarray(images.from_uint8(photo[None]))

    edits = _restored(session, target, recipe)
    return _followed(session, edits, _effort(session, effort), stop)


def _restored(session: Session, target: Array, recipe: Recipe) -> Iterator[Edit]:
    code, latents, before = local.mean_start(session.generator), None, 0
    for stage in recipe.stages:
        terms = make_terms(stage, target, code, session.features)
        for found in fit(session.generator, code, terms, stage.plan, moves=stage.moves):
            done, loss = before + len(found.history), found.history[-1].mean()
            yield Edit(latents or found.code, found.code, done, float(loss))
        code, latents, before = found.code, latents or found.code, done


def inpaint(
    session: Session,
    picture: np.ndarray,
    hole: np.ndarray,
    effort: Effort,
    stop: threading.Event,
) -> Iterator[Progress]:
    """Fills a hole; what the picture holds in it has no influence.

    Args:
        session: whose network should fill it.
        picture: uint8 `[R, R, C]`.
        hole: `[1, R, R, 1]`, above 0 is hole.
        effort: how long.
        stop: as of `invert`.

    Yields and raises: as `invert`. Source: `editing.local.inpaint`.
    """
    if not hole.any():
        raise UserError("nothing is marked: paint over what should be filled anew")
    if (hole > 0).all():
        raise UserError("everything is marked: leave something to go by")
    edge = masks.feather(masks.dilate(hole, 2 * FEATHER), FEATHER)

    edits = local.inpaint(
        session.generator,
        jnp.asarray(images.from_uint8(picture[None])),
        jnp.asarray(hole),
        local.mean_start(session.generator),
        _search(session, INPAINTING_PLAN, effort),
        edge=jnp.asarray(edge),
    )
    return _followed(session, edits, _effort(session, effort), stop)


def scribble(
    session: Session,
    source: Source,
    painted: np.ndarray,
    touched: np.ndarray,
    effort: Effort,
    stop: threading.Event,
    *,
    colours: bool = False,
) -> Iterator[Progress]:
    """Makes strokes that were painted on a picture part of it.

    Args:
        session: whose network it is.
        source: what was painted on.
        painted: its picture with the strokes, uint8 `[R, R, C]`.
        touched: `[1, R, R, 1]`, where the strokes are.
        effort: how long.
        stop: as of `invert`.
        colours: moves all rows, nearly freely; otherwise the paper's first six of 18,
            which are for shapes.

    Yields and raises: as `invert`. Source: `editing.local.scribble`.
    """
    if not touched.any():
        raise UserError("no stroke is on the picture: paint what should be there")
    region = masks.feather(masks.dilate(touched, FEATHER), FEATHER)
    edits = local.scribble(
        session.generator,
        jnp.asarray(images.from_uint8(painted[None])),
        jnp.asarray(region),
        session.plain(source),
        _search(session, local.SCRIBBLE_PLAN, effort),
        rows=range(session.num_rows) if colours else None,
        stay=0.001 if colours else 0.01,
    )
    return _followed(session, edits, _effort(session, effort), stop)


def _search(session: Session, plan: Plan, effort: Effort) -> Search:
    return Search(
        perceptual=make_perceptual(session.features),
        w=dataclasses.replace(plan, steps=effort.latents),
        noise_steps=effort.noise,
    )


def _perceptual(session: Session) -> Perceptual:
    return "none" if session.features.vgg16 is None else "vgg16"


def _effort(session: Session, effort: Effort) -> Effort:
    return effort if session.has_noise else effort._replace(noise=0)


def _followed(
    session: Session, edits: Iterator[Edit], effort: Effort, stop: threading.Event
) -> Iterator[Progress]:
    for edit in edits:
        edit = jax.device_get(edit)
        progress = Progress(
            done=edit.iterations,
            total=sum(effort),
            loss=edit.loss,
            code=edit.code,
            latents=edit.latents,
            picture=session.draw(edit.code),
        )
        yield progress
        if stop.is_set():
            break
    if not np.isfinite(progress.loss):
        raise UserError("the search met numbers that are not finite; try another")
    yield dataclasses.replace(progress, finished=True)
