"""Flags shared by several commands, and seeds and numbers as flags: `0-63`, `1,0.7`."""

import dataclasses
import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from stylegan_jax.distributed import processes
from stylegan_jax.errors import UserError

_MAX_SEEDS = 1_000_000

# A network as text: a `Path` would not tell `./portraits`, which is here, from
# `portraits`, which is the name of one.
Network = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NETWORK")]
ClassIndex = Annotated[int | None, tyro.conf.arg(name="class")]
Cutoff = int | Literal["none"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfNetwork:
    """A network, and where results are put."""

    # What `stylegan_jax.sample` takes: a run, a checkpoint, a file, or a name.
    network: Network
    outdir: Path  # folder for the results; made if need be


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureWeights:
    """Files of networks that images are compared by."""

    vgg16: Path | None = None  # your own copy of the weights; else fetched once
    lpips: Path | None = None  # likewise, of LPIPS's linear layers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Faces:
    """Faces in photographs."""

    # Cuts the largest face out of photographs, as FFHQ's are, and edits are written
    # in the photograph too. Otherwise the central squares are taken.
    align: bool = False
    # Where the faces are, instead of looking for them: a file of landmarks, or a folder
    # of files named as the photographs (docs/alignment.md).
    landmarks: Path | None = None

    def check_faces(self) -> None:
        """Raises UserError for landmarks that are not there, or not asked for."""
        if self.landmarks is not None and not self.align:
            raise UserError("--landmarks goes with --align")
        if self.landmarks is not None and not self.landmarks.exists():
            raise UserError(f"{self.landmarks}: there is no such file or folder")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """Several processes that run one command together."""

    # Several processes, each started with this command: auto finds the others on TPU
    # pods, under SLURM or Open MPI and in Kubernetes; elsewhere give the three below.
    distributed: Literal["no", "auto"] = "no"
    coordinator: str = ""  # HOST:PORT of process 0, any free port
    num_processes: int | None = None
    process_id: int | None = None  # of this process, from 0

    def join_job(self) -> None:
        """Joins the other processes, if any."""
        processes.join(
            coordinator=self.coordinator,
            num_processes=self.num_processes,
            process_id=self.process_id,
            detect=self.distributed == "auto",
        )


def layers_of(cutoff: Cutoff) -> int | None:
    """The number of truncated layers; None is all."""
    return None if cutoff == "none" else cutoff


def require_at_least(args: Any, **lowest: int) -> None:
    """Raises UserError if the number of one of these flags is below its minimum."""
    for name, low in lowest.items():
        value = getattr(args, name, None)
        if isinstance(value, int | float) and value < low:
            raise UserError(f"`{name}` {value} is below {low}")


def parse_seeds(text: str, flag: str = "--seeds") -> tuple[int, ...]:
    """Seeds and inclusive ranges of `1,5,8-10`, each seed once."""
    ranges: list[range] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if not match:
            raise UserError(
                f"{flag} {text}: {part.strip()!r} is not a seed or a range; give "
                "numbers from 0 such as 7 or 0-63 or 1,5,8-10"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UserError(
                f"{flag} {text}: {part.strip()} runs backwards; did you mean "
                f"{last}-{first}?"
            )
        if last >= 2**32:
            raise UserError(f"{flag} {text}: {last} is over {2**32 - 1}")
        ranges.append(range(first, last + 1))
    if sum(map(len, ranges)) > _MAX_SEEDS:
        raise UserError(f"{flag} {text} are over {_MAX_SEEDS}; draw them in parts")
    return tuple(dict.fromkeys(itertools.chain(*ranges)))


def parse_numbers(text: str, flag: str = "--psi") -> tuple[float, ...]:
    """Numbers of `1,0.7,-0.5`, each once."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(map(math.isfinite, numbers)):
        raise UserError(f"{flag} {text}: give numbers such as 0.7 or 1,0.7,0,-0.7")
    return tuple(dict.fromkeys(numbers))


def format_seeds(seeds: Sequence[int]) -> str:
    """Seeds in the form of `parse_seeds`, such as `1,5,8-10`."""
    parts: list[list[int]] = []
    for seed in seeds:
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ",".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else f"{p[0]}" for p in parts)
