"""Faces in photographs: found, cut out as FFHQ's are, and pasted back."""

from stylegan_jax import lazy

__getattr__, __dir__ = lazy.attach(__name__, __file__)
