"""Training images on the host: sources, preparation and batches; NumPy in and out."""

from stylegan_jax import lazy

__getattr__, __dir__ = lazy.attach(__name__, __file__)
