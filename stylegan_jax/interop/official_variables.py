"""Tables from official variables to our parameters, by network.

Source of names and shapes: `G_style`, `G_mapping`, `G_synthesis`, `D_basic` and
`G_paper`, `D_paper` in NVlabs/stylegan, `training/networks_stylegan.py` and
`networks_progan.py`.
"""

import dataclasses

from stylegan_jax.interop.foreign import NCHW, Row

_UNFUSED = "{R}x{R}/Conv0"  # in a ProGAN without fused_scale
_LAYERS = {
    "4x4/Const": "block4/const",
    "4x4/Dense": "block4/dense",
    "4x4/Conv": "block4/conv",
    "{R}x{R}/Conv0_up": "block{R}/conv0",
    _UNFUSED: "block{R}/conv0",
    "{R}x{R}/Conv1": "block{R}/conv1",
}
_PARTS = {
    "weight": "weight",
    "Noise/weight": "noise_weight",
    "bias": "bias",
    "StyleMod/weight": "style/weight",
    "StyleMod/bias": "style/bias",
}

# The component's name prefixes its variables.
GENERATOR = (
    Row("dlatent_avg", "w_avg"),
    Row("mapping/LabelConcat/weight", "mapping/label_concat/weight"),
    Row("mapping/Dense{i}/weight", "mapping/dense{i}/weight"),
    Row("mapping/Dense{i}/bias", "mapping/dense{i}/bias"),
    Row("synthesis/noise{i}", "noise/{i}", axes=NCHW),
    Row("synthesis/4x4/Const/const", "synthesis/block4/const/const", axes=NCHW),
    *(
        Row(
            f"synthesis/{layer}/{part}",
            f"synthesis/{module}/{name}",
            chw_axis=1 if (layer, part) == ("4x4/Dense", "weight") else None,
            unfused=layer == _UNFUSED,
        )
        for layer, module in _LAYERS.items()
        for part, name in _PARTS.items()
    ),
    Row("synthesis/ToRGB_lod{lod}/weight", "synthesis/to_rgb{R}/weight"),
    Row("synthesis/ToRGB_lod{lod}/bias", "synthesis/to_rgb{R}/bias"),
)

# tkarras/progressive_growing_of_gans keeps up-convolutions as [3, 3, out, in].
_UP_WEIGHT = "synthesis/{R}x{R}/Conv0_up/weight"
GENERATOR_OUT_IN = tuple(
    dataclasses.replace(row, axes=(0, 1, 3, 2)) if row.theirs == _UP_WEIGHT else row
    for row in GENERATOR
)

DISCRIMINATOR = tuple(
    Row(
        f"{layer}/{part}",
        f"{module}/{part}",
        chw_axis=0 if (layer, part) == ("4x4/Dense0", "weight") else None,
        unfused=layer == "{R}x{R}/Conv1",
    )
    for layer, module in {
        "FromRGB_lod{lod}": "from_rgb{R}",
        "{R}x{R}/Conv0": "block{R}/conv0",
        "{R}x{R}/Conv1_down": "block{R}/conv1",
        "{R}x{R}/Conv1": "block{R}/conv1",  # ProGAN without fused_scale
        "4x4/Conv": "block4/conv",
        "4x4/Dense0": "block4/dense0",
        "4x4/Dense1": "block4/dense1",
    }.items()
    for part in ("weight", "bias")
)

# Level of detail: the network's growth.
STATE = frozenset({"lod", "synthesis/lod"})
