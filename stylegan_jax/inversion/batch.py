"""The stages of a recipe on one batch of images, with restarts and resuming."""

import dataclasses
import re
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.inversion import fit, spaces
from stylegan_jax.inversion.code import Code, draw, stored_noise
from stylegan_jax.inversion.objective import FeatureNets, make_terms
from stylegan_jax.inversion.recipes import Recipe, Stage
from stylegan_jax.inversion.regression import Regression
from stylegan_jax.inversion.resuming import Arrays, ProgressFile
from stylegan_jax.inversion.solver import Chunk, leaves
from stylegan_jax.io import images
from stylegan_jax.networks.generator import Generator


@dataclasses.dataclass(frozen=True)
class Given:
    """What a batch is made of; arrays are on their devices.

    Attributes:
        generator: what should draw the images.
        targets: `[N, H, W, C]` in [-1, 1].
        keys: `[N]`, of each image.
        recipe: what to do.
        features: networks for the terms.
        statistics: of w.
        labels: `[1, label_size]` or None.
        code: a further start, or None.
        regression: for the start "regressed"; None where that is not wanted.
    """

    generator: Generator
    targets: Array
    keys: Array
    recipe: Recipe
    features: FeatureNets
    statistics: spaces.Statistics
    labels: Array | None
    code: Code | None
    regression: Regression | None

    @property
    def starts(self) -> tuple[str, ...]:
        """Names of the starts of the first stage."""
        return (*self.recipe.starts, *(["given"] if self.code is not None else []))


@dataclasses.dataclass(frozen=True)
class Done:
    """What a stage has found, for N images; on the host.

    Attributes:
        code: of all images.
        latent: the variable in its space; None if it has not moved.
        loss: `[N]`.
        history: `[iterations, N]`.
        steps: `[N]`, iterations of each image.
        failed: `[N]`.
        start: `[N]`, index into `Given.starts`.
        frames: `[N, H, W, C]`, uint8, one for every chunk, if they were wanted.
    """

    code: Code
    latent: np.ndarray | None
    loss: np.ndarray
    history: np.ndarray
    steps: np.ndarray
    failed: np.ndarray
    start: np.ndarray
    frames: tuple[np.ndarray, ...] = ()

    def take(self, images: np.ndarray) -> "Done":
        """Some of the images."""
        return Done(
            code=self.code[images],
            latent=None if self.latent is None else self.latent[images],
            loss=self.loss[images],
            history=self.history[:, images],
            steps=self.steps[images],
            failed=self.failed[images],
            start=self.start[images],
            frames=tuple(frame[images] for frame in self.frames),
        )


def run(
    given: Given,
    *,
    chunk: int,
    frames: bool,
    file: ProgressFile | None,
    on_chunk: Callable[[Stage, np.ndarray], None],
) -> list[Done]:
    """Runs all stages, from where a file says that they were left.

    Args:
        given: images, recipe and what else determines the result.
        chunk: iterations per call of the compiled program.
        frames: also draws pictures after each chunk.
        file: where unfinished work is kept.
        on_chunk: told the losses of each chunk, `[iterations, N]`.

    Returns:
        One for each stage.
    """
    kept = (file.load() if file is not None else None) or {}
    done = _unpacked(kept)
    for number in range(len(done), len(given.recipe.stages)):
        stage, resume = given.recipe.stages[number], _named(kept, f"{number}.state.")
        history = [kept[f"{number}.part"]] if resume else []
        pictures: list[np.ndarray] = []

        def after(
            chunk: Chunk,
            code: Callable[[], Code],
            number: int = number,
            history: list[np.ndarray] = history,
            pictures: list[np.ndarray] = pictures,
        ) -> None:
            history.append(chunk.history)
            if frames:
                pictures.append(draw_pictures(given.generator, code()))
            if file is not None:
                file.save(lambda: _packed(done, number, chunk, history))
            on_chunk(given.recipe.stages[number], chunk.history)

        found = _run_stage(given, stage, done[-1:], chunk, resume or None, after)
        found = dataclasses.replace(
            found,
            history=np.concatenate(history) if history else found.history,
            frames=tuple(pictures),
        )
        done.append(found if done else _best_starts(found, len(given.targets)))
    return done


def draw_pictures(generator: Generator, code: Code) -> np.ndarray:
    """Pictures of a code, uint8 `[N, H, W, C]`."""
    return images.to_uint8(np.asarray(_draw(generator, code)))


_draw = jax.jit(draw)


