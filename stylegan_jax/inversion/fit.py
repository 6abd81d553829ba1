"""Fits latents and noise to terms: compositions of one `solve`.

`fit_w` moves latents with the noise fixed, `fit_noise` moves noise with the latents
fixed, `fit_both` moves both. One after the other, latents first and never again after
the noise, is what Image2StyleGAN++ found to be stable.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import terms as objective
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.solver import Chunk, Moving, Optimizer, Plan, State, solve
from stylegan_jax.inversion.spaces import SPACES, Space, to_ws
from stylegan_jax.inversion.terms import Term
from stylegan_jax.io.summary import short_repr
from stylegan_jax.networks.config import num_layers
from stylegan_jax.networks.generator import Generator

# Learning rates of the paper.
W_PLAN = Plan()
NOISE_PLAN = Plan(optimizer=Optimizer(learning_rate=5.0))

# Told after each chunk, with a function that gives the best code so far.
OnChunk = Callable[[Chunk, Callable[[], Code]], None]


@struct.dataclass
class Jitter:
    """Random shifts of w that fade out in the first three quarters.

    Source: `w_noise` of NVlabs/stylegan2-ada-pytorch, `projector.py`.
    """

    std: Array  # of w; the scalar of `spaces.w_statistics`
    keys: Array  # [N], typed keys
    scale: float = struct.field(pytree_node=False, default=0.05)
    until: float = struct.field(pytree_node=False, default=0.75)

    __repr__ = short_repr

    def __call__(self, ws: Array, step: Array, progress: Array) -> Array:
        """`[N, L, D]` shifted; each image by draws of its own."""
        size = self.std * self.scale * jnp.maximum(0.0, 1 - progress / self.until) ** 2
        keys = jax.vmap(jax.random.fold_in, (0, None))(self.keys, step)
        return ws + size * jax.vmap(lambda k: jax.random.normal(k, ws.shape[1:]))(keys)


@struct.dataclass
class LatentProblem:
    """The terms as a function of what moves, a dict of `latent` and `noise`."""

    generator: Generator
    terms: tuple[Term, ...]
    fixed: Code
    labels: Array | None
    jitter: Jitter | None
    space: Space = struct.field(pytree_node=False)
    layers: tuple[int, ...] = struct.field(pytree_node=False)  # of ws that move
    noise_layers: tuple[int, ...] = struct.field(pytree_node=False)
    renormalise: bool = struct.field(pytree_node=False)

    __repr__ = short_repr

    def losses(self, moving: Moving, step: Array, progress: Array) -> Array:
        """The sum of the terms, `[N]`."""
        if "latent" in moving and self.jitter is not None:
            latent = self.jitter(moving["latent"], step, progress)
            moving = {**moving, "latent": latent}
        code = self.code(moving)
        return objective.total(self.terms, codes.draw(self.generator, code), code)

    def project(self, moving: Moving) -> Moving:
        """Scales noise to mean 0 and mean square 1, if that is wanted."""
        if not self.renormalise or "noise" not in moving:
            return moving

        def normal(noise: Array) -> Array:
            noise = noise - noise.mean((1, 2, 3), keepdims=True)
            square = jnp.mean(noise**2, (1, 2, 3), keepdims=True)
            return noise * jax.lax.rsqrt(square)

        return {**moving, "noise": jax.tree.map(normal, moving["noise"])}

    def code(self, moving: Moving) -> Code:
        """The whole code: what moves, and what does not."""
        ws, noise = self.fixed.ws, list(self.fixed.noise)
        if "latent" in moving:
            moved = to_ws(self.generator, moving["latent"], self.space, self.labels)
            shape = (ws.shape[0], len(self.layers), ws.shape[2])
            moved = jnp.broadcast_to(moved, shape)
            rows = np.asarray(self.layers)
            ws = moved if shape == ws.shape else ws.at[:, rows].set(moved)
        if "noise" in moving:
            for layer, image in zip(self.noise_layers, moving["noise"], strict=True):
                noise[layer] = image
        return Code(ws, tuple(noise))


@dataclasses.dataclass(frozen=True)
class Solution:
    """What a fit found.

    Attributes:
        code: of all images.
        loss: of the code, `[N]`; of the last iteration where the last is kept.
        history: losses by iteration, `[iterations, N]`; a stopped image's is constant.
        steps: iterations of each image, `[N]`.
        failed: images whose loss was not finite, `[N]`; their code is the best before.
        latent: the variable itself, in its space; None if only noise moved.
        state: the solver's.
    """

    code: Code
    loss: np.ndarray
    history: np.ndarray
    steps: np.ndarray
    failed: np.ndarray
    latent: Array | None
    state: State

    __repr__ = short_repr


def fit_w(
    generator: Generator,
    start: Code,
    terms: Sequence[Term],
    *,
    space: Space = "w+",
    layers: Sequence[int] | None = None,
    latent: Array | None = None,
    labels: Array | None = None,
    jitter: Jitter | None = None,
    plan: Plan = W_PLAN,
    chunk: int = 50,
    resume: Sequence[np.ndarray] | None = None,
    on_chunk: OnChunk | None = None,
) -> Solution:
    """Moves latents; the noise of `start` stays.

    Args:
        generator: what draws the images.
        start: where the search begins.
        terms: what is minimised, as in `terms`; plain functions will do.
        space: where the latent moves.
        layers: rows of `ws` that move, 0 to L - 1; None moves all. The others stay
            exactly as they are.
        latent: where to begin in z or z+, `[N, 1 or number of layers, z_dim]`; in the
            other spaces the start is that of `ws`.
        labels: `[N or 1, label_size]`, for z of conditional networks.
        jitter: random shifts of w; only in w and w+.
        plan: optimizer, iterations, when to stop.
        chunk: iterations per call of the compiled program.
        resume: as of `solve`.
        on_chunk: called after each chunk; may raise to stop.

    Raises:
        UserError: unknown layers or space, or a start of another network.
    """
    moved = _layers(layers, generator.config.num_ws, "layers")
    problem = _problem(generator, start, terms, space, labels, jitter)
    problem = dataclasses.replace(problem, layers=moved)
    moving = {"latent": _start(start, space, moved, latent)}
    return _fit(problem, moving, plan, chunk, resume, on_chunk)


def fit_noise(
    generator: Generator,
    start: Code,
    terms: Sequence[Term],
    *,
    layers: Sequence[int] | None = None,
    renormalise: bool = False,
    plan: Plan = NOISE_PLAN,
    chunk: int = 50,
    resume: Sequence[np.ndarray] | None = None,
    on_chunk: OnChunk | None = None,
) -> Solution:
    """Moves noise; the latents of `start` stay.

    Args:
        generator: what draws the images.
        start: where the search begins.
        terms: what is minimised; pixels only, in Image2StyleGAN++.
        layers: which noise images move; None moves all.
        renormalise: scales noise to mean 0, mean square 1 after every iteration.
        plan: optimizer, iterations, when to stop.
        chunk: iterations per call of the compiled program.
        resume: as of `solve`.
        on_chunk: called after each chunk; may raise to stop.

    Raises:
        UserError: a network without noise, unknown layers, or a start of another
            network.
    """
    moved = _noise_layers(generator, layers)
    problem = _problem(generator, start, terms, "w+", None, None)
    problem = dataclasses.replace(problem, noise_layers=moved, renormalise=renormalise)
    moving = {"noise": tuple(start.noise[layer] for layer in moved)}
    return _fit(problem, moving, plan, chunk, resume, on_chunk)


def fit_both(
    generator: Generator,
    start: Code,
    terms: Sequence[Term],
    *,
    space: Space = "w",
    layers: Sequence[int] | None = None,
    noise_layers: Sequence[int] | None = None,
    latent: Array | None = None,
    labels: Array | None = None,
    jitter: Jitter | None = None,
    renormalise: bool = True,
    plan: Plan = W_PLAN,
    chunk: int = 50,
    resume: Sequence[np.ndarray] | None = None,
    on_chunk: OnChunk | None = None,
) -> Solution:
    """Moves latents and noise together, as the projector of StyleGAN2 does.

    Arguments as of `fit_w` and `fit_noise`.
    """
    moved = _layers(layers, generator.config.num_ws, "layers")
    moved_noise = _noise_layers(generator, noise_layers)
    problem = _problem(generator, start, terms, space, labels, jitter)
    problem = dataclasses.replace(
        problem, layers=moved, noise_layers=moved_noise, renormalise=renormalise
    )
    moving = {
        "latent": _start(start, space, moved, latent),
        "noise": tuple(start.noise[layer] for layer in moved_noise),
    }
    return _fit(problem, moving, plan, chunk, resume, on_chunk)


def _problem(
    generator: Generator,
    start: Code,
    terms: Sequence[Term],
    space: Space,
    labels: Array | None,
    jitter: Jitter | None,
) -> LatentProblem:
    codes.check(generator, start)
    if space not in SPACES:
        raise UserError(f"space {space!r} is not one of {', '.join(SPACES)}")
    if jitter is not None and space.startswith("z"):
        raise UserError(f"jitter is of w; it does not go with the space {space}")
    return LatentProblem(
        generator=generator,
        terms=tuple(map(objective.as_term, terms)),
        fixed=start,
        labels=labels,
        jitter=jitter,
        space=space,
        layers=(),
        noise_layers=(),
        renormalise=False,
    )


def _start(
    start: Code, space: Space, layers: tuple[int, ...], latent: Array | None
) -> Array:
    """The variable at the beginning."""
    if space in ("w", "w+"):
        rows = start.ws[:, np.asarray(layers)]
        return rows if space == "w+" else rows.mean(1, keepdims=True)
    rows = 1 if space == "z" else len(layers)
    if latent is None or latent.shape[:2] != (len(start), rows):
        given = None if latent is None else latent.shape
        raise UserError(
            f"space {space} begins at `latent` [{len(start)}, {rows}, z_dim], not "
            f"{given}; w has no way back to z"
        )
    return latent


def _layers(layers: Sequence[int] | None, count: int, name: str) -> tuple[int, ...]:
    if layers is None:
        return tuple(range(count))
    if not layers or not set(layers) <= set(range(count)):
        raise UserError(
            f"{name} {list(layers)}: this network has {count}, 0 to {count - 1}"
        )
    return tuple(sorted(set(layers)))


def _noise_layers(
    generator: Generator, layers: Sequence[int] | None
) -> tuple[int, ...]:
    if not generator.config.use_noise:
        raise UserError("this network has no noise to optimise; leave that stage out")
    return _layers(layers, num_layers(generator.resolution), "noise layers")


def _fit(
    problem: LatentProblem,
    moving: dict[str, Any],
    plan: Plan,
    chunk: int,
    resume: Sequence[np.ndarray] | None,
    on_chunk: OnChunk | None,
) -> Solution:
    if plan.dtype == "float32":
        generator = problem.generator.in_float32()
        problem = dataclasses.replace(problem, generator=generator)
    histories = []
    for told in solve(problem, moving, plan, chunk=chunk, resume=resume):
        state = told.state
        histories.append(told.history)
        if on_chunk is not None and len(told.history):
            on_chunk(told, lambda best=state.best: _code(problem, best))
    return Solution(
        code=_code(problem, state.best),
        loss=np.asarray(state.best_loss),
        history=np.concatenate(histories),
        steps=np.asarray(state.steps),
        failed=np.asarray(state.failed),
        latent=state.best.get("latent"),
        state=state,
    )


@jax.jit
def _code(problem: LatentProblem, moving: Moving) -> Code:
    return problem.code(moving)
