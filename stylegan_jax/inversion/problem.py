"""Search for the latents and noise of images: `fit`.

Image2StyleGAN++ recommends latents first, then noise with the latents fixed.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import terms as objective
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.solver import Moving, Plan, State, solve
from stylegan_jax.inversion.spaces import SPACES, Space, to_ws
from stylegan_jax.inversion.terms import Term
from stylegan_jax.io.summary import short_repr
from stylegan_jax.networks.generator import Generator

Moves = Literal["latent", "noise", "both"]


@struct.dataclass
class Jitter:
    """Random shifts of w that fade out in the first three quarters.

    Source: `w_noise` of NVlabs/stylegan2-ada-pytorch, `projector.py`.
    """

    std: Array  # of w; the scalar of `spaces.w_statistics`
    keys: Array  # [N], typed keys

    __repr__ = short_repr

    def __call__(self, ws: Array, step: Array, progress: Array) -> Array:
        """`[N, L, D]` shifted, each image by its own draws."""
        size = self.std * 0.05 * jnp.maximum(0.0, 1 - progress / 0.75) ** 2
        keys = jax.vmap(jax.random.fold_in, (0, None))(self.keys, step)
        return ws + size * jax.vmap(lambda k: jax.random.normal(k, ws.shape[1:]))(keys)


@struct.dataclass
class LatentProblem:
    """The terms as a function of the variables, a dict of `latent` and `noise`."""

    generator: Generator
    terms: tuple[Term, ...]
    fixed: Code
    labels: Array | None = None
    jitter: Jitter | None = None
    space: Space = struct.field(pytree_node=False, default="w+")
    layers: tuple[int, ...] = struct.field(pytree_node=False, default=())  # that move
    renormalise: bool = struct.field(pytree_node=False, default=False)

    __repr__ = short_repr

    def losses(self, moving: Moving, step: Array, progress: Array) -> Array:
        """The sum of the terms, `[N]`."""
        if "latent" in moving and self.jitter is not None:
            latent = self.jitter(moving["latent"], step, progress)
            moving = {**moving, "latent": latent}
        code = self.code(moving)
        return objective.total(self.terms, codes.draw(self.generator, code), code)

    def project(self, moving: Moving) -> Moving:
        """With `renormalise`, noise scaled to mean 0 and mean square 1."""
        if not self.renormalise or "noise" not in moving:
            return moving

        def normal(noise: Array) -> Array:
            noise = noise - noise.mean((1, 2, 3), keepdims=True)
            square = jnp.mean(noise**2, (1, 2, 3), keepdims=True)
            return noise * jax.lax.rsqrt(square)

        return {**moving, "noise": jax.tree.map(normal, moving["noise"])}

    def code(self, moving: Moving) -> Code:
        """The code of all layers."""
        ws = self.fixed.ws
        if "latent" in moving:
            moved = to_ws(self.generator, moving["latent"], self.space, self.labels)
            shape = (ws.shape[0], len(self.layers), ws.shape[2])
            moved = jnp.broadcast_to(moved, shape)
            rows = np.asarray(self.layers)
            ws = moved if shape == ws.shape else ws.at[:, rows].set(moved)
        return Code(ws, moving.get("noise", self.fixed.noise))


@struct.dataclass
class Solution:
    """Best result of a search so far, for N images."""

    code: Code
    latent: Array | np.ndarray | None  # in its space; as given if only noise moved
    loss: np.ndarray  # [N], of the code; of the last iteration where the last is kept
    history: np.ndarray  # losses [iterations, N]; a stopped image's is constant
    steps: np.ndarray  # [N], iterations of each image
    failed: np.ndarray  # [N], loss was not finite; the code is the best before
    state: State | None = None  # the solver's, donated to the next iterations

    __repr__ = short_repr

    def take(self, images: np.ndarray) -> "Solution":
        """A subset of the images, without the state."""
        latent = None if self.latent is None else self.latent[images]
        code, history = self.code[images], self.history[:, images]
        loss, steps, failed = (x[images] for x in (self.loss, self.steps, self.failed))
        return Solution(code, latent, loss, history, steps, failed)


def fit(
    generator: Generator,
    start: Code,
    terms: Sequence[Term],
    plan: Plan,
    *,
    moves: Moves = "latent",
    space: Space = "w+",
    layers: Sequence[int] | None = None,
    latent: Array | None = None,
    labels: Array | None = None,
    jitter: Jitter | None = None,
    renormalise: bool = False,
    chunk: int = 50,
    resume: Any = None,
) -> Iterator[Solution]:
    """Searches for latents, noise or both that minimise terms.

    For example::

        for found in fit(generator, start, terms, Plan(steps=500)):
            print(len(found.history), found.loss)
        result = found.code

    Args:
        start: the initial code; what does not move stays exactly as it is.
        terms: as in `terms`; plain functions will do.
        plan: the papers' rates are 0.01 for latents, `recipes.noise_rate` for noise.
        moves: "both" is as the projector of StyleGAN2 does.
        layers: rows of `ws` that move, 0 to L - 1; None moves all.
        latent: start in z or z+, `[N, 1 or number of layers, z_dim]`; else `start.ws`.
        labels: `[N or 1, label_size]`, for z of conditional networks.
        jitter: random shifts of w; only in w and w+.
        renormalise: scales noise to mean 0, mean square 1 after every iteration.
        chunk: iterations between two solutions.
        resume: as of `solve`.

    UserError for unknown layers or space, no noise to move, or a start of another
    network.
    """
    codes.check(generator, start)
    num_ws = generator.config.num_ws
    rows = tuple(range(num_ws) if layers is None else sorted(set(layers)))
    if not rows or not set(rows) <= set(range(num_ws)):
        raise UserError(
            f"layers {list(rows)}: this network has {num_ws}, 0 to {num_ws - 1}"
        )
    if space not in SPACES:
        raise UserError(f"space {space!r} is not one of {', '.join(SPACES)}")
    if jitter is not None and space.startswith("z"):
        raise UserError(f"jitter is of w; it does not go with the space {space}")
    if jitter is not None and plan.optimizer.name == "lbfgs":
        raise UserError("L-BFGS compares losses, which jitter shifts; take adam")
    if moves != "latent" and not generator.config.use_noise:
        raise UserError("this network has no noise to optimise; leave that stage out")
    moving: dict[str, Any] = {}
    if moves != "noise":
        moving["latent"] = _first_latent(start, space, rows, latent)
    if moves != "latent":
        moving["noise"] = start.noise
    problem = LatentProblem(
        generator=generator,
        terms=tuple(map(objective.as_term, terms)),
        fixed=start,
        labels=labels,
        jitter=jitter,
        space=space,
        layers=rows,
        renormalise=renormalise,
    )
    if plan.dtype == "float32":
        problem = dataclasses.replace(problem, generator=generator.in_float32())
    history = np.zeros((0, len(start)), np.float32)
    for state, losses in solve(problem, moving, plan, chunk=chunk, resume=resume):
        history = np.concatenate([history, losses])
        code, moved = _copied(problem, state.best)
        yield Solution(
            code=code,
            latent=latent if moved is None else moved,
            loss=np.array(state.best_loss),
            history=history,
            steps=np.array(state.steps),
            failed=np.array(state.failed),
            state=state,
        )


@jax.jit
def _copied(problem: LatentProblem, moving: Moving) -> tuple[Code, Array | None]:
    # Copies: the state is donated.
    moving = jax.tree.map(jnp.copy, moving)
    return problem.code(moving), moving.get("latent")


def _first_latent(
    start: Code, space: Space, layers: tuple[int, ...], latent: Array | None
) -> Array:
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
