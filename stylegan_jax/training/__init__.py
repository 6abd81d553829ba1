"""Progressive training: schedule, losses, step, loop, checkpoints."""

from stylegan_jax.common import lazy

__getattr__, __dir__ = lazy.attach(__name__, __file__)
