"""From photographs to latents: Image2StyleGAN, its second part, the projector."""

from stylegan_jax import lazy

__getattr__, __dir__ = lazy.attach(__name__, __file__)
