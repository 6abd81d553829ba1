"""Inversion of images: stage by stage, in batches over the devices, resumable.

A recipe may end with pivotal tuning, image by image, which begins anew when resumed.

A result is independent of the other images and the number of devices: random numbers
come from the seed and the image, batches are filled up, and each device runs the
program of `batch_size` images.
"""

import dataclasses
import json
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import pivotal, resuming, spaces
from stylegan_jax.inversion.code import Code, draw_pictures, stored_noise
from stylegan_jax.inversion.encoder import Encoder, shape_for
from stylegan_jax.inversion.encoder import check as check_encoder
from stylegan_jax.inversion.feature_nets import NO_FEATURES, FeatureNets
from stylegan_jax.inversion.problem import Jitter, Solution, fit
from stylegan_jax.inversion.recipes import Recipe, make_terms
from stylegan_jax.inversion.results import Inversion, Progress, StageResult
from stylegan_jax.io import images
from stylegan_jax.io.records import to_json
from stylegan_jax.metrics.draws import draw_noise
from stylegan_jax.metrics.store import ResultFile
from stylegan_jax.networks.generator import Generator


def invert(
    generator: Generator,
    targets: Sequence[np.ndarray],
    recipe: Recipe,
    features: FeatureNets = NO_FEATURES,
    *,
    labels: np.ndarray | None = None,
    given: Code | None = None,
    encoder: Encoder | None = None,
    batch_size: int = 1,
    chunk: int = 50,
    mesh: Mesh | None = None,
    folder: Path | None = None,
    save_seconds: float = 30.0,
    frames: bool = False,
) -> Iterator[Progress]:
    """Inverts images, in order, batch by batch.

        for step in invert(generator, targets, recipe):
            for inversion in step.finished:
                save(inversion.code)

    Targets are uint8 `[R, R, C]` each, `labels` `[1, label_size]` of all of them;
    `features` are of `recipes.load_features`. `given` is a start for each image, noise
    included, besides those of the recipe; `encoder` is for the start of that name.
    Results depend on `batch_size`, images per device, by rounding only. There is a step
    every `chunk` iterations, with `frames` a picture too. Unfinished work is kept in
    `folder` every `save_seconds`, and resumed.
    UserError for images of another size, or settings that do not go together.
    """
    if batch_size < 1:
        raise UserError(f"`batch_size` {batch_size} must be at least 1")
    mesh = parallel.make_mesh() if mesh is None else mesh
    _check(generator, targets, recipe, given, encoder)
    everywhere, share = parallel.replicated(mesh), parallel.split(mesh)
    statistics = spaces.w_statistics(generator, labels=labels)
    wanted = "regressed" in recipe.starts and len(targets) > 0
    regression = spaces.regression(generator, labels=labels) if wanted else None
    features = features.put(everywhere)
    guides = {"regressed": regression, "encoder": encoder}
    guides = {name: x for name, x in guides.items() if name in recipe.starts and x}
    copied = jax.device_put((generator, statistics, guides, labels), everywhere)
    together = batch_size * mesh.size
    for first in range(0, len(targets), together):
        indices = range(first, min(first + together, len(targets)))
        # Filled up with the last image.
        padded = np.minimum(np.arange(first, first + together), indices[-1])
        pixels = np.stack([targets[i] for i in padded])
        start = None if given is None else given[padded]
        own = (images.from_uint8(pixels), _keys(pixels, recipe.seed), start)
        batch = _Batch(recipe, features, *copied, *jax.device_put(own, share))
        file = ResultFile()
        if folder is not None:
            name = f"{_identity(batch, pixels, chunk)}.npz"
            file = ResultFile(folder / resuming.FOLDER / name, every=save_seconds)
        yield from batch.run(indices, chunk, file, frames=frames)
        resuming.remove(file)


