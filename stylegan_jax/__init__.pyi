from . import editing as editing
from . import inversion as inversion
from . import metrics as metrics
from . import training as training
from .by_resolution import ByResolution as ByResolution
from .data.config import DataConfig as DataConfig
from .loading import load as load
from .networks.config import ModelConfig as ModelConfig
from .networks.generator import Generator as Generator
from .networks.generator import init_generator as init_generator
from .runs.checkpoint import CheckpointConfig as CheckpointConfig
from .training.adaptive import AugmentConfig as AugmentConfig
from .training.config import Config as Config
from .training.config import RunConfig as RunConfig
from .training.evaluation import MetricsConfig as MetricsConfig
from .training.health import HealthConfig as HealthConfig
from .training.losses import LossConfig as LossConfig
from .training.schedule import ScheduleConfig as ScheduleConfig
from .training.state import OptimizerConfig as OptimizerConfig
from .verbs import invert as invert
from .verbs import sample as sample
from .verbs import train as train

__version__: str
