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
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh

from stylegan_jax import parallel
from stylegan_jax.common import images
from stylegan_jax.common.errors import UserError
from stylegan_jax.common.files import to_json
from stylegan_jax.inversion import batch, resuming, spaces
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.objective import Eyes
from stylegan_jax.inversion.recipes import Recipe, Stage
from stylegan_jax.inversion.solve import Chunk
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
    eyes: Eyes = Eyes(),
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
        eyes: networks for the perceptual terms; see `objective.load_eyes`.
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
    base = jax.device_put((generator, eyes_arrays(eyes), statistics, labels), everywhere)
    generator, seen, statistics, labels_there = base
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
            eyes=with_arrays(eyes, seen),
            statistics=statistics,
            labels=labels_there,
            code=None if start is None else jax.device_put(start, share),
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
    frames: list[np.ndarray] = []

    def on_chunk(stage: Stage, chunk: Chunk) -> None:
        if running.on_progress is not None:
            losses = chunk.history[-1, : len(indices)]
            work = len(chunk.history) * len(indices)
            running.on_progress(Told(stage.name, work, float(losses.mean())))

    done = batch.run(given, chunk=running.chunk, file=file, on_chunk=on_chunk)
    draw = jax.jit(codes.draw)
    sharding = given.targets.sharding
    pictures = [
        images.to_uint8(
            np.asarray(draw(given.generator, jax.device_put(d.code, sharding)))
        )
        for d in done
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
        yield Inversion(int(index), start, stages, None)
