"""Frozen networks of others that look at images: features and distances."""

from stylegan_jax import lazy

__getattr__, __dir__ = lazy.attach(__name__, __file__)
