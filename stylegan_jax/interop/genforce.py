"""Generators of genforce/genforce: PyTorch copies of the official StyleGAN.

State dictionaries lack `fused_scale`, `mapping_lr_mul`, `use_wscale` and `final_tanh`:
the project's defaults ("auto", 0.01, True, False) are assumed, which its converted
official networks have.

Source: `StyleGANGenerator` in genforce, `models/stylegan_generator.py`.
"""

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.interop import foreign
from stylegan_jax.interop.foreign import NCHW, OUT_IN, OUT_IN_HW, Row
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator

# A name unique to this family's generators.
MARK = "synthesis.layer0.apply_noise.weight"

_ROWS = (
    Row("truncation.w_avg", "w_avg"),
    Row("mapping.label_weight", "mapping/label_concat/weight"),
    Row("mapping.dense{i}.weight", "mapping/dense{i}/weight", axes=OUT_IN),
    Row("mapping.dense{i}.bias", "mapping/dense{i}/bias"),
    Row("synthesis.layer0.const", "synthesis/block4/const/const", axes=NCHW),
    Row("synthesis.layer0.weight", "synthesis/block4/dense/weight"),  # see `_dense`
    Row("synthesis.layer{i}.weight", "{layer}/weight", axes=OUT_IN_HW),
    Row("synthesis.layer{i}.bias", "{layer}/bias"),
    Row("synthesis.layer{i}.apply_noise.weight", "{layer}/noise_weight"),
    Row("synthesis.layer{i}.apply_noise.noise", "noise/{i}", axes=NCHW),
    Row("synthesis.layer{i}.style.weight", "{layer}/style/weight", axes=OUT_IN),
    Row("synthesis.layer{i}.style.bias", "{layer}/style/bias"),
    Row("synthesis.output{block}.weight", "synthesis/to_rgb{R}/weight", axes=OUT_IN_HW),
    Row("synthesis.output{block}.bias", "synthesis/to_rgb{R}/bias"),
)


def convert(found: foreign.Variables) -> Generator:
    """Generator of a `StyleGANGenerator`, at the saved growth; raises as `match`."""
    config = _config(found)
    found = dict(found)
    lod = found.pop("synthesis.lod", np.zeros(()))
    ups = range(2, config.num_layers, 2)
    foreign.drop_blur(found, [f"synthesis.layer{i}.blur.kernel" for i in ups])
    if not config.const_input:
        found["synthesis.layer0.weight"] = _dense(found["synthesis.layer0.weight"])
    return foreign.generator(found, _ROWS, config, lod=lod)


def _config(found: foreign.Variables) -> ModelConfig:
    blocks = foreign.count_of(found, "synthesis.output{i}.weight", 9)
    layers = foreign.count_of(
        found, "mapping.dense{i}.weight", foreign.MAX_MAPPING_LAYERS
    )
    if found[MARK].ndim != 1:
        raise UserError("its noise_type is 'channel'; only 'spatial' is supported")
    label_size = 0
    if "mapping.label_weight" in found:
        label_size = foreign.shape_of(found, "mapping.label_weight", 2)[0]
    width, inputs = foreign.shape_of(found, "mapping.dense0.weight", 2)
    (w_dim,) = foreign.shape_of(found, "truncation.w_avg", 1)
    styled = foreign.shape_of(found, "synthesis.layer0.style.weight", 2)[1]
    if w_dim != styled:
        raise UserError(
            f"w has {w_dim} numbers for layers that take {styled}: it was trained with "
            "repeat_w=False, which is not supported"
        )
    widths = {
        4 << i: foreign.shape_of(found, f"synthesis.layer{2 * i}.bias", 1)[0]
        for i in range(blocks)
    }
    channel_base, channel_max = foreign.channel_rule(widths)
    return ModelConfig(
        resolution=4 << (blocks - 1),
        num_channels=foreign.shape_of(found, "synthesis.output0.weight", 4)[0],
        label_size=label_size,
        z_dim=inputs // 2 if label_size else inputs,
        w_dim=w_dim,
        mapping_layers=layers,
        mapping_width=width if layers > 1 else w_dim,
        const_input="synthesis.layer0.const" in found,
        channel_base=channel_base,
        channel_max=channel_max,
    )


def _dense(kernel: np.ndarray) -> np.ndarray:
    """4x4 kernel `[out, w_dim, 4, 4]` as dense weights `[w_dim, 16 * out]`, turned."""
    if kernel.ndim != 4 or kernel.shape[2:] != (4, 4):
        raise UserError(
            f"synthesis.layer0.weight is {kernel.shape}, not of a 4x4 convolution"
        )
    turned = kernel[:, :, ::-1, ::-1].transpose(1, 2, 3, 0)
    return turned.reshape(len(turned), -1)
