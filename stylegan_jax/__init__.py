"""StyleGAN and Image2StyleGAN++ in JAX/Flax: train, sample, invert, edit.

    import stylegan_jax as sg

What it offers is in `__init__.pyi`, here and in the rooms; it is imported when it is
first used.
"""

from stylegan_jax import lazy

__version__ = "0.1.0"
__getattr__, __dir__ = lazy.attach(__name__, __file__)
