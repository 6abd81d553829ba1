"""Loading of NVlabs/stylegan and ProGAN networks that `unpickle` read.

Whatever cannot be represented is rejected by name.

Source of names and shapes: `G_style`, `G_mapping`, `G_synthesis`, `D_basic` and
`G_paper`, `D_paper` in NVlabs/stylegan, `training/networks_stylegan.py` and
`networks_progan.py`.
"""

import dataclasses
import os

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.interop import foreign
from stylegan_jax.interop.bundle import (
    Bundle,
    TrainedDiscriminator,
    Which,
    discriminator_shapes,
    nested,
)
from stylegan_jax.interop.foreign import NCHW, Row
from stylegan_jax.interop.official_arguments import model_config
from stylegan_jax.interop.unpickle import PickledNetwork, read_networks
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator
from stylegan_jax.pickles.pickle_machine import reading, shown

LICENCE = (
    "read from an official pickle: weights that NVIDIA published are licensed under "
    "CC BY-NC 4.0 (non-commercial, with attribution)"
)

# --- Tables from official variables to our parameters -------------------------------

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

# --- Reading ------------------------------------------------------------------------


def load_bundle(path: str | os.PathLike[str], only: Which | None = None) -> Bundle:
    """All networks of an official StyleGAN or ProGAN pickle, or `only` one generator.

    Generators are as far grown as they were saved. Raises UserError for another,
    damaged, unsafe or unsupported file.
    """
    networks = read_networks(path)
    raw = discriminator = None
    with reading(path):
        if len(networks) == 1:
            (network,) = networks.values()
            generator = generator_from_pickle(network)
        else:
            generator = generator_from_pickle(networks["G" if only == "raw" else "Gs"])
        if len(networks) > 1 and only is None:
            raw = generator_from_pickle(networks["G"])
            discriminator = discriminator_from_pickle(networks["D"])
    return Bundle(
        generator=generator,
        raw=raw,
        discriminator=discriminator,
        source=os.path.basename(path),
        licence=LICENCE,
    )


def generator_from_pickle(network: PickledNetwork) -> Generator:
    """Generator of a `G_style` or `G_paper`, at the saved growth.

    Raises UserError for unsupported options, or variables missing, left
    over or of a wrong shape (all listed).
    """
    config = model_config(network)
    if network.build_func_name not in ("G_style", "G_paper"):
        raise UserError(
            f"{network.build_func_name} is not a generator (G_style or G_paper)"
        )
    is_style = network.build_func_name == "G_style"
    prefix = "" if is_style else "synthesis/"
    variables = {f"{prefix}{key}": value for key, value in network.variables.items()}
    for name, component in network.components.items() if is_style else ():
        variables |= {f"{name}/{key}": x for key, x in component.variables.items()}
    return foreign.generator(
        _without_state(variables),
        _generator_rows(network, config),
        config,
        lod=network.variables.get("lod", 0),
        has_w_avg=is_style,
    )


def discriminator_from_pickle(network: PickledNetwork) -> TrainedDiscriminator:
    """Discriminator of a `D_basic` or `D_paper`; raises as `generator_from_pickle`.

    Only the fields of its `config` that a discriminator reads are meaningful.
    """
    if not network.build_func_name.startswith("D_"):
        raise UserError(
            f"{shown(network.build_func_name)} is not a discriminator "
            "(D_basic or D_paper)"
        )
    config = model_config(network)
    found = foreign.match(
        _without_state(network.variables),
        DISCRIMINATOR,
        discriminator_shapes(config),
        config,
    )
    return TrainedDiscriminator(params=nested(found), config=config)


def _without_state(variables: foreign.Variables) -> dict[str, np.ndarray]:
    growth = ("lod", "synthesis/lod")
    return {name: x for name, x in variables.items() if name not in growth}


def _generator_rows(network: PickledNetwork, config: ModelConfig) -> tuple[Row, ...]:
    """Table of a generator: ProGAN's up-convolutions come in two layouts."""
    for coarse, fine in zip(config.resolutions, config.resolutions[1:], strict=False):
        layers = (config.channels(fine), config.channels(coarse))
        weight = network.variables.get(f"{fine}x{fine}/Conv0_up/weight")
        if weight is not None and layers[0] != layers[1] and weight.ndim == 4:
            if weight.shape[2:] == layers:
                return GENERATOR_OUT_IN
            return GENERATOR
    # Square kernels are ambiguous: the version of the writer decides.
    if network.class_path.startswith("tfutil"):
        return GENERATOR_OUT_IN
    return GENERATOR
