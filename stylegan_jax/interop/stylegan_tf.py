"""Networks of NVlabs/stylegan and ProGAN, read by `unpickle`, as ours.

Arguments by the tables of `official_arguments`, variables by those of
`official_variables`. What cannot be represented is refused by name; nothing is
guessed.
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
    """Loads the generator of an official pickle.

    Args:
        path: a StyleGAN or ProGAN pickle.
        which: "Gs", the averaged generator that one normally uses, or "G", the one
            under training. A file with a single network has only that one.

    Returns:
        The generator, at the resolution and fade-in at which it was saved.

    Raises:
        NotAStyleGANPickleError: the file is not such a pickle, is damaged or hostile,
            or its network has options that are not supported.
        UserError: another `which`.
        OSError: the file cannot be opened.
    """
    if which not in ("G", "Gs"):
        raise UserError(f'which is {which!r}; the generators are "G" and "Gs"')
    networks = read_networks(path)
    network = networks[which] if which in networks else next(iter(networks.values()))
    with _naming(path):
        return generator_from_pickle(network)


def load_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Loads every network of an official pickle; raises as `load_pickle`."""
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
    """Puts the file's name in front of what is wrong with it."""
    try:
        yield
    except NotAStyleGANPickleError as error:
        raise NotAStyleGANPickleError(f"{os.fspath(path)}: {error}") from None


def generator_from_pickle(network: PickledNetwork) -> Generator:
    """Converts `G_style` or `G_paper`, at the growth at which it was saved.

    Raises:
        NotAStyleGANPickleError: another kind of network, unsupported options, or
            variables that are missing, left over or of a wrong shape (all listed).
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
    """Converts `D_basic` or `D_paper`.

    Only the fields of its `config` that a discriminator reads are meaningful.

    Raises:
        NotAStyleGANPickleError: as for `generator_from_pickle`.
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
    """The table for a generator: ProGAN's up-convolutions come in two layouts."""
    for coarse, fine in zip(config.resolutions, config.resolutions[1:], strict=False):
        layers = (config.channels(fine), config.channels(coarse))
        weight = network.variables.get(f"{fine}x{fine}/Conv0_up/weight")
        if weight is not None and layers[0] != layers[1] and weight.ndim == 4:
            if weight.shape[2:] == layers:
                return official_variables.GENERATOR_OUT_IN
            return official_variables.GENERATOR
    # All square: only the code that wrote the file tells.
    if network.class_path.startswith("tfutil"):
        return official_variables.GENERATOR_OUT_IN
    return official_variables.GENERATOR
