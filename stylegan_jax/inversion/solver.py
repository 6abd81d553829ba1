"""Minimisation of a loss per image, all images at once, in chunks of iterations.

Images do not affect each other: losses are summed, and optimizers are elementwise or
of each image. Each keeps its own best, stops on its own plateau, or at a loss that is
not finite.
"""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from stylegan_jax.errors import UserError
from stylegan_jax.inversion import quasi_newton
from stylegan_jax.inversion.quasi_newton import choose
from stylegan_jax.io.summary import short_repr

Moving = Any  # a tree of arrays, [N, ...] each
T = TypeVar("T")


class Problem(Protocol):
    """A minimisation problem: a pytree, compiled once per shape."""

    def losses(self, moving: Moving, step: Array, progress: Array) -> Array:
        """Losses `[N]`; `progress` runs from 0 to 1."""
        ...

    def project(self, moving: Moving) -> Moving:
        """Projection after an iteration."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
    """Adam, gradient descent or L-BFGS, and the learning rate over the iterations.

    The defaults are those of Image2StyleGAN. L-BFGS takes steps of its own length, so
    that only `memory` counts; it is for losses without random numbers, of latents.
    """

    name: Literal["adam", "sgd", "lbfgs"] = "adam"
    learning_rate: float = 0.01
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    warmup: float = 0.0  # share of the iterations with a linear rise
    cooldown: float = 0.0  # share of the iterations with a cosine descent to 0
    memory: int = 100  # of L-BFGS: past steps, each twice as large as the variables

    def __post_init__(self) -> None:
        shares = self.warmup, self.cooldown
        if self.name not in ("adam", "sgd", "lbfgs"):
            raise UserError(f"optimizer {self.name!r} is not adam, sgd or lbfgs")
        if self.memory < 1:
            raise UserError(f"a memory of {self.memory} steps: 1 at least")
        if not (self.learning_rate > 0 and self.eps > 0):
            raise UserError(
                f"learning rate {self.learning_rate} and eps {self.eps} must be above 0"
            )
        if not all(0 <= share <= 1 for share in shares):
            raise UserError(f"warmup and cooldown {shares} are shares from 0 to 1")

    def rate(self, step: ArrayLike, steps: ArrayLike) -> Array:
        """The learning rate at `step` of `steps`.

        Source: `lr_ramp` of NVlabs/stylegan2-ada-pytorch, `projector.py`.
        """
        progress, rate = jnp.asarray(step) / steps, jnp.float32(self.learning_rate)
        if self.cooldown:
            left = jnp.minimum(1.0, (1.0 - progress) / self.cooldown)
            rate *= 0.5 - 0.5 * jnp.cos(jnp.pi * left)
        if self.warmup:
            rate *= jnp.minimum(1.0, progress / self.warmup)
        return rate

    def transformation(self, steps: ArrayLike) -> optax.GradientTransformationExtraArgs:
        """The optax form, for `steps` iterations; takes losses `[N]` as `value`."""
        rate = partial(self.rate, steps=steps)
        if self.name == "lbfgs":
            return quasi_newton.lbfgs(self.memory)
        if self.name == "sgd":
            return optax.with_extra_args_support(optax.sgd(rate))
        adam = optax.adam(rate, self.b1, self.b2, self.eps)
        return optax.with_extra_args_support(adam)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plateau:
    """Early stopping of an image.

    It stops when its best loss has not fallen by the share `gain` within `patience`
    iterations.
    """

    patience: int = 300
    gain: float = 0.01

    def __post_init__(self) -> None:
        if self.patience < 1 or not 0 <= self.gain < 1:
            raise UserError(
                f"patience {self.patience} is below 1, or gain {self.gain} no share"
            )


@struct.dataclass
class State:
    """State of a minimisation, from which it can resume."""

    step: Array  # iterations done
    moving: Moving
    opt_state: Any
    best: Moving
    best_loss: Array  # [N]
    mark: Array  # [N], the loss that a plateau is measured from
    waited: Array  # [N], iterations since then
    stopped: Array  # [N]
    failed: Array  # [N], those whose loss was not finite
    steps: Array  # [N], iterations before it stopped

    __repr__ = short_repr


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Optimizer, iterations and early stopping of a search."""

    optimizer: Optimizer = Optimizer()
    steps: int = 1000  # iterations at most; 0 only computes the loss of the start
    plateau: Plateau | None = None  # when an image may stop earlier; None never
    # The best iterate by its loss, or the last, where losses of randomly shifted
    # latents do not compare.
    keep: Literal["best", "last"] = "best"
    # Of a generator's activations; bfloat16 of the network's own is faster and finds
    # less.
    dtype: Literal["float32", "network"] = "float32"

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise UserError(f"a plan of {self.steps} iterations: 0 at least")


def solve(
    problem: Problem, start: Moving, plan: Plan, *, chunk: int = 50, resume: Any = None
) -> Iterator[tuple[State, np.ndarray]]:
    """Minimises `problem.losses`; yields after every chunk of iterations.

        for state, losses in solve(problem, start, plan):
            print(int(state.step), losses[-1])

    The last state's `best` is the result and `best_loss` its loss.

    The state comes with the chunk's losses `[iterations, N]`, at least once; the next
    chunk donates it: keep `jax.tree.map(np.array, state)`. One program is compiled per
    shape of the problem, optimizer, plateau and `chunk`. Variables are a tree of arrays
    `[N, ...]`. Resumed from a state (or list of its leaves) of the same search, results
    equal those of an uninterrupted one. UserError for a state of another search.
    """
    if chunk < 1:
        raise UserError(f"chunks of {chunk} iterations: at least one")
    state = begin(start, plan)
    if resume is not None:
        state = _restored(state, jax.tree.leaves(resume))
    losses = np.zeros((0, len(state.best_loss)), np.float32)
    while True:
        step = int(state.step)
        ends = step >= plan.steps or bool(state.stopped.all())
        if ends and (plan.keep == "last" or not plan.steps):
            state = _keep_last(problem, state)
        if ends or len(losses):
            yield state, losses
        if ends:
            return
        length = min(chunk, plan.steps - step)
        state, computed = run_chunk(
            problem,
            state,
            plan.steps,
            length,
            optimizer=plan.optimizer,
            plateau=plan.plateau,
            most=chunk,
        )
        losses = np.asarray(computed)[:length]


