"""The synthesis network: one w per layer, and noise, to an image.

The tree of parameters always holds every resolution. A call computes the blocks up
to the resolution it asks for and nothing else.
"""

from collections.abc import Sequence

import flax.linen as nn
from jax import Array

from stylegan_jax.networks.config import ModelConfig, check_resolution, num_layers
from stylegan_jax.networks.layers import PixelwiseDense, StyledLayer
from stylegan_jax.ops import resample
from stylegan_jax.ops.latents import lerp


class SynthesisBlock(nn.Module):
    """The two layers of one resolution."""

    config: ModelConfig
    resolution: int

    @nn.compact
    def __call__(
        self,
        x: Array | None,
        ws: tuple[Array, Array],
        noise: tuple[Array | None, Array | None],
    ) -> Array:
        """`[N, R/2, R/2, C]` (None at 4 px) to `[N, R, R, C']`."""
        config, features = self.config, self.config.channels(self.resolution)
        if self.resolution == 4:
            first, kind = ("const", "const") if config.const_input else ("dense",) * 2
            second = "conv"
        else:
            first, kind, second = "conv0", "up", "conv1"
        x = StyledLayer(config, features, kind, name=first)(x, ws[0], noise[0])
        return StyledLayer(config, features, "conv", name=second)(x, ws[1], noise[1])


class SynthesisNetwork(nn.Module):
    """Images from latents at any point of progressive growing.

    Source: `G_synthesis`, NVlabs/stylegan; with `use_styles=False`,
    `const_input=False`, `blur=False` and pixel norm also `G_paper` (ProGAN).
    Differs: the image has the active resolution; the official one is enlarged to
    the final resolution by repeating pixels.
    """

    config: ModelConfig

    @nn.compact
    def __call__(
        self,
        ws: Array,
        noise: Sequence[Array],
        *,
        resolution: int,
        alpha: Array | None = None,
    ) -> Array:
        """Draws images.

        Args:
            ws: `[N, L, w_dim]` with `L` at least the number of active layers, or
                `[N, 1, w_dim]` without styles.
            noise: one `[N or 1, H, W, 1]` per active layer; ignored without noise.
            resolution: pixels of the images, 4 up to the final resolution.
            alpha: weight of this resolution while it fades in; None when it is
                stable, which leaves the second ToRGB out.

        Returns:
            float32 `[N, resolution, resolution, num_channels]`, nominally in
            [-1, 1] but not clipped.

        Raises:
            ValueError: wrong resolution, or too few latents or noise images.
        """
        config = self.config
        check_resolution("resolution", resolution)
        active = num_layers(resolution)
        if resolution > config.resolution or ws.shape[1] < min(active, config.num_ws):
            raise ValueError(
                f"{resolution} px need {min(active, config.num_ws)} latents per image "
                f"and a network of that size; got {ws.shape[1]} latents and a network "
                f"of {config.resolution} px"
            )
        if config.use_noise and len(noise) < active:
            raise ValueError(
                f"{resolution} px need {active} noise images, got {len(noise)}"
            )

        def inputs(layer: int) -> tuple[Array, Array | None]:
            w = ws[:, layer] if config.use_styles else ws[:, 0]
            if not config.use_noise:
                return w, None
            return w, noise[layer - layer % 2 if config.shared_noise else layer]

        def to_rgb(resolution: int, x: Array) -> Array:
            module = PixelwiseDense(
                config.num_channels, gain=1.0, name=f"to_rgb{resolution}"
            )
            return module(x)

        block = nn.remat(SynthesisBlock) if config.remat else SynthesisBlock
        x = previous = None
        for size in [r for r in config.resolutions if r <= resolution]:
            (w0, noise0), (w1, noise1) = (
                inputs(num_layers(size) - 2),
                inputs(num_layers(size) - 1),
            )
            previous = x
            x = block(config, size, name=f"block{size}")(x, (w0, w1), (noise0, noise1))
            if self.is_initializing() and size != resolution:
                to_rgb(size, x)
        assert x is not None
        images = to_rgb(resolution, x)
        if alpha is not None and previous is not None:
            coarse = resample.upsample(to_rgb(resolution // 2, previous))
            images = lerp(coarse, images, alpha)
        return images
