"""Loading of NVlabs/stylegan and ProGAN networks that `unpickle` read.

Whatever cannot be represented is rejected by name.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Literal

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.interop import foreign, official_variables
from stylegan_jax.interop.bundle import (
    Bundle,
    TrainedDiscriminator,
    discriminator_shapes,
    nested,
)
from stylegan_jax.interop.foreign import Row
from stylegan_jax.interop.official_arguments import impossible, model_config
from stylegan_jax.interop.unpickle import (
    NotAStyleGANPickleError,
    PickledNetwork,
    read_networks,
)
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator
from stylegan_jax.pickles.pickle_machine import shown

LICENCE = (
    "read from an official pickle: weights that NVIDIA published are licensed under "
    "CC BY-NC 4.0 (non-commercial, with attribution)"
)


def load_pickle(
    path: str | os.PathLike[str], which: Literal["G", "Gs"] = "Gs"
) -> Generator:
    """Generator of an official StyleGAN or ProGAN pickle, at the saved growth.

    `which` is "Gs", the moving average, or "G", the one under training; a file with a
    single network has only that one.

    Raises:
        NotAStyleGANPickleError: another, damaged, unsafe or unsupported file.
    """
    if which not in ("G", "Gs"):
        raise UserError(f'which is {which!r}; the generators are "G" and "Gs"')
    networks = read_networks(path)
    network = networks[which] if which in networks else next(iter(networks.values()))
    with _naming(path):
        return generator_from_pickle(network)


def load_bundle(path: str | os.PathLike[str]) -> Bundle:
    """All networks of an official pickle; raises as `load_pickle`."""
    networks = read_networks(path)
    raw = discriminator = None
    with _naming(path):
        if "Gs" not in networks or "D" not in networks:
            generator = generator_from_pickle(next(iter(networks.values())))
        else:
            discriminator = discriminator_from_pickle(networks["D"])
            generator = generator_from_pickle(networks["Gs"])
            raw = generator_from_pickle(networks["G"])
    return Bundle(
        generator=generator,
        raw=raw,
        discriminator=discriminator,
        source=os.path.basename(path),
        licence=LICENCE,
    )


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except NotAStyleGANPickleError as error:
        raise NotAStyleGANPickleError(f"{os.fspath(path)}: {error}") from None


def generator_from_pickle(network: PickledNetwork) -> Generator:
    """Generator of a `G_style` or `G_paper`, at the saved growth.

    Raises NotAStyleGANPickleError for unsupported options, or variables missing, left
    over or of a wrong shape (all listed).
    """
    config = model_config(network)
    if network.build_func_name not in ("G_style", "G_paper"):
        raise NotAStyleGANPickleError(
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
        raise NotAStyleGANPickleError(
            f"{shown(network.build_func_name)} is not a discriminator "
            "(D_basic or D_paper)"
        )
    config = model_config(network)
    try:
        shapes = discriminator_shapes(config)
    except foreign.IMPOSSIBLE as error:
        raise impossible(network, error) from None
    variables = _without_state(network.variables)
    rows = official_variables.DISCRIMINATOR
    found = foreign.match(variables, rows, shapes, config)
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
