"""Configuration of a run, composed of sections."""

import dataclasses
from typing import Literal

from stylegan_jax.by_resolution import ByResolution, take_plain_values
from stylegan_jax.data.config import POINTS, DataConfig
from stylegan_jax.errors import UserError
from stylegan_jax.limits import require_not_negative, require_positive, require_seed
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.runs.checkpoint import CheckpointConfig
from stylegan_jax.training.adaptive import AugmentConfig
from stylegan_jax.training.evaluation import MetricsConfig
from stylegan_jax.training.health import HealthConfig
from stylegan_jax.training.losses import LossConfig
from stylegan_jax.training.schedule import ScheduleConfig
from stylegan_jax.training.state import OptimizerConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Seed, precision, memory, logs and sample grids of a run.

    Only `seed` and `matmul_precision` change the result.
    """

    seed: int = 0  # of the weights and of all that is random in training
    tick_kimg: ByResolution[float] = ByResolution(  # between two lines of metrics
        20.0,
        (
            *((4, 160), (8, 140), (16, 120), (32, 100), (64, 80), (128, 60)),
            *((256, 40), (512, 30)),
        ),
    )
    grid_ticks: int = 1  # ticks between two grids of samples
    grid_columns: int = 8
    grid_rows: int = 4
    grid_psi: float = 1.0  # truncation in the grids; 1 is none
    # Of matrix products in float32: "default" is the hardware's (TF32 on NVIDIA,
    # bfloat16 on TPU), "highest" true float32.
    matmul_precision: Literal["default", "high", "highest"] = "default"
    # Share optimizer moments and the averaged generator out over the devices instead
    # of keeping a copy on each: less memory, more communication.
    shard_state: bool = False
    # Without a step for so long training is reported as stuck, and ended where other
    # processes wait for it; 0 never. Slow steps and compilation are allowed for.
    stall_seconds: float = 40.0

    def __post_init__(self) -> None:
        take_plain_values(self)
        require_positive(self, "run", "tick_kimg", "grid_ticks")
        require_positive(self, "run", "grid_columns", "grid_rows")
        require_not_negative(self, "run", "stall_seconds")
        require_seed(self, "run", "seed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that defines a run. A function takes its section, never all."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    loss: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    metrics: MetricsConfig = MetricsConfig()
    health: HealthConfig = HealthConfig()
    run: RunConfig = RunConfig()

    def __post_init__(self) -> None:
        if self.model.num_channels != self.data.num_channels:
            raise UserError(
                f"model.num_channels {self.model.num_channels} and data.num_channels "
                f"{self.data.num_channels} must be equal"
            )
        if (self.model.resolution == 1) != (self.data.name in POINTS):
            raise UserError(
                f"model.resolution {self.model.resolution} does not go with data.name "
                f"{self.data.name!r}: points ({', '.join(POINTS)}) have 1 pixel, "
                "images more"
            )
        if self.augment.mode != "none" and self.data.name in POINTS:
            raise UserError(
                f"augment.mode is {self.augment.mode}, but data.name "
                f"{self.data.name!r} gives points, not images; set it to none"
            )
        lowest = self.model.resolution if self.model.mlp_layers else 4
        if self.schedule.initial_resolution < lowest:
            raise UserError(
                f"schedule.initial_resolution {self.schedule.initial_resolution} is "
                f"below {lowest}; multi-layer perceptrons do not grow, the others "
                "begin at 4 px or above"
            )
        freeze_d = self.optimizer.freeze_d
        lowest = self.schedule.initial_resolution
        # Colours, two layers for each resolution above 4 px, three at 4 px.
        layers = 0 if self.model.mlp_layers else 2 * lowest.bit_length() - 2
        if freeze_d and freeze_d >= layers:
            raise UserError(
                f"optimizer.freeze_d {freeze_d} leaves nothing of the discriminator to "
                f"train: at {lowest} px, where training begins, it has {layers} layers "
                "that can be frozen; freeze fewer or begin at a higher "
                "schedule.initial_resolution"
            )
