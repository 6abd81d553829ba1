"""Scores of images against images: folders, zip files, prepared data, arrays.

    fid("generated", "photos")
    compare(generator, photos, "kid,pr", features=network)

Both sides are brought to one size: that of a generator, or of the smallest image that
was generated.
"""

from pathlib import Path
from typing import Any

import numpy as np

from stylegan_jax.data.arrays import ArraySource
from stylegan_jax.data.config import DataConfig, kind_of
from stylegan_jax.data.sources import Source, open_source
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.measures import MeasureOptions, Scores, take
from stylegan_jax.metrics.names import parse_measures
from stylegan_jax.networks.generator import Generator

Images = str | Path | np.ndarray | Source


def compare(
    made: Images | Generator,
    data: Images | None,
    measures: str = "fid",
    *,
    resolution: int | None = None,
    **options: Any,
) -> Scores:
    """Takes measures of what was made against data, each image of which counts once.

    Args:
        made: a folder, a zip file, prepared data (by their paths), uint8 images
            `[N, H, W, C]`, an open source, or a generator.
        data: likewise; None where the measures need none.
        measures: names with commas, as `fid,kid300`. A bare name takes all images, at
            most 50,000; of a generator as many samples as there are images.
        resolution: that images are compared at; see above.
        options: of `MeasureOptions`: features, seed, mirror, ...

    Returns:
        Scores by name.

    Raises:
        UserError: images, names, features or numbers that allow no score.
    """
    there = made if isinstance(made, Generator) else open_images(made)
    source = None if data is None else open_images(data)
    if resolution is None and not isinstance(there, Generator):
        resolution = common_side(there)
    if isinstance(options.get("features"), str):
        options["features"] = Path(options["features"])
    how = MeasureOptions(resolution=resolution, **{"quiet": True, **options})
    scores: Scores = {}
    for measure in parse_measures(measures):
        scores |= take(there, source, measure, how)
    return scores


def fid(
    made: Images | Generator, data: Images, count: int | None = None, **options: Any
) -> float:
    """Frechet distance, of Inception's features unless `features` says otherwise.

    `count` images of each kind, or all there are; otherwise as `compare`. Of fewer
    images than a few times the number of features it is far too large: compare only
    scores of equal numbers, or take `kid`.
    """
    return _only(compare(made, data, f"fid{count or ''}", **options))


def kid(
    made: Images | Generator, data: Images, count: int | None = None, **options: Any
) -> float:
    """Kernel distance, which is unbiased for any number of images; as `fid`."""
    return _only(compare(made, data, f"kid{count or ''}", **options))


def precision_recall(
    made: Images | Generator, data: Images, count: int | None = None, **options: Any
) -> tuple[float, float]:
    """Precision and recall, of VGG16's features unless said otherwise; as `fid`."""
    precision, recall = compare(made, data, f"pr{count or ''}", **options).values()
    return precision, recall


def open_images(images: Images) -> Source:
    """Opens images; raises UserError if they cannot be used."""
    if isinstance(images, np.ndarray):
        return ArraySource(images)
    if not isinstance(images, str | Path):
        return images
    config = DataConfig(name=kind_of(images), path=str(images))
    return open_source(config)


def common_side(source: Source) -> int:
    """A size, in pixels, that all images of a source have at least.

    Raises:
        UserError: the source draws or decodes at any size; give one.
    """
    sides = getattr(source, "sides", None)
    if sides is None:
        sides = getattr(source, "resolutions", (0,))[-1:]
    if not np.min(sides):
        raise UserError(
            f"{source.name} has images of any size; give the resolution to compare at"
        )
    return int(np.min(sides))


def _only(scores: Scores) -> float:
    (score,) = scores.values()
    return score
