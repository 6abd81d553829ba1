"""Synthesis network: one w per layer, and noise, to an image.

Parameters cover every resolution; a call computes only the blocks it needs.
"""

from collections.abc import Sequence

import flax.linen as nn
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.networks.config import ModelConfig, check_resolution, num_layers
from stylegan_jax.networks.layers import LayerKind, PixelwiseDense, StyledLayer
from stylegan_jax.ops import resample
from stylegan_jax.ops.latents import lerp


class SynthesisBlock(nn.Module):
    """The two layers of one resolution, or one of them (`layers`)."""

    config: ModelConfig
    resolution: int
    layers: tuple[int, ...] = (0, 1)

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
        names = (first, second)
        kinds: tuple[LayerKind, ...] = (kind, "conv")
        for i in self.layers:
            layer = StyledLayer(config, features, kinds[i], name=names[i])
            x = layer(x, ws[i], noise[i])
        assert x is not None
        return x


class SynthesisNetwork(nn.Module):
    """Synthesis network at any point of progressive growing.

    Source: `G_synthesis`, NVlabs/stylegan; with `use_styles=False`,
    `const_input=False`, `blur=False` and pixel norm also `G_paper` (ProGAN).
    Differs: images have the active resolution; the official ones are enlarged to the
    final resolution by repeating pixels.
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
        start: tuple[int, Array] | None = None,
        stop: int | None = None,
    ) -> Array:
        """Float32 images, nominally in [-1, 1] but not clipped; with `stop`, features.

        Args:
            ws: `[N, L or more, w_dim]`, or `[N, 1, w_dim]` without styles.
            noise: one `[N or 1, H, W, 1]` per active layer; ignored without noise.
            resolution: of the images, 4 up to the final resolution.
            alpha: weight of this resolution while it fades in; None when stable, which
                leaves the second ToRGB out.
            start: number of layers run so far, and their features `[N, R, R, C]`.
            stop: number of layers to run in all; None runs all and draws images.

        Raises UserError for unsuitable resolutions, layers, latents or noise.
        """
        config = self.config
        check_resolution("resolution", resolution)
        active = num_layers(resolution)
        if resolution > config.resolution or ws.shape[1] < min(active, config.num_ws):
            raise UserError(
                f"{resolution} px need {min(active, config.num_ws)} latents per image "
                f"and a network of that size; got {ws.shape[1]} latents and a network "
                f"of {config.resolution} px"
            )
        if config.use_noise and len(noise) < active:
            raise UserError(
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
        done, x = start or (0, None)
        end, previous = active if stop is None else stop, None
        _check_span(done, end, active, fading=alpha is not None and stop is None)
        for size in [r for r in config.resolutions if r <= resolution]:
            layer = num_layers(size) - 2
            layers = tuple(i for i in (0, 1) if done <= layer + i < end)
            if not layers:
                continue
            (w0, noise0), (w1, noise1) = inputs(layer), inputs(layer + 1)
            previous = x
            module = block(config, size, layers, name=f"block{size}")
            x = module(x, (w0, w1), (noise0, noise1))
            if self.is_initializing() and size != resolution:
                to_rgb(size, x)
        assert x is not None
        if stop is not None:
            return x
        images = to_rgb(resolution, x)
        if alpha is not None and previous is not None:
            coarse = resample.upsample(to_rgb(resolution // 2, previous))
            images = lerp(coarse, images, alpha)
        return images


def _check_span(done: int, end: int, active: int, *, fading: bool) -> None:
    if not 0 <= done <= end <= active or end == 0:
        raise UserError(
            f"layers {done} to {end} are asked for; this network has {active}"
        )
    if fading and done > active - 2:
        raise UserError(
            f"while {2 ** (active // 2 + 1)} px fade in, at most the first "
            f"{active - 2} layers can be left out, not {done}"
        )
