"""Flags of commands that several processes can run together."""

import dataclasses
from typing import Literal

from stylegan_jax.distributed import processes


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobFlags:
    """How this process finds the others."""

    # Several processes, each started with this command: auto finds the others on TPU
    # pods, under SLURM or Open MPI and in Kubernetes; elsewhere give the three below.
    distributed: Literal["no", "auto"] = "no"
    coordinator: str = ""  # HOST:PORT of process 0, any free port
    num_processes: int | None = None
    process_id: int | None = None  # of this process, from 0

    def join(self) -> None:
        """Joins the job, if there is one; see `processes.join`."""
        processes.join(
            coordinator=self.coordinator,
            num_processes=self.num_processes,
            process_id=self.process_id,
            detect=self.distributed == "auto",
        )
