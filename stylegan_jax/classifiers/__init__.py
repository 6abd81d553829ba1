"""Attribute classifiers: networks, training, files."""

from stylegan_jax import lazy

__getattr__, __dir__ = lazy.attach(__name__, __file__)
