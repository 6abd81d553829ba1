"""Figures and films of the papers."""

from stylegan_jax import lazy

__getattr__, __dir__ = lazy.attach(__name__, __file__)
