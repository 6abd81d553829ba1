"""Inversion of images: stage by stage, in batches over the devices, resumable.

A result is independent of the other images and the number of devices: random numbers
come from the seed and the image, batches are filled up, and each device runs the
program of `batch_size` images.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh

from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import resuming, spaces, stages
from stylegan_jax.inversion.code import Code, draw_pictures
from stylegan_jax.inversion.objective import NO_FEATURES, FeatureNets
from stylegan_jax.inversion.recipes import Recipe
from stylegan_jax.inversion.results import Inversion, Progress, StageResult
from stylegan_jax.io import images
from stylegan_jax.io.records import to_json
from stylegan_jax.networks.generator import Generator


def invert(
    generator: Generator,
    targets: Sequence[np.ndarray],
    recipe: Recipe,
    features: FeatureNets = NO_FEATURES,
    *,
    labels: np.ndarray | None = None,
    given: Code | None = None,
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

    Args:
        targets: uint8 `[R, R, C]` each, of the generator's resolution and channels.
        features: networks for the perceptual terms, `objective.load_features`.
        labels: `[1, label_size]`, the class of all images, of a conditional network.
        given: a start for each image, noise included, besides those of the recipe.
        batch_size: images per device; results depend on it by rounding only.
        chunk: iterations between two steps.
        folder: of unfinished work, which is resumed; None keeps nothing.
        save_seconds: between two checkpoints.
        frames: keeps a picture per chunk.

    Raises:
        UserError: images of another size, or settings that do not go together.
    """
    if batch_size < 1:
        raise UserError(f"`batch_size` {batch_size} must be at least 1")
    mesh = parallel.make_mesh() if mesh is None else mesh
    _check(generator, targets, recipe, given)
    everywhere, share = parallel.replicated(mesh), parallel.split(mesh)
    statistics = spaces.w_statistics(generator, labels=labels)
    wanted = "regressed" in recipe.starts and len(targets) > 0
    guesses = spaces.regression(generator, labels=labels) if wanted else None
    generator, statistics, labels_there, guesses = jax.device_put(
        (generator, statistics, labels, guesses), everywhere
    )
    features = features.put(everywhere)
    together = batch_size * mesh.size
    for first in range(0, len(targets), together):
        some = np.arange(first, min(first + together, len(targets)))
        # Filled up with the last image.
        padded = np.minimum(np.arange(first, first + together), some[-1])
        pixels = np.stack([targets[i] for i in padded])
        start = None if given is None else given[padded]
        batch = stages.Batch(
            generator=generator,
            targets=jax.device_put(images.from_uint8(pixels), share),
            keys=jax.device_put(_keys(pixels, recipe.seed), share),
            recipe=recipe,
            features=features,
            statistics=statistics,
            labels=labels_there,
            code=None if start is None else jax.device_put(start, share),
            regression=guesses,
        )
        file = None
        if folder is not None:
            name = _identity(batch, pixels, chunk)
            file = resuming.ProgressFile(folder, name, save_seconds)
        result = yield from stages.run(
            batch, len(some), chunk=chunk, frames=frames, file=file
        )
        finished = tuple(_inversions(batch, result, some))
        last = finished[-1].stages[-1]
        yield Progress(last.name, 0, last.loss, finished)
        if file is not None:
            file.remove()


def _inversions(
    batch: stages.Batch, result: stages.Result, indices: np.ndarray
) -> Iterator[Inversion]:
    sharding = batch.targets.sharding
    pictures = [
        draw_pictures(batch.generator, jax.device_put(found.code, sharding))
        for found in result.stages
    ]
    for place, index in enumerate(indices):
        yield Inversion(
            index=int(index),
            start=batch.starts[result.start[place]],
            stages=tuple(
                StageResult(
                    name=stage.name,
                    code=found.code[np.array([place])],
                    picture=picture[place],
                    loss=float(found.loss[place]),
                    history=found.history[: found.steps[place] + 1, place],
                    failed=bool(found.failed[place]),
                )
                for stage, found, picture in zip(
                    batch.recipe.stages, result.stages, pictures, strict=True
                )
            ),
            frames=np.stack([frame[place] for frame in result.frames])
            if result.frames
            else None,
        )


def _check(
    generator: Generator,
    targets: Sequence[np.ndarray],
    recipe: Recipe,
    given: Code | None,
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
    for start in recipe.starts:
        spaces.check_start(start, recipe.space)
    if not generator.config.use_noise and any(
        s.moves != "latent" for s in recipe.stages
    ):
        raise UserError(
            "this network has no noise; take a preset that moves latents only, such as "
            "image2stylegan"
        )
    if given is None:
        return
    codes.check(generator, given)
    if len(given) != len(targets) or recipe.space.startswith("z"):
        raise UserError(
            f"{len(given)} codes to begin with for {len(targets)} images in space "
            f"{recipe.space}; give one for each, in w or w+"
        )


def _keys(pixels: np.ndarray, seed: int) -> Array:
    """A key per image, of the seed and its pixels."""
    key = jax.random.key(seed)
    marks = np.array([zlib.crc32(image.tobytes()) for image in pixels], np.uint32)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, marks)


def _identity(batch: stages.Batch, pixels: np.ndarray, chunk: int) -> str:
    arrays = (batch.generator.params, batch.generator.noise, batch.labels, batch.code)
    settings = (batch.recipe, batch.generator.config, chunk)
    return resuming.identity(
        [
            *resuming.contents(arrays),
            *batch.features.contents(),
            pixels.tobytes(),
            *(json.dumps(to_json(x)).encode() for x in settings),
        ]
    )