def _run_stage(
    given: Given,
    stage: Stage,
    done: Sequence[Done],
    chunk: int,
    resume: Sequence[np.ndarray] | None,
    on_chunk: fit.OnChunk,
) -> Done:
    """One minimisation; the first one with every image once per start."""
    generator, recipe, sharding = given.generator, given.recipe, given.targets.sharding
    if not done:
        code, latent = _first_code(given)
        repeats = len(given.starts)
        start = np.tile(np.arange(repeats), len(given.targets))
    else:
        code, latent, repeats, start = done[0].code, done[0].latent, 1, done[0].start
    # Images stay on their device: the starts of one are neighbours.
    targets, keys = (
        jax.device_put(jnp.repeat(x, repeats, axis=0), sharding)
        for x in (given.targets, given.keys)
    )
    code, latent = jax.device_put((code, latent), sharding)
    in_z = recipe.space.startswith("z")
    jitter = fit.Jitter(given.statistics.std, keys) if stage.jitter else None
    noise = {"renormalise": stage.renormalise}
    of_latent = {
        "space": recipe.space,
        "latent": latent if in_z else None,
        "labels": given.labels,
        "jitter": jitter,
    }
    function, settings = {
        "latent": (fit.fit_w, of_latent),
        "noise": (fit.fit_noise, noise),
        "both": (fit.fit_both, of_latent | noise),
    }[stage.moves]
    solution = function(
        generator,
        code,
        make_terms(stage, targets, code, given.features),
        plan=stage.plan,
        chunk=chunk,
        resume=resume,
        on_chunk=on_chunk,
        **settings,
    )
    moved = latent if solution.latent is None else solution.latent
    return Done(
        code=jax.device_get(solution.code),
        latent=None if moved is None else np.asarray(moved),
        loss=solution.loss,
        history=solution.history,
        steps=solution.steps,
        failed=solution.failed,
        start=start,
    )


def _first_code(given: Given) -> tuple[Code, Array | None]:
    """The start of each image and each kind, `[N x kinds]`; neighbours are of one."""
    generator, recipe, labels = given.generator, given.recipe, given.labels
    pairs = jax.vmap(jax.random.split)(given.keys)
    found: list[tuple[Code, Array | None]] = []
    count, num_ws = len(given.keys), generator.config.num_ws
    noise = (
        spaces.draw_noise(generator, pairs[:, 0])
        if recipe.noise == "random"
        else stored_noise(generator, count)
    )
    guess = (
        None if given.regression is None else _guessed(given.regression, given.targets)
    )
    for start in recipe.starts:
        latent = spaces.start_latent(
            generator,
            pairs[:, 1],
            space=recipe.space,
            start=start,
            statistics=given.statistics,
            labels=labels,
            guess=guess,
        )
        ws = spaces.to_ws(generator, latent, recipe.space, labels)
        ws = jnp.broadcast_to(ws, (count, num_ws, ws.shape[2]))
        found.append((Code(ws, noise), latent))
    if given.code is not None:
        found.append((given.code, None))
    tree = [code for code, _ in found]
    code = jax.tree.map(lambda *parts: _interleaved(parts), *tree)
    latents = [latent for _, latent in found if latent is not None]
    return code, _interleaved(latents) if len(latents) == len(found) else None


@jax.jit
def _guessed(regression: Regression, targets: Array) -> Array:
    # One image at a time, so that a guess does not depend on the others.
    return jax.lax.map(lambda target: regression(target[None])[0], targets)


def _interleaved(parts: Sequence[Array]) -> Array:
    """`[N, ...]` each to `[N x parts, ...]`, those of an image side by side."""
    stacked = jnp.stack(list(parts), 1)
    return stacked.reshape(-1, *stacked.shape[2:])


def _best_starts(found: Done, count: int) -> Done:
    """Of every image the start with the lowest loss."""
    loss = np.where(np.isfinite(found.loss), found.loss, np.inf).reshape(count, -1)
    best = np.arange(count) * loss.shape[1] + loss.argmin(1)
    return found.take(best)


# --- What is kept of unfinished work -----------------------------------------------


def _packed(
    done: Sequence[Done], number: int, chunk: Chunk, history: Sequence[np.ndarray]
) -> Arrays:
    arrays: Arrays = {}
    for stage, found in enumerate(done):
        parts = {
            "ws": found.code.ws,
            "loss": found.loss,
            "history": found.history,
            "steps": found.steps,
            "failed": found.failed,
            "start": found.start,
        }
        if found.latent is not None:
            parts["latent"] = found.latent
        arrays |= {f"{stage}.{name}": np.asarray(x) for name, x in parts.items()}
        for layer, noise in enumerate(found.code.noise):
            arrays[f"{stage}.noise.{layer}"] = np.asarray(noise)
    for place, leaf in enumerate(leaves(chunk.state)):
        arrays[f"{number}.state.{place}"] = leaf
    arrays[f"{number}.part"] = np.concatenate(list(history))
    return arrays


def _unpacked(kept: Arrays) -> list[Done]:
    done: list[Done] = []
    while f"{len(done)}.ws" in kept:
        stage = f"{len(done)}."
        noise = map(jnp.asarray, _named(kept, f"{stage}noise."))
        done.append(
            Done(
                code=Code(jnp.asarray(kept[f"{stage}ws"]), tuple(noise)),
                latent=kept.get(f"{stage}latent"),
                loss=kept[f"{stage}loss"],
                history=kept[f"{stage}history"],
                steps=kept[f"{stage}steps"],
                failed=kept[f"{stage}failed"],
                start=kept[f"{stage}start"],
            )
        )
    return done


def _named(kept: Arrays, prefix: str) -> list[np.ndarray]:
    """The arrays `prefix`0, `prefix`1, ..."""
    count = sum(1 for name in kept if re.fullmatch(re.escape(prefix) + r"\d+", name))
    return [kept[f"{prefix}{place}"] for place in range(count)]
