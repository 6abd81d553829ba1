"""Multiplications of the networks by pencil and paper, layer by layer.

Only convolutions and matrix products count, as two operations (FLOP) for one
multiply-accumulate (MAC): no biases, activations, normalisations, blurs, optimizer or
random numbers. Taps of a convolution that fall on the zero padding count as well.

A 3x3 convolution joined with a change of resolution counts as the official code runs
it. From `fused_from` pixels on it is a 4x4 convolution with stride 2, 16 MAC for each
pair of channels and pixel of the *low* resolution; below that the image is enlarged
before the convolution, or averaged after it: 36 MAC.

Source: `networks_stylegan.py`, NVlabs/stylegan; with its sizes a forward pass takes
18.2, 22.8, 27.4 and 31.9 GMAC per image at 128, 256, 512 and 1024 pixels.
"""

import dataclasses

from stylegan_jax.networks.config import ModelConfig, check_resolution

# Passes through a network per real image shown, in units of its forward pass. A
# backward pass is one unit for the gradient by the activations and one for that by the
# weights.
#
# Discriminator's update: fakes are drawn (G 1) and judged with a backward pass (D 3).
# Reals are judged (1), the score is differentiated by the image (1), and both of these
# are differentiated by activations and weights (2 * 2): D 6.
# Generator's update: fakes with a backward pass (G 3), judged (1), and the gradient
# led back through the discriminator, whose weights get none (1): D 2.
TRAINING_PASSES = {"generator": 1 + 3, "discriminator": 3 + 6 + 2}


@dataclasses.dataclass(frozen=True)
class Layer:
    """One weighted layer.

    Attributes:
        name: as in the tree of parameters, such as `block8/conv0`.
        macs: multiply-accumulates for one image.
    """

    name: str
    macs: int


def generator_layers(
    config: ModelConfig,
    resolution: int,
    *,
    fading: bool = False,
    fused_from: int | None = None,
) -> list[Layer]:
    """The layers of mapping and synthesis, one latent per image.

    Args:
        config: of the networks.
        resolution: of the images, in pixels.
        fading: this resolution is being blended in: a second ToRGB.
        fused_from: pixels from which the joined convolutions are fused;
            None takes `config.fused_from`, 8 is the leanest network.

    Raises:
        ValueError: the resolution is not one of the network's.
    """
    fused_from = _check(config, resolution, fused_from)
    layers = _mapping_layers(config)

    def style(name: str, features: int) -> None:
        if config.use_styles:
            layers.append(Layer(f"{name}/style", config.w_dim * 2 * features))

    for size in [r for r in config.resolutions if r <= resolution]:
        block, here = f"block{size}", config.channels(size)
        if size == 4:
            first, second = ("const" if config.const_input else "dense"), "conv"
            if not config.const_input:
                layers.append(Layer(f"{block}/dense", config.w_dim * 16 * here))
        else:
            first, second = "conv0", "conv1"
            macs = _resampling_conv(
                size, config.channels(size // 2), here, fused=size >= fused_from
            )
            layers.append(Layer(f"{block}/conv0", macs))
        style(f"{block}/{first}", here)
        layers.append(Layer(f"{block}/{second}", size**2 * 9 * here * here))
        style(f"{block}/{second}", here)
    return layers + _color_layers("to_rgb", config, resolution, fading)


def discriminator_layers(
    config: ModelConfig,
    resolution: int,
    *,
    fading: bool = False,
    fused_from: int | None = None,
) -> list[Layer]:
    """The layers of the discriminator; arguments as of `generator_layers`."""
    fused_from = _check(config, resolution, fused_from)
    layers = _color_layers("from_rgb", config, resolution, fading)
    for size in reversed([r for r in config.resolutions if 4 < r <= resolution]):
        here, below = config.channels(size), config.channels(size // 2)
        down = _resampling_conv(size, here, below, fused=size >= fused_from)
        layers += [
            Layer(f"block{size}/conv0", size**2 * 9 * here * here),
            Layer(f"block{size}/conv1", down),
        ]
    here, units = config.channels(4), config.channels(2)
    features = config.mbstd_num_features if config.mbstd_group_size > 1 else 0
    scores = max(config.label_size, 1) if config.embed_labels else 1
    return [
        *layers,
        Layer("block4/conv", 16 * 9 * (here + features) * here),
        Layer("block4/dense0", 16 * here * units),
        Layer("block4/dense1", units * scores),
    ]


def sampling_flops(
    config: ModelConfig, resolution: int, *, fused_from: int | None = None
) -> int:
    """FLOP to draw one image: mapping and synthesis."""
    layers = generator_layers(config, resolution, fused_from=fused_from)
    return 2 * sum(layer.macs for layer in layers)


def training_flops(
    config: ModelConfig,
    resolution: int,
    *,
    fading: bool = False,
    fused_from: int | None = None,
) -> int:
    """FLOP per real image shown, for the logistic loss with R1 on reals.

    The official step evaluates the mapping for two latents per image (style mixing);
    here it counts once, as part of the generator.
    """
    total = 0
    for name, make in (
        ("generator", generator_layers),
        ("discriminator", discriminator_layers),
    ):
        layers = make(config, resolution, fading=fading, fused_from=fused_from)
        total += TRAINING_PASSES[name] * 2 * sum(layer.macs for layer in layers)
    return total


def _mapping_layers(config: ModelConfig) -> list[Layer]:
    layers = []
    if config.label_size and config.embed_labels:
        layers.append(Layer("label_concat", config.label_size * config.z_dim))
    width = config.mapped_size
    for i in range(config.mapping_layers):
        last = i == config.mapping_layers - 1
        following = config.w_dim if last else config.mapping_width
        layers.append(Layer(f"mapping/dense{i}", width * following))
        width = following
    return layers


def _color_layers(
    name: str, config: ModelConfig, resolution: int, fading: bool
) -> list[Layer]:
    """ToRGB or FromRGB, of half the resolution too while that is blended out."""
    sizes = [resolution // 2, resolution] if fading else [resolution]
    return [
        Layer(f"{name}{r}", r**2 * config.num_channels * config.channels(r))
        for r in sizes
    ]


def _resampling_conv(high: int, c_in: int, c_out: int, *, fused: bool) -> int:
    """MAC of a 3x3 convolution between `high` pixels and half of that."""
    return (high // 2) ** 2 * (16 if fused else 36) * c_in * c_out


def _check(config: ModelConfig, resolution: int, fused_from: int | None) -> int:
    check_resolution("resolution", resolution)
    if resolution > config.resolution:
        raise ValueError(
            f"resolution {resolution} is above the network's {config.resolution} px"
        )
    return config.fused_from if fused_from is None else fused_from
