"""Generators of rosinality/style-based-gan-pytorch.

Differences from the official network:

- Every scaled weight, ToRGB, styles and noise strengths included, has He's gain and
  its own multiplier; fused up-convolutions are divided by 4. Folded into the weights.
- A style is the scale itself, not an offset from 1. Folded into the bias.
- The bias of an up-convolution precedes the blur, the epsilon of instance norm is
  1e-5, the mapping has no multiplier of 0.01, and both layers of a block share one
  noise image: fields of `ModelConfig`.
- The 4x4 constant has no bias; a zero here.
- Neither the mean of w nor noise is stored. Both come from a fixed seed here, the mean
  over `W_AVG_SAMPLES` latents, as many as in its `generate.py`.
- Files have all blocks up to 1024 px, trained or not, and no fade-in: assumed stable.

Its `generate.py` truncates all layers, `sample(z, psi=0.7, cutoff=None)` here.

Source: `StyledGenerator` in rosinality/style-based-gan-pytorch, `model.py`.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.interop import foreign
from stylegan_jax.interop.foreign import IN_OUT_HW, NCHW, OUT_IN, OUT_IN_HW, Row
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator
from stylegan_jax.ops import latents

W_AVG_SAMPLES = 10 * 1024
SEED = 0  # of the latents behind w_avg, and of the noise

# A name unique to this family's generators.
MARK = "generator.progression.0.conv1.input"

_BLOCK = "generator.progression.{block}"
_UP = "synthesis/block{R}/conv0/weight"
_ROWS = (
    Row(MARK, "synthesis/block4/const/const", axes=NCHW),
    Row("style.{odd}.linear.weight_orig", "mapping/dense{i}/weight", axes=OUT_IN),
    Row("style.{odd}.linear.bias", "mapping/dense{i}/bias"),
    Row(f"{_BLOCK}.conv1.0.weight", _UP, axes=IN_OUT_HW),  # fused
    Row(f"{_BLOCK}.conv1.0.bias", "{first}/bias"),
    Row(f"{_BLOCK}.conv1.1.conv.weight_orig", _UP, axes=OUT_IN_HW),
    Row(f"{_BLOCK}.conv1.1.conv.bias", "{first}/bias"),
    Row(f"{_BLOCK}.conv2.conv.weight_orig", "{second}/weight", axes=OUT_IN_HW),
    Row(f"{_BLOCK}.conv2.conv.bias", "{second}/bias"),
    *(
        row
        for i, layer in ((1, "{first}"), (2, "{second}"))
        for style in [f"{_BLOCK}.adain{i}.style.linear"]
        for row in (
            Row(f"{_BLOCK}.noise{i}.weight_orig", f"{layer}/noise_weight"),
            Row(f"{style}.weight_orig", f"{layer}/style/weight", axes=OUT_IN),
            Row(f"{style}.bias", f"{layer}/style/bias"),
        )
    ),
    Row(
        "generator.to_rgb.{block}.conv.weight_orig",
        "synthesis/to_rgb{R}/weight",
        axes=OUT_IN_HW,
    ),
    Row("generator.to_rgb.{block}.conv.bias", "synthesis/to_rgb{R}/bias"),
)

_UNFUSED = 2048  # as `fused_from`: no resolution reaches it
_MAX_Z_DIM = 4096  # nothing real comes near
_MAX_LAYERS = foreign.MAX_MAPPING_LAYERS


def convert(found: foreign.Variables) -> Generator:
    """Generator of a state dictionary of `StyledGenerator`; raises as `match`.

    Its resolution is the highest trained one, where noise strengths and biases are not
    all zero; blocks above it are dropped.
    """
    if "generator.progression.1.conv1.conv.weight_orig" in found:
        raise UserError(
            "its code is older than July 2019 and resampled in another way, which is "
            "not supported; the newer checkpoints of its README are"
        )
    blocks = foreign.count_of(found, "generator.to_rgb.{i}.conv.weight_orig", 9)
    trained = [i for i in range(1, blocks) if _is_trained(found, i)]
    top = trained[-1] if trained else blocks - 1
    found = {name: array for name, array in found.items() if _block(name) <= top}
    config = _config(found, top)
    for i, size in enumerate(config.resolutions[1:], 1):
        place = 1 if size >= config.fused_from else 2
        blur = f"generator.progression.{i}.conv1.{place}"
        foreign.drop_blur(found, [f"{blur}.weight", f"{blur}.weight_flip"])
    found = {name: _folded(name, array) for name, array in found.items()}
    generator = foreign.generator(found, _ROWS, config, absent=_absent(config))
    return dataclasses.replace(generator, w_avg=_mean_w(generator))


def _block(name: str) -> int:
    """Number of a variable's block; -1 for the mapping's."""
    parts = name.split(".")
    if parts[:2] in (["generator", "progression"], ["generator", "to_rgb"]):
        return int(parts[2]) if len(parts) > 2 and parts[2].isdecimal() else -1
    return -1


def _is_trained(found: foreign.Variables, block: int) -> bool:
    prefix = f"generator.progression.{block}"
    names = [f"{prefix}.{part}.weight_orig" for part in ("noise1", "noise2")]
    names += [f"{prefix}.conv2.conv.bias", f"generator.to_rgb.{block}.conv.bias"]
    return any(np.any(found[name]) for name in names if name in found)


def _config(found: foreign.Variables, top: int) -> ModelConfig:
    # Modules of the mapping: a norm, then dense layers and activations in turn.
    dense = [f"style.{2 * i + 1}.linear.weight_orig" for i in range(1 + _MAX_LAYERS)]
    layers = sum(name in found for name in dense)
    if not 1 <= layers <= _MAX_LAYERS:
        raise UserError(f"its mapping has {layers} layers")
    width, z_dim = foreign.shape_of(found, dense[0], 2)
    if z_dim > _MAX_Z_DIM:
        raise UserError(f"its latents have {z_dim} numbers")
    widths = {
        4 << i: foreign.shape_of(
            found, f"generator.progression.{i}.conv2.conv.bias", 1
        )[0]
        for i in range(top + 1)
    }
    fused = [
        i
        for i in range(1, top + 1)
        if f"generator.progression.{i}.conv1.0.weight" in found
    ]
    if fused and fused != list(range(fused[0], top + 1)):
        raise UserError(
            "fused and plain up-convolutions alternate, which is not supported"
        )
    channel_base, channel_max = foreign.channel_rule(widths)
    return ModelConfig(
        resolution=4 << top,
        num_channels=foreign.shape_of(found, "generator.to_rgb.0.conv.weight_orig", 4)[
            0
        ],
        z_dim=z_dim,
        w_dim=foreign.shape_of(found, dense[layers - 1], 2)[0],
        mapping_layers=layers,
        mapping_width=width,
        mapping_lr_multiplier=1.0,
        fused_from=4 << fused[0] if fused else _UNFUSED,
        bias_before_blur=True,
        shared_noise=True,
        instance_norm_epsilon=1e-5,
        channel_base=channel_base,
        channel_max=channel_max,
    )


def _folded(name: str, array: np.ndarray) -> np.ndarray:
    """A variable with its multiplier or offset folded in, in float64."""
    array = np.asarray(array, np.float64)
    if ".noise" in name and array.ndim == 4:  # [1, C, 1, 1]
        return array.reshape(-1) * math.sqrt(2 / max(array.size, 1))
    if name.endswith(".conv1.0.weight"):
        return array / 4
    if name.endswith(".style.linear.weight_orig") or (
        name.startswith("generator.to_rgb.") and name.endswith(".weight_orig")
    ):
        return array * math.sqrt(2)
    if name.endswith(".style.linear.bias") and array.ndim == 1:
        return array - (np.arange(len(array)) < len(array) // 2)
    return array


def _absent(config: ModelConfig) -> dict[str, np.ndarray]:
    noise = latents.draw_noise(jax.random.key(SEED), 1, config.num_layers)
    return {
        "w_avg": np.zeros(config.w_dim, np.float32),
        "synthesis/block4/const/bias": np.zeros(config.channels(4), np.float32),
        # Both layers of a block share the first one's.
        **{
            f"noise/{i}": np.asarray(noise[i - i % 2]) for i in range(config.num_layers)
        },
    }


def _mean_w(generator: Generator) -> jax.Array:
    rng, shape = np.random.RandomState(SEED), (1024, generator.config.z_dim)
    with jax.default_matmul_precision("highest"):
        means = [
            generator.map(jnp.asarray(rng.randn(*shape), jnp.float32))[:, 0].mean(
                axis=0
            )
            for _ in range(W_AVG_SAMPLES // shape[0])
        ]
    return jnp.mean(jnp.stack(means), axis=0)
