"""Convolutional discriminator."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.networks.config import ModelConfig, check_resolution
from stylegan_jax.networks.layers import (
    HE_GAIN,
    EqualizedConv,
    EqualizedDense,
    PixelwiseDense,
    leaky_relu,
)
from stylegan_jax.ops import normalize, resample
from stylegan_jax.ops.latents import lerp


class DiscriminatorBlock(nn.Module):
    """Two convolutions, the second one to half the resolution."""

    config: ModelConfig
    resolution: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[N, R, R, C]` to `[N, R/2, R/2, C']`."""
        here = self.config.channels(self.resolution)
        below = self.config.channels(self.resolution // 2)
        x = leaky_relu(EqualizedConv(here, name="conv0")(x))
        down = EqualizedConv(below, down=True, blur=self.config.blur, name="conv1")
        return leaky_relu(down(x))


class DiscriminatorHead(nn.Module):
    """Minibatch statistics, a convolution and two dense layers at 4x4."""

    config: ModelConfig
    strided_groups: bool
    axis_name: str | None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[N, 4, 4, C]` to float32 `[N, number of scores]`."""
        config = self.config
        if config.mbstd_group_size > 1:
            x = normalize.minibatch_stddev(
                x,
                config.mbstd_group_size,
                config.mbstd_num_features,
                strided=self.strided_groups,
                axis_name=self.axis_name,
            )
        x = EqualizedConv(config.channels(4), name="conv")(x)
        x = leaky_relu(x)
        x = x.reshape(x.shape[0], -1).astype(jnp.float32)
        x = leaky_relu(EqualizedDense(config.channels(2), name="dense0")(x))
        scores = max(config.label_size, 1) if config.embed_labels else 1
        return EqualizedDense(scores, gain=1.0, name="dense1")(x)


class Discriminator(nn.Module):
    """Discriminator at any point of progressive growing.

    `strided_groups` and `axis_name` are for `ops.normalize.minibatch_stddev`.

    Source: `D_basic`, NVlabs/stylegan; `D_paper` (ProGAN) with `blur=False` and
    `embed_labels=False`. Differs: images come at the active resolution; the official
    network averages enlarged ones down first, so that its gradients with respect to
    images are smaller by 2 for each halving.
    """

    config: ModelConfig
    strided_groups: bool = True
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        images: Array,
        labels: Array | None = None,
        *,
        alpha: Array | None = None,
    ) -> Array:
        """Float32 logits `[N]` of images `[N, R, R, C]` in [-1, 1]; high is real.

        `labels` are `[N, label_size]` one-hot; `alpha` is the weight of this resolution
        while it fades in. Raises UserError for sizes other than 4 to the final
        resolution.
        """
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        resolution = images.shape[1]
        check_resolution("image size", resolution)
        if resolution > config.resolution or images.shape[3] != config.num_channels:
            raise UserError(
                f"images of shape {images.shape} do not fit a discriminator of "
                f"{config.resolution} px and {config.num_channels} channels"
            )

        def from_rgb(images: Array) -> Array:
            size = images.shape[1]
            module = PixelwiseDense(
                config.channels(size), gain=HE_GAIN, name=f"from_rgb{size}"
            )
            return leaky_relu(module(images).astype(dtype))

        if self.is_initializing():
            for size in set(config.resolutions) - {resolution}:
                from_rgb(jnp.zeros((1, size, size, config.num_channels)))
        block = nn.remat(DiscriminatorBlock) if config.remat else DiscriminatorBlock
        x = from_rgb(images)
        size = resolution
        while size > 4:
            x = block(config, size, name=f"block{size}")(x)
            if size == resolution and alpha is not None:
                coarse = from_rgb(resample.downsample(images))
                x = lerp(coarse, x, alpha.astype(dtype))
            size //= 2
        head = DiscriminatorHead(
            config, self.strided_groups, self.axis_name, name="block4"
        )
        logits = head(x)
        if config.label_size and config.embed_labels:
            assert labels is not None
            return jnp.sum(logits * labels, axis=1)
        return logits[:, 0]
