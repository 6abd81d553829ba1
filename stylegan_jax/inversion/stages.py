"""The stages of a recipe on one batch of images, with restarts and resuming."""

import dataclasses
from collections.abc import Generator as Steps
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.inversion import resuming, spaces
from stylegan_jax.inversion.code import Code, draw_pictures, stored_noise
from stylegan_jax.inversion.objective import FeatureNets, make_terms
from stylegan_jax.inversion.problem import Jitter, Solution, fit
from stylegan_jax.inversion.recipes import Recipe, Stage
from stylegan_jax.inversion.results import Progress
from stylegan_jax.networks.generator import Generator


@dataclasses.dataclass(frozen=True)
class Batch:
    """Images to invert together and all that determines their results; on the devices.

    Targets are in [-1, 1], keys one per image, labels `[1, label_size]`; `code` and
    `regression` are further starts.
    """

    generator: Generator
    targets: Array
    keys: Array
    recipe: Recipe
    features: FeatureNets
    statistics: spaces.Statistics
    labels: Array | None
    code: Code | None
    regression: spaces.Regression | None

    @property
    def starts(self) -> tuple[str, ...]:
        """Names of the starts of the first stage."""
        return (*self.recipe.starts, *(["given"] if self.code is not None else []))


class Result(NamedTuple):
    """Result of a batch: a solution per stage, on the host.

    `start` is `[N]`, index into `Batch.starts`; `frames` uint8 `[N, H, W, C]` per
    chunk.
    """

    stages: list[Solution]
    start: np.ndarray
    frames: list[np.ndarray]


def run(
    batch: Batch,
    count: int,
    *,
    chunk: int,
    frames: bool,
    file: resuming.ProgressFile | None,
) -> Steps[Progress, None, Result]:
    """Runs all stages, resuming from `file`.

    `count` images are counted in progress, the others fill the batch; `frames` also
    draws pictures after each chunk of iterations.
    """
    kept = {} if file is None else file.load()
    done, start = resuming.unpacked(kept), kept.get("0.start")
    film: list[np.ndarray] = []
    for number in range(len(done), len(batch.recipe.stages)):
        stage, drawn = batch.recipe.stages[number], []
        state, before = resuming.unpacked_state(kept, number)
        seen = 0
        for found in _search(batch, stage, done, chunk, state):
            losses, seen = found.history[seen:], len(found.history)
            if before is not None:
                history = np.concatenate([before, found.history])
                found = dataclasses.replace(found, history=history)
            if not len(losses):
                continue
            if frames:
                drawn.append(draw_pictures(batch.generator, found.code))
            if file is not None and file.is_due():
                file.save(resuming.packed(done, start, number, found))
            yield Progress(stage.name, count * len(losses), float(losses[-1].mean()))
        if not done:
            found, start = _best_starts(found, len(batch.targets))
            chosen = np.arange(len(start)) * len(batch.starts) + start
            drawn = [pictures[chosen] for pictures in drawn]
        done.append(jax.device_get(dataclasses.replace(found, state=None)))
        film += drawn
    return Result(done, np.asarray(start), film)


def _search(
    batch: Batch,
    stage: Stage,
    done: Sequence[Solution],
    chunk: int,
    state: Sequence[np.ndarray] | None,
) -> Iterator[Solution]:
    """One minimisation; the first one with every image once per start."""
    if done:
        code, latent, repeats = done[-1].code, done[-1].latent, 1
    else:
        code, latent = _first_code(batch)
        repeats = len(batch.starts)
    # Images stay on their device: the starts of one are neighbours.
    targets = jnp.repeat(batch.targets, repeats, axis=0)
    keys = jnp.repeat(batch.keys, repeats, axis=0)
    targets, keys, code, latent = jax.device_put(
        (targets, keys, code, latent), batch.targets.sharding
    )
    found = fit(
        batch.generator,
        code,
        make_terms(stage, targets, code, batch.features),
        stage.plan,
        moves=stage.moves,
        space=batch.recipe.space,
        latent=latent,
        labels=batch.labels,
        jitter=Jitter(batch.statistics.std, keys) if stage.jitter else None,
        renormalise=stage.renormalise,
        chunk=chunk,
        resume=state,
    )
    for solution in found:
        if solution.latent is None:  # only noise has moved
            solution = dataclasses.replace(solution, latent=latent)
        yield solution


def _first_code(batch: Batch) -> tuple[Code, Array | None]:
    """The start of each image and kind, `[N x kinds]`, an image's side by side."""
    generator, recipe, labels = batch.generator, batch.recipe, batch.labels
    pairs = jax.vmap(jax.random.split)(batch.keys)
    found: list[tuple[Code, Array | None]] = []
    count, num_ws = len(batch.keys), generator.config.num_ws
    noise = (
        spaces.draw_noise(generator, pairs[:, 0])
        if recipe.noise == "random"
        else stored_noise(generator, count)
    )
    guess = (
        None if batch.regression is None else _guessed(batch.regression, batch.targets)
    )
    for start in recipe.starts:
        latent = spaces.start_latent(
            generator,
            pairs[:, 1],
            space=recipe.space,
            start=start,
            statistics=batch.statistics,
            labels=labels,
            guess=guess,
        )
        ws = spaces.to_ws(generator, latent, recipe.space, labels)
        ws = jnp.broadcast_to(ws, (count, num_ws, ws.shape[2]))
        found.append((Code(ws, noise), latent))
    if batch.code is not None:
        found.append((batch.code, None))
    tree = [code for code, _ in found]
    code = jax.tree.map(lambda *parts: _interleaved(parts), *tree)
    latents = [latent for _, latent in found if latent is not None]
    return code, _interleaved(latents) if len(latents) == len(found) else None


@jax.jit
def _guessed(regression: spaces.Regression, targets: Array) -> Array:
    # One at a time: a guess does not depend on the other images.
    return jax.lax.map(lambda target: regression(target[None])[0], targets)


def _interleaved(parts: Sequence[Array]) -> Array:
    """`[N, ...]` each to `[N x parts, ...]`, those of an image side by side."""
    stacked = jnp.stack(list(parts), 1)
    return stacked.reshape(-1, *stacked.shape[2:])


def _best_starts(found: Solution, count: int) -> tuple[Solution, np.ndarray]:
    loss = np.where(np.isfinite(found.loss), found.loss, np.inf).reshape(count, -1)
    start = loss.argmin(1)
    return found.take(np.arange(count) * loss.shape[1] + start), start
