"""Configuration of the training data."""

import dataclasses
import difflib
import math
import os
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io.bucket import is_remote
from stylegan_jax.io.depth import FULL, Whites
from stylegan_jax.limits import (
    require,
    require_not_negative,
    require_one_of,
    require_positive,
)

POINTS = {"ring": 2, "gaussian": 1}  # sets of points, and their dimensions
NAMES = ("portraits", "folder", "zip", "pyramid", *POINTS)
_CROPS = ("center", "none")
_PARTS = ("train", "held_out", "all")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The images, their labels, and how they are made square.

    Labels, by source: "none" everywhere; the name of an attribute for `portraits`;
    for `folder` and `zip` "folders" (the first level of sub-folders that differ),
    "json" (the `dataset.json` of StyleGAN2-ADA), "csv" (`labels.csv`) or the name of
    another .csv file inside; for TFDS "tfds" (the only class label) or the name of a
    feature; for `pyramid` "stored". Images without a label are left out.

    Raises:
        UserError: a value is unknown, or does not go with another.
    """

    # portraits, folder, zip, tfds:<data set>, pyramid; or points: ring, gaussian
    name: str = "portraits"
    path: str | None = None  # the folder, zip file, prepared pyramid, or TFDS data_dir
    split: str = "train"  # of a TFDS data set, sub-splits such as train[:90%] too
    # Class labels: none; an attribute of the portraits; folders, json, csv or NAME.csv
    # (folder, zip); tfds or the name of a TFDS feature; stored (pyramid).
    labels: str = "none"
    mirror: bool = False  # flip each image with probability 1/2, each time it is seen
    num_channels: int = 3  # 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha
    crop: str = "center"  # cut the central square; "none" refuses what is not square
    # Zero-pad up to the next power of two instead of enlarging. None: only for TFDS
    # sets declared square and at most 1/8 short of it (MNIST, 28 to 32 px).
    pad: bool | None = None
    # What is white in files of more than 8 bits; None: decided by what they hold.
    white: float | None = None
    max_images: int | None = None  # use this many, drawn at random by `seed`
    # This part of the images is kept out of training, drawn by `seed`: how overfitting
    # is seen. `part` says which of the two is opened, `all` both.
    holdout: float = 0.0
    part: Literal["train", "held_out", "all"] = "train"
    portraits_size: int = 20_000  # people in the built-in set
    points_size: int = 100_000  # points in `ring` and `gaussian`
    points_std: float = 0.02  # of each normal distribution they are drawn from
    ring_modes: int = 8  # normal distributions on the unit circle
    cache_gb: float = 4.0  # memory for decoded images, GB per process
    seed: int = 0  # of the order, the mirroring, `max_images` and the portraits

    def __post_init__(self) -> None:
        kind = self.name.partition(":")[0]
        if self.name not in NAMES and (kind != "tfds" or not self.dataset):
            close = difflib.get_close_matches(self.name, [*NAMES, "tfds:<data set>"], 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UserError(
                f"data name {self.name!r} is not one of {', '.join(NAMES)} or "
                f"tfds:<data set>{hint}"
            )
        if kind in ("folder", "zip", "pyramid") and not self.path:
            raise UserError(f"data {self.name!r} needs a path; set data.path")
        require_one_of(self, "data", _CROPS, "crop")
        require_one_of(self, "data", _PARTS, "part")
        require_positive(self, "data", "points_std", "ring_modes")
        require_not_negative(self, "data", "cache_gb")
        sizes = ("points_size", "portraits_size", "max_images")
        require(self, "data", lambda x: x >= 2, "and must be at least 2", *sizes)
        for holds, but, name in (
            (lambda x: x in (1, 2, 3, 4), "not 1, 2, 3 or 4", "num_channels"),
            (lambda x: 0 <= x < 1, "not from 0 to below 1", "holdout"),
            (lambda x: 0 < x < math.inf, "not a positive number", "white"),
            (lambda x: 0 <= x < 2**32, "not in [0, 2**32)", "seed"),
        ):
            require(self, "data", holds, but, name)
        if self.num_channels != POINTS.get(self.name, self.num_channels):
            raise UserError(
                f"points of {self.name!r} have {POINTS[self.name]} coordinates; set "
                f"num_channels to that, not {self.num_channels}"
            )
        if self.part == "held_out" and not self.holdout:
            raise UserError(
                "data.part is held_out, and nothing is held out; give data.holdout, "
                "such as 0.1"
            )
        self._check_labels(kind)

    def _check_labels(self, kind: str) -> None:
        labels = self.labels
        if labels == "none" or kind in ("portraits", "tfds"):
            return  # attributes and features are checked by those who know them
        if kind in POINTS:
            allowed, right = "none", False
        elif kind == "pyramid":
            allowed, right = "none or stored", labels == "stored"
        else:
            allowed = "none, folders, json, csv or the name of a .csv file"
            right = labels in ("folders", "json") or labels.endswith("csv")
        if not right:
            raise UserError(f"labels {labels!r} of a {kind} must be {allowed}")

    @property
    def dataset(self) -> str:
        """The TFDS data set's name, "" for the other sources."""
        return self.name.partition(":")[2]

    @property
    def whites(self) -> Whites:
        """`white` by kind of sample; empty if not given."""
        return {} if self.white is None else dict.fromkeys(FULL, self.white)

    @property
    def dtype(self) -> type[np.generic]:
        """uint8 for images, float32 for points."""
        return np.float32 if self.name in POINTS else np.uint8

    @property
    def cache_bytes(self) -> int:
        """`cache_gb` in bytes."""
        return int(self.cache_gb * 1e9)


def kind_of(path: str | Path) -> str:
    """Kind of data at a path: `zip`, `pyramid` (prepared) or `folder`."""
    path = Path(path).expanduser()
    if path.is_file() and (zipfile.is_zipfile(path) or path.suffix == ".zip"):
        return "zip"
    return "pyramid" if (path / "index.json").is_file() else "folder"


def by_path(config: DataConfig, *, named: bool) -> tuple[DataConfig, str | None]:
    """The configuration with `name` matched to its path, and a sentence if it changed.

    Raises UserError if the user's name (`named`) contradicts the path.
    """
    path, name = config.path, config.name
    kind = None if path is None or is_remote(path) else _kind_at(config)
    if kind is None or kind == name:
        check_path(config)
        return config, None
    if named:
        raise UserError(
            f"{path} is a {kind}, and data.name is {name}: leave `data.name` out, or "
            f"give `data.name` {kind}"
        )
    other = dataclasses.replace(config, name=kind)
    return other, f"{path} is a {kind}: data.name is {kind}, not {name}"


def check_path(config: DataConfig) -> None:
    """Raises UserError for a path given to a drawn source."""
    if config.path is not None and config.name in ("portraits", *POINTS):
        raise UserError(
            f"data.path {config.path} is nothing that {config.name!r} could use, which "
            "is drawn; there is no folder, zip file or prepared data at that path"
            if not Path(config.path).expanduser().exists()
            else f"data.path {config.path} is given, and {config.name!r} is drawn: set "
            "data.name to folder, zip or pyramid, or leave data.path out"
        )


def _kind_at(config: DataConfig) -> str | None:
    path = Path(config.path or "").expanduser()
    kind = kind_of(path)
    if kind == "folder" and not path.is_dir():
        return None
    if kind == "folder" and config.dataset and not _has_pictures(path):
        return None  # the data_dir of TFDS
    return kind


def _has_pictures(path: Path) -> bool:
    with os.scandir(path) as entries:
        return any(entry.name.lower().endswith(_PICTURES) for entry in entries)
