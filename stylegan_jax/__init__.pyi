from . import editing as editing
from . import inversion as inversion
from . import metrics as metrics
from . import training as training
from .loading import load as load
from .networks.config import ModelConfig as ModelConfig
from .networks.generator import Generator as Generator
from .networks.generator import init_generator as init_generator
from .verbs import invert as invert
from .verbs import sample as sample
from .verbs import train as train

__version__: str
