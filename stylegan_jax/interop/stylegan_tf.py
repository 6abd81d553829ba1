"""Loading of NVlabs/stylegan and ProGAN networks that `unpickle` read.

Whatever cannot be represented is rejected by name.
"""

import os

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.interop import foreign, official_variables
from stylegan_jax.interop.bundle import (
    Bundle,
    TrainedDiscriminator,
    Which,
    discriminator_shapes,
    nested,
)
from stylegan_jax.interop.foreign import Row
from stylegan_jax.interop.official_arguments import model_config
from stylegan_jax.interop.unpickle import PickledNetwork, read_networks
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator
from stylegan_jax.pickles.pickle_machine import reading, shown

LICENCE = (
    "read from an official pickle: weights that NVIDIA published are licensed under "
    "CC BY-NC 4.0 (non-commercial, with attribution)"
)


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
        official_variables.DISCRIMINATOR,
        discriminator_shapes(config),
        config,
    )
    return TrainedDiscriminator(params=nested(found), config=config)


def _without_state(variables: foreign.Variables) -> dict[str, np.ndarray]:
    state = official_variables.STATE
    return {name: x for name, x in variables.items() if name not in state}


def _generator_rows(network: PickledNetwork, config: ModelConfig) -> tuple[Row, ...]:
    """Table of a generator: ProGAN's up-convolutions come in two layouts."""
    for coarse, fine in zip(config.resolutions, config.resolutions[1:], strict=False):
        layers = (config.channels(fine), config.channels(coarse))
        weight = network.variables.get(f"{fine}x{fine}/Conv0_up/weight")
        if weight is not None and layers[0] != layers[1] and weight.ndim == 4:
            if weight.shape[2:] == layers:
                return official_variables.GENERATOR_OUT_IN
            return official_variables.GENERATOR
    # Square kernels are ambiguous: the version of the writer decides.
    if network.class_path.startswith("tfutil"):
        return official_variables.GENERATOR_OUT_IN
    return official_variables.GENERATOR
