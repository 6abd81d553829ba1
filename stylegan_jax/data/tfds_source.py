"""TensorFlow Datasets (TFDS) in ArrayRecord or Parquet, without TensorFlow."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.image_files import MIN_IMAGES
from stylegan_jax.data.labels import LabelTable
from stylegan_jax.data.sources import choose
from stylegan_jax.data.stored_images import EncodedSource
from stylegan_jax.errors import UserError
from stylegan_jax.io.decoding import UnreadableImageError

_UNREAD = -2  # TFDS itself marks an example without label with -1


@dataclasses.dataclass(frozen=True, kw_only=True)
class _LabelsOnDemand(LabelTable):
    read: Callable[[int], int]

    def vector(self, index: int) -> np.ndarray:
        if self.values[index] == _UNREAD:
            self.values[index] = self.read(index)
        if self.values[index] < 0:
            raise UserError(
                f"example {index} has no label; choose another split, or labels=none"
            )
        return super().vector(index)


def open_tfds(config: DataConfig) -> EncodedSource:
    """Opens split `config.split` of the data set `config.dataset`.

    UserError if it is unknown, or lacks random access, the split, images or labels.
    """
    builder = _builder(config)
    name, features = f"TFDS {config.dataset!r}", builder.info.features
    pictures = _of_kind(features, tfds.features.Image)
    image = "image" if "image" in pictures else next(iter(pictures), "")
    if not pictures or (image != "image" and len(pictures) > 1):
        raise UserError(
            f"{name} must have one image, or one of the name image; it has features "
            f"{', '.join(features)}"
        )
    classes = _of_kind(features, tfds.features.ClassLabel)
    label = config.labels
    if label == "tfds" and len(classes) == 1:
        (label,) = classes
    if label not in ("none", *classes):
        known = ", ".join(classes) or "none"
        raise UserError(f"{name} has no class labels {label!r}; it has: {known}")
    try:
        # Undecoded, so that this package's rules for colours and damage apply.
        decoders = dict.fromkeys(pictures, tfds.decode.SkipDecoding())
        records = builder.as_data_source(config.split, decoders=decoders)
    except Exception as error:  # TFDS has no common class for a wrong split
        known = ", ".join(builder.info.splits)
        raise UserError(
            f"{name} has no split {config.split!r}, it has {known} ({error})"
        ) from error
    if len(records) < MIN_IMAGES:
        raise UserError(f"split {config.split!r} of {name} has {len(records)} images")
    chosen = choose(len(records), config)
    labels = None
    if label != "none":
        names = tuple(classes[label].names)
        labels = _LabelsOnDemand(
            values=np.full(len(chosen), _UNREAD),
            size=len(names),
            names=names,
            read=lambda index: records[int(chosen[index])][label],
        )

    def read(index: int) -> bytes:
        try:
            record = records[int(chosen[index])]
        except RuntimeError as error:  # a wrong checksum in the file
            raise UnreadableImageError(str(error)) from error
        if labels is not None:
            labels.values[index] = record[label]
        return record[image]

    height, width = (side or 0 for side in pictures[image].shape[:2])
    # MNIST's 28 px are padded to 32; see `DataConfig.pad`.
    short = (1 << max(height - 1, 0).bit_length()) - height
    nearly = height == width and 0 < short <= (height + short) // 8
    return EncodedSource(
        name,
        read,
        np.full(len(chosen), min(height, width)),
        config,
        labels=labels,
        whites=config.whites,
        pad=nearly if config.pad is None else config.pad,
    )


def _of_kind(features: Any, kind: type) -> dict[str, Any]:
    return {name: x for name, x in features.items() if isinstance(x, kind)}


def _builder(config: DataConfig) -> Any:
    try:
        builder = tfds.builder(config.dataset, data_dir=config.path)
    except Exception as error:  # an unknown name, a wrong version, ...
        lines = str(error).replace("\t", "").splitlines() or [""]
        hints = [line for line in lines if line.startswith("Did you mean")]
        reason = " ".join([lines[0], *hints])
        raise UserError(f"TFDS cannot open {config.dataset!r}: {reason}") from error
    if not builder.is_prepared():
        data_dir = f", data_dir={config.path!r}" if config.path else ""
        raise UserError(
            f"TFDS {config.dataset!r} is not prepared in {str(builder.data_path)!r}; "
            f"prepare it once, where TensorFlow is installed, with `tfds.builder("
            f"{config.dataset!r}{data_dir}, file_format='array_record')"
            f".download_and_prepare()`, or set data.path to where it is"
        )
    stored = getattr(builder.info.file_format, "value", None)
    if stored not in ("array_record", "parquet"):
        raise UserError(
            f"TFDS {config.dataset!r} is prepared as {stored}, which has no random "
            f"access; prepare it with file_format='array_record'"
        )
    return builder
