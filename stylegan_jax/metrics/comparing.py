"""Scores of images against images: folders, zip files, prepared data, arrays.

    fid("generated", "photos")
    compare(generator, photos, "kid,pr", features=network)

Both are resized to the generator's resolution, or to the smallest generated image.
"""

from pathlib import Path
from typing import Any

import numpy as np

from stylegan_jax.data.config import DataConfig, kind_of
from stylegan_jax.data.sources import ArraySource, Source, open_source
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
    """Scores by name of `made` against `data`, each image of which counts once.

    Both may be the path of a folder, a zip file or prepared data, uint8 images
    `[N, H, W, C]` or a source, and `made` a generator; some measures need no data.
    `measures` are as `fid,kid300`: a bare name takes all images, at most 50,000, and
    of a generator as many samples. `options` are those of `MeasureOptions`. Raises
    UserError for images, names or features that allow no score.
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
    """Fréchet distance of Inception's features, or of `features`; as `compare`.

    `count` images of each kind, or all. It is far too large for fewer images than a few
    times the number of features: compare only scores of equal numbers, or take `kid`.
    """
    return _only(compare(made, data, f"fid{count or ''}", **options))


def kid(
    made: Images | Generator, data: Images, count: int | None = None, **options: Any
) -> float:
    """Kernel distance, unbiased for any number of images; as `fid`."""
    return _only(compare(made, data, f"kid{count or ''}", **options))


def precision_recall(
    made: Images | Generator, data: Images, count: int | None = None, **options: Any
) -> tuple[float, float]:
    """Precision and recall of VGG16's features, or of `features`; as `fid`."""
    precision, recall = compare(made, data, f"pr{count or ''}", **options).values()
    return precision, recall


def open_images(images: Images) -> Source:
    """Opens images as a source; raises UserError if unusable."""
    if isinstance(images, np.ndarray):
        return ArraySource(images)
    if not isinstance(images, str | Path):
        return images
    config = DataConfig(name=kind_of(images), path=str(images))
    return open_source(config)


def common_side(source: Source) -> int:
    """Side in pixels of the smallest image; raises UserError if sizes are arbitrary."""
    if source.side is None:
        raise UserError(
            f"{source.name} has images of any size; give the resolution to compare at"
        )
    return source.side


def _only(scores: Scores) -> float:
    (score,) = scores.values()
    return score
