"""Measures of what a generator draws; they take a `Generator` and arrays."""

from stylegan_jax import lazy

__getattr__, __dir__ = lazy.attach(__name__, __file__)
