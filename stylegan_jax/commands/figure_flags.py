"""Figures of `stylegan_jax.figures` and their flags."""

import dataclasses
import functools
from pathlib import Path
from typing import ClassVar

import numpy as np

from stylegan_jax import loading
from stylegan_jax.classifiers import own
from stylegan_jax.commands import cli
from stylegan_jax.commands.flag_groups import (
    ClassIndex,
    OfNetwork,
    parse_numbers,
    parse_seeds,
    require_at_least,
)
from stylegan_jax.commands.inputs import Reader
from stylegan_jax.data.sources import Source, open_source, spread
from stylegan_jax.errors import UserError
from stylegan_jax.figures import (
    between,
    growing_rows,
    layer_steps,
    nearest_rows,
    noise,
    samples,
    score_curves,
    styles,
)
from stylegan_jax.figures.studio import Film, Studio
from stylegan_jax.metrics.measures import open_images
from stylegan_jax.metrics.nearest_images import copying
from stylegan_jax.metrics.nearest_images import nearest as find_nearest
from stylegan_jax.runs.run_directory import run_of

Drawn = np.ndarray | Film


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure(OfNetwork):
    """Flags of all figures."""

    # The class to draw, from 0, of a conditional network.
    class_index: ClassIndex = None
    batch_size: int = 8  # pictures drawn at once
    cell: int = 96  # pixels of a picture, at least: small ones are enlarged
    # Whether a conditional network needs a class.
    draws_samples: ClassVar[bool] = True

    @property
    def run(self) -> Path:
        """The run of the network, also of one of its checkpoints; else its file."""
        path = loading.located(self.network)
        return run_of(path) or path

    def draw(self, studio: Studio) -> Drawn:
        """The figure, uint8 `[H, W, 3]`, or one that moves."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moving(Figure):
    """Flags of figures that move."""

    fps: int = 30  # frames per second
    film: bool = True  # writes an MP4, which needs PyAV: the extra `video`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uncurated(Figure):
    """A grid of samples as they come, at several strengths of truncation."""

    seeds: str = "0-31"  # such as 7 or 0-63 or 1,5,8-10
    psi: str = "1,0.7,0.5"  # truncation of the first 8 layers; 1 is none
    columns: int = 8

    def draw(self, studio: Studio) -> Drawn:
        seeds, psis = parse_seeds(self.seeds), parse_numbers(self.psi)
        return samples.uncurated(studio, seeds, psis=psis, columns=self.columns)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StyleMixing(Figure):
    """Coarse, middle and fine styles of one image in another (figure 3).

    The seeds are the paper's.
    """

    sources: str = "639,701,687,615,2268"  # seeds of source B, whose styles are taken
    coarse: str = "888,829,1898"  # seeds that are given coarse styles
    middle: str = "1733,1614"
    fine: str = "845"
    psi: float = 1.0

    def draw(self, studio: Studio) -> Drawn:
        names = ("sources", *styles.SCALES)
        sources, *others = (parse_seeds(getattr(self, x), f"--{x}") for x in names)
        return styles.style_mixing(studio, sources, others, psi=self.psi)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StyleScaling(Figure):
    """Styles of some layers nearer to the mean of w, or farther from it."""

    seeds: str = "0,1"
    factors: str = "-1,0,0.5,1,1.5,2"  # of the distance from the mean

    def draw(self, studio: Studio) -> Drawn:
        factors = parse_numbers(self.factors, "--factors")
        return styles.style_scaling(studio, parse_seeds(self.seeds), factors=factors)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Truncation(Figure):
    """Towards the mean image and beyond it (figure 8). The seeds are the paper's."""

    seeds: str = "91,388"
    psi: str = "1,0.7,0.5,0,-0.5,-1"  # of all layers

    def draw(self, studio: Studio) -> Drawn:
        seeds, psis = parse_seeds(self.seeds), parse_numbers(self.psi)
        return samples.truncation(studio, seeds, psis=psis)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseLayers(Figure):
    """Noise on all, no, fine and coarse layers (figure 5); the paper's seeds."""

    seeds: str = "1967,1555"
    psi: float = 1.0

    def draw(self, studio: Studio) -> Drawn:
        return noise.noise_layers(studio, parse_seeds(self.seeds), psi=self.psi)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StochasticVariation(Figure):
    """Details that noise changes, and the deviation of each pixel (figure 4).

    The seeds are the paper's.
    """

    seeds: str = "1157,1012"
    count: int = 100  # noises that the deviation is taken over
    # Left, top and side of what is shown of each noise, in fractions of the image.
    crop: tuple[float, float, float] = (0.25, 0.0, 0.5)
    gain: float | None = None  # brightness of the deviation; the paper's is 4
    psi: float = 1.0

    def draw(self, studio: Studio) -> Drawn:
        require_at_least(self, count=4)
        left, top, side = self.crop
        if not (0 <= left < 1 and 0 <= top < 1 and 0 < side <= 1):
            raise UserError(f"--crop {left:g} {top:g} {side:g}: give fractions below 1")
        options = {
            name: getattr(self, name) for name in ("count", "crop", "psi", "gain")
        }
        return noise.stochastic_variation(studio, parse_seeds(self.seeds), **options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerEffects(Figure):
    """What the style of each single layer changes."""

    seeds: str = "0,1"
    donor: int = 100  # seed whose styles are shown
    count: int = 16  # donors that the change is averaged over
    psi: float = 0.7

    def draw(self, studio: Studio) -> Drawn:
        seeds, rest = parse_seeds(self.seeds), {"count": self.count, "psi": self.psi}
        return styles.layer_effects(studio, seeds, donor=self.donor, **rest)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer(Figure):
    """One layer step by step: noise, its four steps, normalisation and style."""

    seed: int = 0
    layer: int | None = None  # from 1; by default 8, of 32 px, or the last one
    channels: str | None = None  # such as 0-3; by default those with most noise
    psi: float = 1.0

    def draw(self, studio: Studio) -> Drawn:
        require_at_least(self, seed=0)
        channels = parse_seeds(self.channels, "--channels") if self.channels else None
        number = min(8, studio.num_layers) if self.layer is None else self.layer
        options = {"number": number, "channels": channels, "psi": self.psi}
        return layer_steps.layer(studio, self.seed, **options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interpolation(Moving):
    """The same ways in z and in w; a strip, and a film of both."""

    seeds: str = "0-8"  # of all paths in turn
    paths: int = 3  # side by side
    frames: int = 45  # from one seed to the next
    psi: float = 0.7

    def draw(self, studio: Studio) -> Drawn:
        seeds = parse_seeds(self.seeds)
        stops, rest = divmod(len(seeds), self.paths)
        if rest or stops < 2:
            raise UserError(
                f"--seeds {self.seeds}: {len(seeds)} seeds do not make {self.paths} "
                "paths of one length, 2 or more"
            )
        paths = np.reshape(seeds, (self.paths, stops)).tolist()
        return between.interpolation(studio, paths, frames=self.frames, psi=self.psi)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Morph(Moving):
    """From image to image, w and noise on a straight line; a strip, and a film."""

    # First and second image of each pair: seed:NUMBER, or codes (.safetensors) that
    # `stylegan_jax.invert` wrote.
    images: tuple[str, ...] = ("seed:0", "seed:1", "seed:2", "seed:3")
    frames: int = 45  # from the first to the second
    psi: float = 0.7

    def draw(self, studio: Studio) -> Drawn:
        studio.require("styles", "a morph")
        reader = Reader(generator=studio.generator, psi=self.psi)
        items, rejected = reader.read(self.images)
        ends = [(item.name, item.code) for item in items if item.code]
        photos = [item.name for item in items if not item.code]
        rejected += [f"{name} is no code; invert it first" for name in photos]
        if rejected:
            raise UserError(rejected[0])
        if len(ends) % 2:
            raise UserError(f"--images are {len(ends)}; give two for each pair")
        pairs = [
            (f"{a}, {b}", first, second)
            for (a, first), (b, second) in zip(ends[::2], ends[1::2], strict=True)
        ]
        return between.morph(studio, pairs, frames=self.frames)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arithmetic(Figure):
    """Sums of mean latents: a + t (c - b). Choose seeds from a grid of samples."""

    a: str = "0-3"  # seeds of what is changed
    b: str = "4-7"  # seeds of what is taken away
    c: str = "8-11"  # seeds of what is put there
    psi: float = 0.7

    def draw(self, studio: Studio) -> Drawn:
        a, b, c = (parse_seeds(getattr(self, x), f"--{x}") for x in "abc")
        return samples.arithmetic(studio, a, b, c, psi=self.psi)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Growing(Moving):
    """The same seeds at every checkpoint of a run; a strip, and a film."""

    seeds: str = "0-3"
    hold: int = 10  # frames that each checkpoint stays on the screen
    psi: float = 0.7

    def draw(self, studio: Studio) -> Drawn:
        names = ("psi", "hold", "batch_size", "cell")
        options = {name: getattr(self, name) for name in names}
        options["label"] = studio.label
        run, seeds = self.run, parse_seeds(self.seeds)
        return growing_rows.growing(run, seeds, **options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores(Figure):
    """Scores of checkpoints through training, of a run and of others beside it."""

    beside: tuple[Path, ...] = ()  # other runs
    names: str | None = None  # scores with commas; all that have a course by default

    draws_samples = False

    def draw(self, studio: Studio) -> Drawn:
        names = self.names.split(",") if self.names else None
        runs = (self.run, *self.beside)
        return score_curves.scores(runs, names)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overfitting(Figure):
    """Scores of images held out, r_t, r_v and p through the training of a run."""

    draws_samples = False

    def draw(self, studio: Studio) -> Drawn:
        return score_curves.overfitting(self.run)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nearest(Figure):
    """Samples and the training images nearest to them: a look for copies.

    With images that were held out, it also prints how often a sample is nearer to a
    training image than these are: 0.5 without copying, towards 1 with it.
    """

    seeds: str = "0-15"
    psi: float = 1.0
    count: int = 2  # nearest images of each sample
    # Folder, zip file or prepared data to look in; by default what the network was
    # trained on.
    data: Path | None = None
    held_out: Path | None = None  # real images that were not trained on
    features: Path | None = None  # a network's file, else pixels (docs/metrics.md)
    samples: int = 200  # compared with images that were held out

    def draw(self, studio: Studio) -> Drawn:
        train, held_out, mirror = self._data(studio)
        network = own.load(self.features) if self.features else None
        seeds = parse_seeds(self.seeds)
        drawn = studio.draw(studio.ws(seeds, psi=self.psi))
        find = functools.partial(
            find_nearest, data=train, features=network, mirror=mirror, quiet=False
        )
        found = find(drawn, count=self.count)
        if held_out is not None:
            more = studio.draw(studio.ws(range(self.samples), psi=self.psi))
            distances = find(np.concatenate([more, held_out])).distances[:, 0]
            share = copying(*np.split(distances, [len(more)]))
            cli.say(
                f"{len(more)} samples are nearer to a training image than "
                f"{len(held_out)} held-out images in {share:.0%} of all pairs (50%: no "
                "copying; towards 100%: copies)"
            )
        return nearest_rows.nearest(studio, drawn, found)

    def _data(self, studio: Studio) -> tuple[Source, np.ndarray | None, bool]:
        """The training images, up to `samples` held out, and if they were mirrored."""
        config, owner = loading.trained_on(self.network)
        channels = studio.generator.config.num_channels
        held_out = open_images(self.held_out, channels) if self.held_out else None
        if self.data is not None:
            train = open_images(self.data, channels)
        elif config is None:
            raise UserError(
                f"{owner}: it is not known what this was trained on; give its training "
                "images, --data FOLDER"
            )
        else:
            train = open_source(config)
            if held_out is None and config.holdout:
                held_out = open_source(dataclasses.replace(config, part="held_out"))
        mirror = config is not None and config.mirror
        if held_out is None:
            return train, None, mirror
        places = spread(len(held_out), min(self.samples, len(held_out)))
        real = [held_out.image(int(i), studio.resolution) for i in places]
        return train, np.stack(real), mirror
