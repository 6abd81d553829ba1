"""Flags shared by several commands."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from stylegan_jax.distributed import processes
from stylegan_jax.errors import UserError

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
    """Raises UserError if a flag's number is below its minimum."""
    for name, low in lowest.items():
        value = getattr(args, name)
        if isinstance(value, int | float) and value < low:
            raise UserError(f"`{name}` {value} is below {low}")
