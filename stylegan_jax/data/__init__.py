"""Training images on the host: sources, preparation, NumPy batches."""

from stylegan_jax import lazy

__getattr__, __dir__ = lazy.attach(__name__, __file__)
