"""Attribute classifiers for linear separability: one network with a head for each.

The paper trains one network per CelebA attribute, of its discriminator's size.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

from stylegan_jax.classifiers import classifier_file
from stylegan_jax.classifiers.classifier import Classifier, shapes, train_heads
from stylegan_jax.data.portraits.source import PortraitAttributes, Portraits
from stylegan_jax.data.sources import Source, spread, unwrapped
from stylegan_jax.errors import UserError
from stylegan_jax.io import cache

ATTRIBUTES = ("eyeglasses", "smile", "pose", "age", "gender")  # of portraits
MAX_RESOLUTION = 64  # larger samples are reduced
COUNT = 5000
STEPS = 2000

_COMPARED = 64  # images whose pixels are in the cache key
_FORMAT = 1  # of the cache key


def classifiers_for(
    source: Source | None,
    resolution: int,
    *,
    file: Path | None = None,
    names: Sequence[str] | None = None,
    count: int = COUNT,
    steps: int = STEPS,
    seed: int = 0,
    cached: bool = True,
    quiet: bool = False,
) -> dict[str, Classifier]:
    """Binary classifiers for samples of a resolution: from a file, or trained once.

    `file` is written after training if it does not exist; if it does, `source` may be
    None. Samples above 64 px are reduced to 64. Trained classifiers are cached in
    `cache.folder("classifiers")`, by a digest of the labels, the pixels of some images
    and the other arguments, which are those of `attribute_classifiers`. Raises
    UserError for missing labels, unknown names, and damaged or unfitting files.
    """
    if file is not None and file.suffix != ".safetensors":
        raise UserError(f"{file}: files of classifiers end in .safetensors; rename it")
    if file is not None and file.exists():
        return _of_file(file, resolution, names)
    if source is None:
        raise UserError(
            "classifiers of attributes are taught by labelled data, and none is given: "
            "give `data.path` and `data.labels`, or a file by `classifiers`"
        )
    size = min(resolution, MAX_RESOLUTION)
    options = {"count": count, "steps": steps, "seed": seed}

    def train() -> dict[str, Classifier]:
        return attribute_classifiers(source, names, size, **options, quiet=quiet)

    if cached:
        path = _stored_path(source, names, size, options)
        with cache.exclusive(path):
            try:
                found = classifier_file.load(path)
            except UserError:  # missing or damaged
                found = train()
                classifier_file.save(path, found, source=source.name)
    else:
        found = train()
    if file is not None:
        classifier_file.save(file, found, source=source.name)
    return found


def attribute_classifiers(
    source: Source,
    names: Sequence[str] | None = None,
    resolution: int = MAX_RESOLUTION,
    *,
    count: int = COUNT,
    steps: int = STEPS,
    seed: int = 0,
    quiet: bool = False,
) -> dict[str, Classifier]:
    """Trains one network with a head per attribute; class 1 has more of it.

    Attributes of other data than portraits are each class against the rest (of two,
    the second), or each column of label vectors. Numbers are cut at their median over
    the images used, unlike the labels of `Portraits`, which are cut at fixed values.
    Raises UserError for missing labels, and attributes that are unknown or constant.

    Args:
        names: all that vary by default. Of portraits `ATTRIBUTES`, or fields of
            `PortraitAttributes` that are numbers or bools.
        resolution: in pixels, at least 8.
        count: images at most, spread over the data; a tenth is for the accuracy.
        steps: minibatches of 64.
    """
    chosen = spread(len(source), count)
    # Rejects sizes and names before anything is read.
    shapes(resolution, source.num_channels, 1)
    attribute_table(source, names, chosen)
    reading = track(chosen, f"reading {source.name}", disable=quiet, transient=True)
    images = np.stack([source.image(int(i), resolution) for i in reading])
    # Again: damaged images have been replaced, labels included.
    table = attribute_table(source, names, chosen)
    classes = np.stack(list(table.values()), axis=1)
    heads = train_heads(images, classes, steps=steps, seed=seed, quiet=quiet)
    return dict(zip(table, heads, strict=True))


def attribute_table(
    source: Source, names: Sequence[str] | None, indices: Sequence[int] | np.ndarray
) -> dict[str, np.ndarray]:
    """Attributes of images, int `[N]` by name: 1 has it, or more than the median."""
    inner, inside = unwrapped(source, indices)
    if isinstance(inner, Portraits):
        people = [inner.attributes(int(i)) for i in inside]
        columns = {
            field.name: np.array([getattr(person, field.name) for person in people])
            for field in dataclasses.fields(PortraitAttributes)
            if field.type in (bool, float)
        }
        default = ATTRIBUTES
    else:
        default = columns = _label_columns(source, indices)
    unknown = [name for name in names or () if name not in columns]
    if unknown or (names is not None and not names):
        what = f"no label {unknown[0]!r}" if unknown else "labels, and none is named"
        raise UserError(
            f"{source.name} has {what}; its labels are {', '.join(columns)}"
        )
    table = {name: _cut(columns[name]) for name in names or default}
    same = [name for name, classes in table.items() if len(np.unique(classes)) < 2]
    if (names and same) or len(same) == len(table):
        raise UserError(
            f"label {same[0]!r} is the same for all {len(indices)} images used of "
            f"{source.name}; use more of them or another label"
        )
    return {name: classes for name, classes in table.items() if name not in same}


def _label_columns(
    source: Source, indices: Sequence[int] | np.ndarray
) -> dict[str, np.ndarray]:
    """Labels by name, each `[N]`; of two classes the second."""
    if not source.label_size:
        raise UserError(
            f"{source.name} is used without labels, and attributes are labels: give "
            "`data.labels` (folders, json or csv; of TFDS, tfds; of prepared data, "
            "stored), or classifiers by `classifiers`"
        )
    labels = np.stack([source.label(int(i)) for i in indices])
    numbered = tuple(f"label{i}" for i in range(source.label_size))
    names = source.label_names or numbered
    columns = dict(zip(names, labels.T, strict=True))
    one_hot = (np.count_nonzero(labels, axis=1) == 1) & (labels.max(axis=1) == 1)
    if one_hot.all() and len(names) == 2:
        del columns[names[0]]
    return columns


def _cut(values: np.ndarray) -> np.ndarray:
    """Bools and columns of 0 and 1 unchanged; numbers cut at their median."""
    threshold = 0.5 if np.isin(values, (0, 1)).all() else np.median(values)
    return (values > threshold).astype(int)


def _of_file(
    file: Path, resolution: int, names: Sequence[str] | None
) -> dict[str, Classifier]:
    found = classifier_file.load(file)
    for name in names or found:
        if name not in found:
            raise UserError(
                f"{file} has no classifier of {name!r}; it has {', '.join(found)}"
            )
        one = found[name]
        if one.num_classes != 2 or resolution % one.resolution:
            raise UserError(
                f"{file}: the classifier of {name!r} has {one.num_classes} classes and "
                f"sees images of {one.resolution} px; samples of {resolution} px "
                "need two classes and a size that divides theirs: train others"
            )
    return {name: found[name] for name in names or found}


def _stored_path(
    source: Source,
    names: Sequence[str] | None,
    resolution: int,
    options: Mapping[str, int],
) -> Path:
    chosen = spread(len(source), options["count"])
    description = {
        "format": _FORMAT,
        "size": len(source),
        "channels": source.num_channels,
        "resolution": resolution,
        **options,
    }
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name, classes in attribute_table(source, names, chosen).items():
        digest.update(name.encode() + classes.astype(np.uint8).tobytes())
    for index in chosen[spread(len(chosen), _COMPARED)]:
        digest.update(source.image(int(index), resolution).tobytes())
    name = f"{digest.hexdigest()[:32]}.safetensors"
    return cache.folder("classifiers") / name
