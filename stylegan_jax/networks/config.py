"""Network architecture as one frozen, hashable value."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

from stylegan_jax.errors import UserError
from stylegan_jax.limits import (
    require,
    require_not_negative,
    require_one_of,
    require_positive,
)

_MAX_STORED = 1 << 16  # of any number in a file; nothing real comes near
_MAX_LAYERS = 64  # in a file; each takes a tenth of a second to describe


def check_resolution(name: str, resolution: int, low: int = 4) -> None:
    """Raises UserError unless `resolution` is a power of two from `low` to 1024."""
    if resolution not in [2**k for k in range(11)] or resolution < low:
        raise UserError(
            f"{name} is {resolution}; it must be a power of two from {low} to 1024"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Architecture of generator and discriminator; defaults are the paper's.

    Source: arguments of `G_mapping`, `G_synthesis`, `D_basic` (NVlabs/stylegan) and,
    with `embed_labels=False`, of `G_paper` and `D_paper` (ProGAN). Another
    `instance_norm_epsilon`, `bias_before_blur` and `shared_noise` are those of
    rosinality/style-based-gan-pytorch.
    """

    # Final size in pixels, a power of two from 8 to 1024. Multi-layer perceptrons may
    # have 1: a point in the plane is an image of one pixel with two channels.
    resolution: int = 1024
    num_channels: int = 3  # colours of an image: 1 to 4
    label_size: int = 0  # number of classes; 0 is unconditional
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8  # 0: w is the normalised z
    mapping_width: int = 512  # units of the hidden mapping layers
    mapping_lr_multiplier: float = 0.01
    normalize_z: bool = True
    embed_labels: bool = True  # False: labels are joined to z as they are (ProGAN)
    channel_base: int = 16384  # channels at R pixels: channel_base / R, ...
    channel_max: int = 512  # ... but at most this many
    channel_decay: float = 1.0  # log2 fewer channels for each doubling of R
    use_styles: bool = True  # False: w feeds the first layer only (configuration B)
    const_input: bool = True  # False: the first layer is a dense layer of w
    use_noise: bool = True
    use_pixel_norm: bool = False
    use_instance_norm: bool = True
    instance_norm_epsilon: float = 1e-8  # added to the variance
    blur: bool = True  # low-pass filter when resampling activations
    fused_from: int = 128  # up-convolutions from here on have flipped kernels
    bias_before_blur: bool = False  # up-convolutions add their bias first
    shared_noise: bool = False  # both layers of a block take the first one's noise
    mbstd_group_size: int = 4  # minibatch standard deviation; 0 or 1 turns it off
    mbstd_num_features: int = 1
    # Hidden layers of both networks where they are multi-layer perceptrons, as in
    # Goodfellow et al. 2014 (networks/mlp.py); 0: convolutional networks.
    mlp_layers: int = 0
    mlp_width: int = 128  # units of a hidden layer
    dtype: Literal["float32", "bfloat16"] = "float32"  # of activations
    remat: bool = False  # recompute blocks in the backward pass: less memory, slower

    def __post_init__(self) -> None:
        low = 1 if self.mlp_layers else 8
        check_resolution("model.resolution", self.resolution, low)
        between = "not 1 to 4"
        require(self, "model", lambda x: 1 <= x <= 4, between, "num_channels")
        sizes = ("z_dim", "w_dim", "mapping_width", "mlp_width")
        channels = ("channel_base", "channel_max", "instance_norm_epsilon")
        require_positive(self, "model", *sizes, *channels)
        counts = ("label_size", "mapping_layers", "mbstd_group_size", "mlp_layers")
        require_not_negative(self, "model", *counts)
        require_one_of(self, "model", ("float32", "bfloat16"), "dtype")
        if not self.mlp_layers and self.channels(self.resolution) < 1:
            raise UserError(
                f"model.channel_base {self.channel_base} leaves no channels at "
                f"{self.resolution} px; raise it"
            )
        if self.mapping_layers == 0 and self.mapped_size != self.w_dim:
            raise UserError(
                f"without mapping layers w_dim must be {self.mapped_size}, the size of "
                f"the mapping's input, not {self.w_dim}"
            )
        if self.mlp_layers and (self.use_styles or self.use_noise or self.label_size):
            raise UserError(
                "a multi-layer perceptron (model.mlp_layers) has no styles, noise or "
                "classes; set use_styles and use_noise to False, data.labels to none"
            )

    def channels(self, resolution: int) -> int:
        """Number of feature maps at `resolution` pixels (official `nf`)."""
        stage = math.log2(resolution) - 1
        fmap_base = self.channel_base / 2
        return min(
            int(fmap_base / 2.0 ** (stage * self.channel_decay)), self.channel_max
        )

    @property
    def num_layers(self) -> int:
        """Layers of the synthesis network at its final resolution."""
        return num_layers(self.resolution)

    @property
    def num_ws(self) -> int:
        """Latents per image: one per layer, or one in all without styles."""
        return self.num_layers if self.use_styles else 1

    @property
    def mapped_size(self) -> int:
        """Width of the mapping network's input."""
        if not self.label_size:
            return self.z_dim
        return self.z_dim + (self.z_dim if self.embed_labels else self.label_size)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, ... up to the final resolution."""
        return tuple(2**k for k in range(2, int(math.log2(self.resolution)) + 1))


def num_layers(resolution: int) -> int:
    """Layers of a synthesis network that ends at `resolution`: 18 at 1024."""
    return 2 * int(math.log2(resolution)) - 2


def stored_model_config(stored: Mapping[str, Any]) -> ModelConfig:
    """An architecture read from an untrusted file; missing fields have their defaults.

    Raises UserError for a later version's, or a network of no sane size.
    """
    fields = {field.name: field.default for field in dataclasses.fields(ModelConfig)}
    unknown = sorted(map(str, stored.keys() - fields.keys()))
    if unknown:
        raise UserError(
            f"describes a network with {ascii(unknown[0])[:40]}, which this version "
            "does not know; update stylegan_jax"
        )
    for name, value in stored.items():
        if type(value) is not type(fields[name]):
            raise UserError(f"describes a network with an odd {name}")
        if isinstance(value, int | float) and not 0 <= value <= _MAX_STORED:
            raise UserError(
                f"describes a network with {name} {value}, not 0 to {_MAX_STORED}"
            )
    for name in ("mapping_layers", "mlp_layers"):
        if stored.get(name, 0) > _MAX_LAYERS:
            raise UserError(
                f"describes a network with {name} {stored[name]}, over {_MAX_LAYERS}"
            )
    try:
        return ModelConfig(**stored)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise UserError(f"describes no possible network: {error}") from None
