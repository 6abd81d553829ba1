"""Configuration of the training data."""

import dataclasses
import difflib
import math
import os
import re
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io.images import FULL, Whites
from stylegan_jax.io.listing import is_called_image
from stylegan_jax.io.mirror import is_remote
from stylegan_jax.limits import (
    require,
    require_not_negative,
    require_one_of,
    require_positive,
    require_seed,
)

POINTS = {"ring": 2, "gaussian": 1, "corner": 2}  # sets of points, and their dimensions
NAMES = ("portraits", "folder", "zip", "pyramid", *POINTS)
# Labels by source, a pattern and its meaning; other sources check theirs when opened.
_OF_FILES = (
    "none|folders|json|.*csv",
    "none, folders, json, csv or the name of a .csv file",
)
_LABELS = {"folder": _OF_FILES, "zip": _OF_FILES}
_LABELS |= {"pyramid": ("none|stored", "none or stored")}
_LABELS |= dict.fromkeys(POINTS, ("none", "none"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The images, their labels, and how they are made square.

    Images without a label are left out. Raises UserError if a value is unknown, or does
    not go with another.
    """

    # portraits, folder, zip, tfds:<data set>, pyramid; points: ring, gaussian, corner
    name: str = "portraits"
    path: str | None = None  # the folder, zip file, prepared pyramid, or TFDS data_dir
    split: str = "train"  # of a TFDS data set, sub-splits such as train[:90%] too
    # Class labels: none; an attribute of portraits; of folders and zips: folders (the
    # first level of sub-folders that differ), json (the dataset.json of StyleGAN2-ADA),
    # csv for labels.csv, or NAME.csv; of TFDS: tfds (the only one) or the name of a
    # feature; of a pyramid: stored.
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
    # Share of the images that is kept out of training, drawn by `seed`, so that
    # overfitting can be seen.
    holdout: float = 0.0
    # Which images are opened, by `holdout`.
    part: Literal["train", "held_out", "all"] = "train"
    portraits_size: int = 20_000  # people in the built-in set
    points_size: int = 100_000  # points in `ring`, `gaussian` and `corner`
    points_std: float = 0.02  # of each normal distribution of `ring` and `gaussian`
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
        require_one_of(self, "data", ("center", "none"), "crop")
        require_one_of(self, "data", ("train", "held_out", "all"), "part")
        require_positive(self, "data", "points_std", "ring_modes")
        require_not_negative(self, "data", "cache_gb")
        require_seed(self, "data", "seed")
        sizes = ("points_size", "portraits_size", "max_images")
        require(self, "data", lambda x: x >= 2, "and must be at least 2", *sizes)
        for holds, but, name in (
            (lambda x: x in (1, 2, 3, 4), "not 1, 2, 3 or 4", "num_channels"),
            (lambda x: 0 <= x < 1, "not from 0 to below 1", "holdout"),
            (lambda x: 0 < x < math.inf, "not a positive number", "white"),
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
        pattern, allowed = _LABELS.get(kind, (".*", ""))
        if not re.fullmatch(pattern, self.labels):
            raise UserError(f"labels {self.labels!r} of a {kind} must be {allowed}")

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
    if config.path is None or is_remote(config.path):
        return config, None
    path, kind = Path(config.path).expanduser(), kind_of(config.path)
    if kind == "folder" and not path.is_dir():
        return config, None
    if kind == "folder" and config.dataset:  # may be the data_dir of TFDS
        kind = kind if any(map(is_called_image, os.listdir(path))) else config.name
    if kind == config.name:
        return config, None
    if named:
        raise UserError(
            f"{path} is a {kind}, and data.name is {config.name}: leave `data.name` "
            f"out, or give `data.name` {kind}"
        )
    other = dataclasses.replace(config, name=kind)
    return other, f"{path} is a {kind}: data.name is {kind}, not {config.name}"
