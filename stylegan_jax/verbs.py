"""One-call interface: `sample`, `invert`, `train`."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax import loading
from stylegan_jax.data.sources import open_source
from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.evaluators import make_evaluators
from stylegan_jax.inversion import encoder as encoders
from stylegan_jax.inversion import inverter, photos, recipes
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.encoder import Encoder
from stylegan_jax.inversion.feature_nets import FeatureNets, Perceptual
from stylegan_jax.inversion.recipes import Recipe, load_features
from stylegan_jax.inversion.results import Inversion
from stylegan_jax.io import cache
from stylegan_jax.metrics.names import parse_measures
from stylegan_jax.metrics.reconstruction import psnr
from stylegan_jax.networks.generator import Generator
from stylegan_jax.networks.seeds import (
    NoiseKind,
    draw_pictures,
    make_draw,
    one_hot,
    require_pictures,
)
from stylegan_jax.training import start
from stylegan_jax.training.config import Config
from stylegan_jax.training.recovery import train as train_run
from stylegan_jax.training.state import TrainState

Image = np.ndarray | str | os.PathLike[str]


def sample(
    generator: Generator,
    seeds: Sequence[int],
    *,
    psi: float = 0.7,
    cutoff: int | None = 8,
    class_index: int | None = None,
    noise: NoiseKind = "stored",
) -> np.ndarray:
    """Pictures of seeds, uint8 `[N, H, W, C]`, as the command draws them.

    A seed's picture does not depend on the others. `jax.jit(generator.sample)` draws
    batches faster, and rounds otherwise.

    Args:
        seeds: from 0, one picture each.
        psi: truncation: 1 is none, 0 the mean image.
        cutoff: number of truncated layers; None is all.
        class_index: of a conditional network, from 0.
        noise: "stored" with the network, "random" by seed, or "none".

    Raises:
        UserError: no such class, none given, or a network that draws points.
    """
    require_pictures(generator)
    mesh = parallel.make_mesh()
    drawn = draw_pictures(
        generator,
        [(seed, psi) for seed in seeds],
        make_draw(mesh, cutoff=cutoff, noise=noise),
        mesh=mesh,
        labels=one_hot(generator.config.label_size, class_index),
    )
    side, channels = generator.resolution, generator.config.num_channels
    return np.array([*drawn], np.uint8).reshape(-1, side, side, channels)


@dataclasses.dataclass(frozen=True)
class Inversions:
    """Inversion of N images."""

    codes: Code
    images: np.ndarray  # of the codes, uint8 [N, H, W, C]
    psnr: np.ndarray  # of the images, in dB, [N]
    each: tuple[Inversion, ...]  # every stage of each image

    def __repr__(self) -> str:
        return f"Inversions({len(self.codes)} images, PSNR {self.psnr.mean():.2f} dB)"


def invert(
    generator: Generator,
    images: Image | Sequence[Image],
    recipe: str | Recipe = "image2stylegan++",
    *,
    perceptual: Perceptual = "preset",
    steps: int | None = None,
    noise_steps: int | None = None,
    features: FeatureNets | None = None,
    encoder: Encoder | None = None,
    class_index: int | None = None,
    batch_size: int = 1,
) -> Inversions:
    """Latents and noise from which a network draws given images.

    Args:
        images: uint8 arrays `[R, R, C]` of the network's resolution, files (their
            central squares), and folders; one or several.
        recipe: a name of `recipes.RECIPES`, or a recipe.
        perceptual: term besides pixels. "preset" is the recipe's own if its weights
            are here already, otherwise "included", the network that comes with the
            package; "vgg16" and "lpips" fetch theirs; "none" leaves the term out.
        steps: iterations of stages that move latents.
        noise_steps: of those that move noise only; 0 leaves them out.
        features: loaded feature networks.
        encoder: of `load_encoder`, for recipes that start from one.
        class_index: of a conditional network, from 0.
        batch_size: images at once on a device.

    Raises:
        UserError: images that cannot be read or are of another size, or weights that
            cannot be had.

    Source: Abdal et al. 2019 and 2020, by the recipe.
    """
    if isinstance(recipe, str):
        recipe = recipes.recipe(recipe, generator.resolution)
    recipe = recipes.with_steps(recipe, steps, noise_steps)
    if perceptual != "preset" or features is None:
        recipe = recipes.with_perceptual(recipe, perceptual)
    if isinstance(images, str | os.PathLike):
        images = [images]
    elif isinstance(images, np.ndarray) and images.ndim == 3:
        images = images[None]
    targets = [pixels for image in images for pixels in _pixels(image, generator)]
    if not targets:
        raise UserError("there are no images to invert; give one at least")
    features = load_features(recipe) if features is None else features
    labels = one_hot(generator.config.label_size, class_index)
    progress = inverter.invert(
        generator,
        targets,
        recipe,
        features,
        labels=labels,
        encoder=encoder,
        batch_size=batch_size,
    )
    found = tuple(one for step in progress for one in step.finished)
    codes = jax.tree.map(
        lambda *parts: jnp.concatenate(parts), *[one.code for one in found]
    )
    drawn = np.stack([one.stages[-1].picture for one in found])
    made, wanted = (jnp.asarray(x, jnp.float32) for x in (drawn, np.stack(targets)))
    scores = np.asarray(psnr(made, wanted, value_range=(0, 255)))
    return Inversions(codes, drawn, scores, found)


def load_encoder(network: str | os.PathLike[str]) -> Encoder:
    """The encoder that lies beside a network: a name, a run or a file, as of `load`.

    Raises:
        UserError: there is none, or the file is damaged.
    """
    path = loading.beside(os.fspath(network), "encoder")
    if path is None:
        raise UserError(
            f"no encoder lies beside {network}; python -m stylegan_jax.encoder trains "
            "one, and `stylegan_jax.inversion.encoder.load` reads a file of one"
        )
    return encoders.load(path)


def _pixels(image: Image, generator: Generator) -> list[np.ndarray]:
    if not isinstance(image, str | os.PathLike):
        return [np.asarray(image)]
    channels = generator.config.num_channels
    read, rejected = photos.read(
        photos.listed([image]), generator.resolution, channels, aligned=False
    )
    if rejected:
        raise UserError(f"{rejected[0].path}: {rejected[0].reason}")
    return [photo.pixels for photo in read]


def train(
    config: Config, workdir: str | os.PathLike[str], *, change: bool = False
) -> TrainState:
    """Trains or resumes a run; returns the final state.

    `load(workdir)` is its averaged generator. The precision of products
    (`run.matmul_precision`) and, unless there is one, a cache of compiled programs are
    set for the whole process. Progress is logged at level INFO.

    Args:
        config: of a recipe, or made here.
        workdir: the run directory; a folder that is not a run is never written to.
        change: resume with settings that change the training from here on.

    Raises:
        UserError: data or settings that cannot be trained with.
    """
    use_compilation_cache()
    use_precision(config)
    source = open_source(config.data)
    config = start.check(config, source, jax.device_count())
    names = config.metrics.names
    wanted = parse_measures(names) if names else ()
    return train_run(
        config,
        Path(workdir),
        evaluators=make_evaluators(config, wanted, source),
        source=source,
        change=change,
    )


def use_precision(config: Config) -> None:
    """Sets JAX's precision of products to `run.matmul_precision`."""
    precision = config.run.matmul_precision
    jax.config.update(
        "jax_default_matmul_precision", None if precision == "default" else precision
    )


def use_compilation_cache() -> None:
    """Caches compiled programs on disk, unless JAX has a cache already."""
    if getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        folder = str(cache.folder("xla"))
        jax.config.update("jax_compilation_cache_dir", folder)
