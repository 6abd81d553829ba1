"""Inverts images: stage by stage, in batches over the devices, with ways to resume.

Everything random about an image comes from the seed and its own pixels, a batch that is
not full is filled up, and each device runs the program of `batch_size` images. So the
result of an image does not depend on which others there are, nor on how many devices.
"""

import dataclasses
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh

from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import batch, resuming, spaces
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.objective import NO_FEATURES, FeatureNets
from stylegan_jax.inversion.recipes import Recipe, Stage
from stylegan_jax.inversion.regression import regression
from stylegan_jax.io import images
from stylegan_jax.io.records import to_json
from stylegan_jax.io.summary import short_repr
from stylegan_jax.networks.generator import Generator


@dataclasses.dataclass(frozen=True)
class StageResult:
    """What a stage did to an image.

    Attributes:
        name: of the stage.
        code: at its end, of this one image.
        picture: of the code, uint8 `[H, W, C]`.
        loss: of the code.
        history: losses by iteration, `[iterations]`, until it stopped.
        failed: the loss was not finite; the code is the best before that.
    """

    name: str
    code: Code
    picture: np.ndarray
    loss: float
    history: np.ndarray
    failed: bool

    __repr__ = short_repr


@dataclasses.dataclass(frozen=True)
class Inversion:
    """What became of an image.

    Attributes:
        index: of the image, in the order they were given.
        start: the one that led to the best result.
        stages: in order; the last one's code is the result.
        frames: pictures on the way, uint8 `[frames, H, W, C]`; None if not wanted.
    """

    index: int
    start: str
    stages: tuple[StageResult, ...]
    frames: np.ndarray | None

    __repr__ = short_repr

    @property
    def code(self) -> Code:
        """The result."""
        return self.stages[-1].code

    @property
    def failed(self) -> bool:
        """Whether a stage met a loss that was not finite."""
        return any(stage.failed for stage in self.stages)


class Told(NamedTuple):
    """Progress: the stage, and iterations since the last time, times images."""

    stage: str
    iterations: int
    loss: float  # mean of the images


@dataclasses.dataclass(frozen=True, kw_only=True)
class Running:
    """How the work is done; results depend on `batch_size` by rounding only.

    Attributes:
        batch_size: images in the program of a device.
        chunk: iterations per call of the compiled program.
        mesh: all devices by default.
        folder: where unfinished work is kept, and found again; None keeps nothing.
        save_seconds: between two savings.
        frames: keeps a picture per chunk.
        on_progress: told after every chunk.
    """

    batch_size: int = 1
    chunk: int = 50
    mesh: Mesh | None = None
    folder: Path | None = None
    save_seconds: float = 30.0
    frames: bool = False
    on_progress: Callable[[Told], None] | None = None

    def __post_init__(self) -> None:
        """Checks the fields; raises UserError."""
        if self.batch_size < 1 or self.chunk < 1:
            raise UserError(
                f"batch_size {self.batch_size} and chunk {self.chunk} must be at least "
                "1"
            )


def invert(
    generator: Generator,
    targets: Sequence[np.ndarray],
    recipe: Recipe,
    features: FeatureNets = NO_FEATURES,
    *,
    labels: np.ndarray | None = None,
    given: Code | None = None,
    running: Running = Running(),
) -> Iterator[Inversion]:
    """Yields the inversion of each image, in order, as soon as its batch is done.

    Args:
        generator: what should draw the images.
        targets: uint8 `[R, R, C]` each, of the generator's resolution and channels.
        recipe: what to minimise, and how.
        features: networks for the perceptual terms; see `objective.load_features`.
        labels: `[1, label_size]`, the class of all images, of a conditional network.
        given: a start for each image, noise included, besides those of the recipe.
        running: how the work is done.

    Raises:
        UserError: images of another size, or settings that do not go together.
    """
    mesh = parallel.make_mesh() if running.mesh is None else running.mesh
    _check(generator, targets, recipe, given)
    everywhere, share = parallel.replicated(mesh), parallel.split(mesh)
    statistics = spaces.w_statistics(generator, labels=labels)
    wanted = "regressed" in recipe.starts and len(targets) > 0
    guesses = regression(generator, labels=labels) if wanted else None
    generator, statistics, labels_there, guesses = jax.device_put(
        (generator, statistics, labels, guesses), everywhere
    )
    features = features.put(everywhere)
    together = running.batch_size * mesh.size
    for first in range(0, len(targets), together):
        some = np.arange(first, min(first + together, len(targets)))
        # Filled up with the last image.
        padded = np.minimum(np.arange(first, first + together), some[-1])
        pixels = np.stack([targets[i] for i in padded])
        start = None if given is None else given[padded]
        batch_given = batch.Given(
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
        file = _file(running, batch_given, pixels)
        yield from _invert_batch(batch_given, some, running, file)
        if file is not None:
            file.remove()


def _invert_batch(
    given: batch.Given,
    indices: np.ndarray,
    running: Running,
    file: resuming.ProgressFile | None,
) -> Iterator[Inversion]:
    def on_chunk(stage: Stage, history: np.ndarray) -> None:
        if running.on_progress is not None:
            work = len(history) * len(indices)
            running.on_progress(Told(stage.name, work, float(history[-1].mean())))

    done = batch.run(
        given,
        chunk=running.chunk,
        frames=running.frames,
        file=file,
        on_chunk=on_chunk,
    )
    sharding = given.targets.sharding
    pictures = [
        batch.draw_pictures(given.generator, jax.device_put(found.code, sharding))
        for found in done
    ]
    for place, index in enumerate(indices):
        stages = tuple(
            StageResult(
                name=stage.name,
                code=found.code[np.array([place])],
                picture=picture[place],
                loss=float(found.loss[place]),
                history=found.history[: found.steps[place] + 1, place],
                failed=bool(found.failed[place]),
            )
            for stage, found, picture in zip(
                given.recipe.stages, done, pictures, strict=True
            )
        )
        start = given.starts[done[0].start[place]]
        frames = [frame[place] for found in done for frame in found.frames]
        yield Inversion(int(index), start, stages, np.stack(frames) if frames else None)


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
    if "regressed" in recipe.starts and recipe.space.startswith("z"):
        raise UserError(
            f"the start regressed is a guess of w; it goes with the spaces w and w+, "
            f"not {recipe.space}"
        )
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
    """A key per image, of the seed and what the image shows."""
    key = jax.random.key(seed)
    marks = np.array([zlib.crc32(image.tobytes()) for image in pixels], np.uint32)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, marks)


def _file(
    running: Running, given: batch.Given, pixels: np.ndarray
) -> resuming.ProgressFile | None:
    """Named after all that determines the result."""
    if running.folder is None:
        return None
    arrays = (given.generator.params, given.generator.noise, given.labels, given.code)
    said = (given.recipe, given.generator.config, running.chunk)
    name = resuming.identity(
        [
            *resuming.contents(arrays),
            *given.features.contents(),
            pixels.tobytes(),
            *(json.dumps(to_json(x)).encode() for x in said),
        ]
    )
    return resuming.ProgressFile(running.folder, name, running.save_seconds)