def _check(
    generator: Generator,
    targets: Sequence[np.ndarray],
    recipe: Recipe,
    given: Code | None,
    encoder: Encoder | None,
) -> None:
    if generator.resolution == 1:
        raise UserError("this network draws points, not pictures; it has no inversion")
    expected = (generator.resolution,) * 2 + (generator.config.num_channels,)
    for index, target in enumerate(targets):
        if target.shape != expected or target.dtype != np.uint8:
            raise UserError(
                f"image {index} is {target.dtype} {target.shape}; this network draws "
                f"uint8 {expected}"
            )
    if not recipe.stages or not (recipe.starts or given is not None):
        raise UserError("a recipe needs a stage, and somewhere to start")
    in_z = recipe.space.startswith("z")
    for start in {"regressed", "encoder"} & set(recipe.starts):
        if in_z:
            raise UserError(
                f"the start {start} is a guess of w; it goes with the spaces w and w+, "
                f"not {recipe.space}"
            )
    if "encoder" in recipe.starts:
        shape_for(generator)
        if encoder is None:
            raise UserError(
                "there is no encoder of this network to start from; python -m "
                "stylegan_jax.encoder NETWORK trains one, and `encoder` FILE gives it"
            )
        check_encoder(encoder, generator)
    moves = {stage.moves for stage in recipe.stages}
    if not generator.config.use_noise and moves != {"latent"}:
        raise UserError(
            "this network has no noise; leave stages of noise out by `noise_steps` 0, "
            "or take a preset that moves latents only, such as image2stylegan"
        )
    if given is None:
        return
    codes.check(generator, given)
    if len(given) != len(targets) or in_z:
        raise UserError(
            f"{len(given)} codes to begin with for {len(targets)} images in space "
            f"{recipe.space}; give one for each, in w or w+"
        )


def _keys(pixels: np.ndarray, seed: int) -> Array:
    """A key per image, of the seed and its pixels."""
    key = jax.random.key(seed)
    marks = np.array([zlib.crc32(image.tobytes()) for image in pixels], np.uint32)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, marks)


