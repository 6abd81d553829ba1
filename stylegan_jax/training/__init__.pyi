from .ablation import configured as configured
from .losses import register_loss as register_loss
from .schedule import Phase as Phase
from .schedule import phases as phases
from .state import TrainState as TrainState
from .state import generator_of as generator_of
from .state import init_state as init_state
from .step import make_step as make_step