def last(found: Iterable[T]) -> T:
    """The last item of a search: its result."""
    return collections.deque(found, maxlen=1).pop()


def begin(start: Moving, plan: Plan) -> State:
    """The state before the first iteration."""
    first = jax.tree.leaves(start)[0]
    count = first.shape[0]
    # Typed as the compiled program returns it; otherwise it compiles twice. Copies:
    # the state is donated, and start is the caller's.
    endless = jnp.full(count, jnp.inf, jnp.float32)
    state = State(
        step=jnp.int32(0),
        moving=jax.tree.map(jnp.copy, start),
        opt_state=plan.optimizer.transformation(plan.steps).init(start),
        best=jax.tree.map(jnp.copy, start),
        best_loss=endless,
        mark=jnp.copy(endless),
        waited=jnp.zeros(count, jnp.int32),
        stopped=jnp.zeros(count, bool),
        failed=jnp.zeros(count, bool),
        steps=jnp.zeros(count, jnp.int32),
    )
    if not isinstance(first.sharding, NamedSharding):
        return state
    # Placed as the compiled program returns it, likewise.
    mesh = first.sharding.mesh
    everywhere = NamedSharding(mesh, PartitionSpec())
    spread = first.sharding if mesh.size > 1 else everywhere
    return jax.tree.map(
        lambda x: jax.device_put(x, spread if x.ndim else everywhere), state
    )


def _restored(empty: State, stored: Sequence[np.ndarray]) -> State:
    like, tree = jax.tree.flatten(empty)
    shapes = [(x.shape, x.dtype) for x in like]
    if shapes != [(x.shape, x.dtype) for x in stored]:
        raise UserError("the stored state is of other images or settings; start anew")
    put = [  # copies: the state is donated
        jax.device_put(x, old.sharding, may_alias=False)
        for x, old in zip(stored, like, strict=True)
    ]
    return jax.tree.unflatten(tree, put)


@jax.jit
def _keep_last(problem: Problem, state: State) -> State:
    """The last iterate as the best, where it is finite, with its final loss."""
    losses = problem.losses(state.moving, state.step, jnp.float32(1))
    finite = [
        jnp.isfinite(x).all(tuple(range(1, x.ndim)))
        for x in jax.tree.leaves((losses, state.moving))
    ]
    usable = jnp.stack(finite).all(0)
    return dataclasses.replace(
        state,
        best=choose(usable, state.moving, state.best),
        best_loss=jnp.where(usable, losses, state.best_loss),
    )


@partial(
    jax.jit,
    static_argnames=("optimizer", "plateau", "most"),
    donate_argnames="state",
)
def run_chunk(
    problem: Problem,
    state: State,
    steps: ArrayLike,
    length: ArrayLike,
    *,
    optimizer: Optimizer,
    plateau: Plateau | None,
    most: int,
) -> tuple[State, Array]:
    """`length` of `steps` iterations, at most `most`; donates `state`.

    `steps` and `length` are traced: one program serves searches of any length. `length`
    rows of the losses `[most, N]` are filled.
    """
    steps = jnp.asarray(steps, jnp.int32)
    transformation = optimizer.transformation(steps)

    def objective(moving: Moving, step: Array) -> tuple[Array, Array]:
        losses = problem.losses(moving, step, step / steps)
        return losses.sum(), losses

    def iterate(i: Array, carry: tuple[State, Array]) -> tuple[State, Array]:
        state, history = carry
        gradient, losses = jax.grad(objective, has_aux=True)(state.moving, state.step)
        state = _judge(state, losses, plateau)
        updates, opt_state = transformation.update(
            gradient, state.opt_state, state.moving, value=losses
        )
        moved = problem.project(optax.apply_updates(state.moving, updates))
        state = dataclasses.replace(
            state,
            step=state.step + 1,
            moving=choose(state.stopped, state.moving, moved),
            opt_state=opt_state,
        )
        return state, history.at[i].set(losses)

    history = jnp.zeros((most, len(state.best_loss)), state.best_loss.dtype)
    return jax.lax.fori_loop(0, length, iterate, (state, history))


def _judge(state: State, losses: Array, plateau: Plateau | None) -> State:
    running = ~state.stopped
    finite = jnp.isfinite(losses)
    better = running & finite & (losses < state.best_loss)
    best = choose(better, state.moving, state.best)
    failed = state.failed | (running & ~finite)
    stopped = state.stopped | failed
    mark, waited = state.mark, state.waited
    if plateau is not None:
        # The first loss always counts; infinity has no share.
        fell = finite & ((losses < mark * (1 - plateau.gain)) | jnp.isinf(mark))
        mark = jnp.where(running & fell, losses, mark)
        waited = jnp.where(fell, 0, waited + 1)
        stopped = stopped | (waited >= plateau.patience)
    return dataclasses.replace(
        state,
        # A failed image returns to its best.
        moving=choose(failed, best, state.moving),
        best=best,
        best_loss=jnp.where(better, losses, state.best_loss),
        mark=mark,
        waited=waited,
        stopped=stopped,
        failed=failed,
        steps=state.steps + ~stopped,
    )
