"""TensorFlow Datasets (TFDS) in ArrayRecord or Parquet, without TensorFlow."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.image_files import MIN_IMAGES, choose
from stylegan_jax.data.stored_images import EncodedSource
from stylegan_jax.errors import UserError
from stylegan_jax.io.decoding import UnreadableImageError

_UNKNOWN = -2  # TFDS itself marks an example without label with -1


class FeatureLabels:
    """Class labels, read on first use."""

    def __init__(
        self,
        read: Callable[[int], dict[str, Any]],
        count: int,
        feature: str,
        names: Sequence[str],
    ) -> None:
        """Declares the labels of `count` records without reading them."""
        self.size, self.names = len(names), tuple(names)
        self._read, self._feature = read, feature
        self._values = np.full(count, _UNKNOWN)

    def note(self, index: int, record: dict[str, Any]) -> None:
        """Caches the label of a record read for its image."""
        self._values[index] = record[self._feature]

    def vector(self, index: int) -> np.ndarray:
        """Label of one image, one-hot float32 `[size]`."""
        if self._values[index] == _UNKNOWN:
            self.note(index, self._read(index))
        value = int(self._values[index])
        if value < 0:
            raise UserError(
                f"example {index} has no {self._feature}; choose another split, or "
                f"labels=none"
            )
        return np.eye(1, self.size, value, np.float32)[0]


def open_tfds(config: DataConfig) -> EncodedSource:
    """Opens split `config.split` of the data set `config.dataset`.

    Raises:
        UserError: unknown, without random access, or without split, image or label.
    """
    builder = _builder(config)
    name = f"TFDS {config.dataset!r}"
    image = _image_feature(builder.info.features, name)
    label = _label_feature(builder.info.features, config.labels, name)
    # Undecoded, so that this package's rules for colours and damage apply.
    skip = tfds.decode.SkipDecoding()
    decoders = dict.fromkeys(_images(builder.info.features), skip)
    try:
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
    if label is not None:
        names = builder.info.features[label].names
        labels = FeatureLabels(
            lambda i: records[int(chosen[i])], len(chosen), label, names
        )

    def read(index: int) -> bytes:
        try:
            record = records[int(chosen[index])]
        except RuntimeError as error:  # a wrong checksum in the file
            raise UnreadableImageError(str(error)) from error
        if labels is not None:
            labels.note(index, record)
        return record[image]

    height, width = builder.info.features[image].shape[:2]
    pad, sides = config.pad, None
    if pad is None:
        pad = _is_nearly_power_of_two(height, width)
    if height and width:
        if height != width and config.crop == "none":
            raise UserError(f"{name} is {width}x{height}, not square; use crop=center")
        side = min(height, width)
        side = 1 << (side - 1).bit_length() if pad else side
        sides = np.full(len(chosen), side)
    return EncodedSource(
        read,
        len(chosen),
        name=name,
        num_channels=config.num_channels,
        labels=labels,
        sides=sides,
        whites=config.whites,
        allow_crop=config.crop == "center",
        pad=pad,
    )


def _builder(config: DataConfig) -> Any:
    where = f" in {config.path!r}" if config.path else ""
    try:
        builder = tfds.builder(config.dataset, data_dir=config.path)
    except tfds.core.DatasetNotFoundError as error:
        lines = str(error).replace("\t", "").splitlines()
        hint = next((line for line in lines if line.startswith("Did you mean")), "")
        raise UserError(
            f"TFDS knows no data set {config.dataset!r}{where}. {hint}".strip()
        ) from error
    except Exception as error:  # a wrong version or config of the data set, ...
        first = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"TFDS cannot open {config.dataset!r}{where}: {first}"
        ) from error
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


def _images(features: Any) -> list[str]:
    return [k for k, f in features.items() if isinstance(f, tfds.features.Image)]


def _image_feature(features: Any, name: str) -> str:
    found = _images(features)
    if not found:
        raise UserError(f"{name} has no images, only {', '.join(features)}")
    if len(found) > 1 and "image" not in found:
        raise UserError(f"{name} has several images: {', '.join(found)}")
    return "image" if "image" in found else found[0]


def _label_feature(features: Any, wanted: str, name: str) -> str | None:
    if wanted == "none":
        return None
    found = [k for k, f in features.items() if isinstance(f, tfds.features.ClassLabel)]
    if wanted in found:
        return wanted
    if wanted == "tfds" and len(found) == 1:
        return found[0]
    known = ", ".join(found) or "none"
    raise UserError(f"{name} has no class labels {wanted!r}; it has: {known}")


def _is_nearly_power_of_two(height: int | None, width: int | None) -> bool:
    if not height or height != width:
        return False
    power = 1 << (height - 1).bit_length()
    return 0 < power - height <= power // 8
