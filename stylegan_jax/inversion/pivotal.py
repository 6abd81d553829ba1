"""Pivotal tuning: a network's weights are moved until a code draws an image.

Only the synthesis network moves, and the code, the pivot, stays. So that the network
stays what it was elsewhere, images of samples near the pivot are held to those of the
untouched network.

Source: Roich et al. 2021, "Pivotal tuning for latent-based editing of real images",
section 3. Differs: the distance of the samples is in the spread of w.
"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import terms
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.feature_nets import FeatureNets
from stylegan_jax.inversion.recipes import Stage, Tuning, make_terms
from stylegan_jax.inversion.solver import Moving, Optimizer, Plan, solve
from stylegan_jax.inversion.terms import Term
from stylegan_jax.io.summary import short_repr
from stylegan_jax.networks.generator import Generator


class Tuned(NamedTuple):
    """A tuned network so far."""

    generator: Generator
    loss: float
    history: np.ndarray  # losses [iterations]
    failed: bool  # a loss was not finite


def neighbour(pivot: Array, sample: Array, distance: Array | float) -> Array:
    """Rows of w at a distance from the pivot's, towards those of a sample.

    `pivot` and `sample` are `[N, L, w_dim]`. Source: equation 3.
    """
    towards = sample - pivot
    length = jnp.linalg.norm(towards, axis=-1, keepdims=True)
    return pivot + distance * towards / jnp.maximum(length, 1e-8)


@struct.dataclass
class TuningProblem:
    """The loss as a function of the weights, a tree with a leading axis of 1."""

    generator: Generator  # untouched
    code: Code  # of one image
    image_terms: tuple[Term, ...]
    features: FeatureNets
    spread: Array  # of w; the scalar of `spaces.w_statistics`
    key: Array
    labels: Array | None = None
    tuning: Tuning = struct.field(pytree_node=False, default=Tuning())
    own: object = struct.field(pytree_node=False, default=None)

    __repr__ = short_repr

    def losses(self, moving: Moving, step: Array, progress: Array) -> Array:
        """`[1]`."""
        tuned = with_weights(self.generator, moving)
        image = codes.draw(tuned, self.code)
        loss = terms.total(self.image_terms, image, self.code)
        if not self.tuning.locality:
            return loss
        z_key = jax.random.fold_in(self.key, step)
        z = jax.random.normal(z_key, (1, self.generator.config.z_dim))
        sample = self.generator.map(z, self.labels)
        distance = self.tuning.reach * self.spread
        near = Code(neighbour(self.code.ws, sample, distance), self.code.noise)
        before = codes.draw(self.generator, near)
        features = self.features._replace(own=self.own)
        held = make_terms(_stage(self.tuning), before, near, features)
        now = codes.draw(tuned, near)
        return loss + self.tuning.locality * terms.total(held, now, near)

    def project(self, moving: Moving) -> Moving:
        """Nothing."""
        return moving


def with_weights(generator: Generator, moving: Moving) -> Generator:
    """The network with other synthesis weights, `[1, ...]` each."""
    synthesis = jax.tree.map(lambda x: x[0], moving)
    return dataclasses.replace(
        generator, params={**generator.params, "synthesis": synthesis}
    )


def tune(
    generator: Generator,
    code: Code,
    target: Array,
    features: FeatureNets,
    tuning: Tuning,
    *,
    spread: Array,
    key: Array,
    labels: Array | None = None,
    chunk: int = 50,
) -> Iterator[Tuned]:
    """Tunes a network to draw one image, `[1, R, R, C]` in [-1, 1], from its code.

    Yields the network after every `chunk` iterations. `spread` is that of w
    (`spaces.w_statistics`), `key` of the samples near the code, `labels`
    `[1, label_size]` their class.
    """
    generator = generator.in_float32()
    problem = TuningProblem(
        generator=generator,
        code=code,
        image_terms=make_terms(_stage(tuning), target, code, features),
        features=features._replace(own=None),
        spread=spread,
        key=key,
        labels=labels,
        tuning=tuning,
        own=features.own,
    )
    start = jax.tree.map(lambda x: x[None], generator.params["synthesis"])
    optimizer = Optimizer(learning_rate=tuning.learning_rate)
    # Losses of different samples do not compare.
    plan = Plan(steps=tuning.steps, optimizer=optimizer, keep="last")
    history = np.zeros(0, np.float32)
    for state, losses in solve(problem, start, plan, chunk=chunk):
        history = np.concatenate([history, losses[:, 0]])
        ended = int(state.step) >= tuning.steps or bool(state.stopped.all())
        now = state.best if ended else state.moving
        found = with_weights(generator, jax.tree.map(jnp.copy, now))
        loss = float(state.best_loss[0] if ended else history[-1])
        yield Tuned(found, loss, history, bool(state.failed[0]))


def _stage(tuning: Tuning) -> Stage:
    return Stage(name="tuning", moves="latent", weights=tuning.weights)