# --- A batch -------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Batch:
    """Images to invert together and all that determines their results; on the devices.

    Targets are in [-1, 1], keys one per image; `given` are further starts.
    """

    recipe: Recipe
    features: FeatureNets
    generator: Generator
    statistics: spaces.Statistics
    guides: dict[str, Any]  # what guesses w of images, by start
    labels: Array | None
    targets: Array
    keys: Array
    given: Code | None

    @property
    def starts(self) -> tuple[str, ...]:
        return (*self.recipe.starts, *(["given"] if self.given is not None else []))

    def run(
        self,
        indices: Sequence[int],
        chunk: int,
        file: ResultFile,
        *,
        frames: bool,
    ) -> Iterator[Progress]:
        """Runs all stages, resuming from `file`; images beyond `indices` fill up."""
        done, start, state, before = resuming.unpacked(file.restore())
        film: list[np.ndarray] = []
        for stage in self.recipe.stages[len(done) :]:
            drawn, seen = [], 0
            for found in self._search(done, chunk, state):
                losses, seen = found.history[seen:], len(found.history)
                if before is not None:
                    history = np.concatenate([before, found.history])
                    found = dataclasses.replace(found, history=history)
                if not len(losses):
                    continue
                if frames:
                    drawn.append(draw_pictures(self.generator, found.code))
                pack = partial(resuming.packed, list(done), start, found)
                file.save(pack)
                count, loss = len(indices) * len(losses), float(losses[-1].mean())
                yield Progress(stage.name, count, loss)
            if not done:
                chosen, start = _best_starts(found.loss, len(self.targets))
                found = found.take(chosen)
                drawn = [pictures[chosen] for pictures in drawn]
            done.append(jax.device_get(dataclasses.replace(found, state=None)))
            film += drawn
            state = before = None
        assert start is not None
        finished = [*self._finished(indices, done, start, film)]
        if self.recipe.tuning is not None:
            for place, found in enumerate(finished):
                yield from self._tuned(finished, place, found, chunk)
        last = finished[-1].stages[-1]
        yield Progress(last.name, 0, last.loss, tuple(finished))

    def _tuned(
        self, finished: list[Inversion], place: int, found: Inversion, chunk: int
    ) -> Iterator[Progress]:
        """Tunes the network to an image, and puts the result into its place."""
        assert self.recipe.tuning is not None
        before = 0
        # On one device, whatever the others do.
        given = (self.generator, self.statistics.std, self.keys[place], self.labels)
        target = self.targets[place : place + 1]
        *given, target = jax.device_put((*given, target), jax.local_devices()[0])
        generator, spread, key, labels = given
        for tuned in pivotal.tune(
            generator,
            found.code,
            target,
            self.features,
            self.recipe.tuning,
            spread=spread,
            key=key,
            labels=labels,
            chunk=chunk,
        ):
            count, before = len(tuned.history) - before, len(tuned.history)
            yield Progress("tuning", count, tuned.loss)
        picture = draw_pictures(tuned.generator, found.code)[0]
        stage = StageResult(
            "tuning", found.code, picture, tuned.loss, tuned.history, tuned.failed
        )
        stages = (*found.stages, stage)
        finished[place] = dataclasses.replace(
            found, stages=stages, network=tuned.generator
        )

    def _search(
        self,
        done: Sequence[Solution],
        chunk: int,
        state: Sequence[np.ndarray] | None,
    ) -> Iterator[Solution]:
        """The next minimisation; the first one with every image once per start."""
        stage = self.recipe.stages[len(done)]
        if done:
            code, latent, repeats = done[-1].code, done[-1].latent, 1
        else:
            code, latent = self._first_code()
            repeats = len(self.starts)
        # Images stay on their device: the starts of one are neighbours.
        targets = jnp.repeat(self.targets, repeats, axis=0)
        keys = jnp.repeat(self.keys, repeats, axis=0)
        targets, keys, code, latent = jax.device_put(
            (targets, keys, code, latent), self.targets.sharding
        )
        return fit(
            self.generator,
            code,
            make_terms(stage, targets, code, self.features, self.statistics),
            stage.plan,
            moves=stage.moves,
            space=self.recipe.space,
            latent=latent,
            labels=self.labels,
            jitter=Jitter(self.statistics.std, keys) if stage.jitter else None,
            renormalise=stage.renormalise,
            chunk=chunk,
            resume=state,
        )

    def _first_code(self) -> tuple[Code, Array | None]:
        """The start of each image and kind, `[N x kinds]`, an image's side by side."""
        generator, recipe, labels = self.generator, self.recipe, self.labels
        pairs = jax.vmap(jax.random.split)(self.keys)
        noise = (
            draw_noise(generator, pairs[:, 0])
            if recipe.noise == "random"
            else stored_noise(generator, len(pairs))
        )
        guesses = {name: guide(self.targets) for name, guide in self.guides.items()}
        latents = [
            spaces.start_latent(
                generator,
                pairs[:, 1],
                space=recipe.space,
                start=start,
                statistics=self.statistics,
                labels=labels,
                guesses=guesses,
            )
            for start in recipe.starts
        ]

        def code_of(latent: Array) -> Code:
            ws = spaces.to_ws(generator, latent, recipe.space, labels)
            shape = (len(pairs), generator.config.num_ws, ws.shape[2])
            return Code(jnp.broadcast_to(ws, shape), noise)

        found = [code_of(latent) for latent in latents]
        if self.given is not None:
            found.append(self.given)
        code = jax.tree.map(lambda *parts: _interleaved(parts), *found)
        return code, _interleaved(latents) if self.given is None else None

    def _finished(
        self,
        indices: Sequence[int],
        done: Sequence[Solution],
        start: np.ndarray,
        film: Sequence[np.ndarray],
    ) -> Iterator[Inversion]:
        put = [jax.device_put(found.code, self.targets.sharding) for found in done]
        pictures = [draw_pictures(self.generator, code) for code in put]
        names = [stage.name for stage in self.recipe.stages]
        for place, index in enumerate(indices):
            stages = tuple(
                StageResult(
                    name=name,
                    code=found.code[place : place + 1],
                    picture=picture[place],
                    loss=float(found.loss[place]),
                    history=found.history[: found.steps[place] + 1, place],
                    failed=bool(found.failed[place]),
                )
                for name, found, picture in zip(names, done, pictures, strict=True)
            )
            frames = np.stack([frame[place] for frame in film]) if film else None
            yield Inversion(index, self.starts[start[place]], stages, frames)


def _interleaved(parts: Sequence[Array]) -> Array:
    """`[N, ...]` each to `[N x parts, ...]`, those of an image side by side."""
    return jnp.stack(list(parts), 1).reshape(-1, *parts[0].shape[1:])


def _best_starts(loss: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the best of each image's starts, and which start each is, `[N]`."""
    loss = np.where(np.isfinite(loss), loss, np.inf).reshape(count, -1)
    start = loss.argmin(1)
    return np.arange(count) * loss.shape[1] + start, start


def _identity(batch: _Batch, pixels: np.ndarray, chunk: int) -> str:
    generator = batch.generator
    encoder = batch.guides.get("encoder")
    arrays = (generator.params, generator.noise, batch.labels, batch.given, encoder)
    settings = (batch.recipe, generator.config, chunk)
    return resuming.identity(
        [
            *resuming.contents(arrays),
            *batch.features.contents(),
            pixels.tobytes(),
            *(json.dumps(to_json(x)).encode() for x in settings),
        ]
    )
