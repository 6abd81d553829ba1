"""Converts networks of NVlabs/stylegan and ProGAN, read by `unpickle`, to ours.

Arguments by the tables of `official_arguments`, variables by those of
`official_variables`. What cannot be represented is refused by name; nothing is
guessed.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from stylegan_jax.errors import UserError
from stylegan_jax.interop import official_variables
from stylegan_jax.interop.bundle import (
    Bundle,
    TrainedDiscriminator,
    discriminator_shapes,
    generator_shapes,
    make_generator,
)
from stylegan_jax.interop.official_arguments import impossible, model_config
from stylegan_jax.interop.official_variables import Row
from stylegan_jax.interop.unpickle import (
    NotAStyleGANPickleError,
    PickledNetwork,
    read_networks,
)
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator
from stylegan_jax.pickles.pickle_machine import shown

Params = dict[str, Any]

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
        return _generator(network)


def load_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Loads every network of an official pickle.

    Raises:
        NotAStyleGANPickleError, OSError: as for `load_pickle`.
    """
    networks = read_networks(path)
    source, licence = os.path.basename(path), LICENCE
    with _naming(path):
        if "Gs" not in networks or "D" not in networks:
            only = _generator(next(iter(networks.values())))
            return Bundle(generator=only, source=source, licence=licence)
        d_config, d_params = discriminator_from_pickle(networks["D"])
        return Bundle(
            generator=_generator(networks["Gs"]),
            raw=_generator(networks["G"]),
            discriminator=TrainedDiscriminator(
                params=jax.tree.map(jnp.asarray, d_params), config=d_config
            ),
            source=source,
            licence=licence,
        )


def _generator(network: PickledNetwork) -> Generator:
    config, found = _generator_arrays(network)
    resolution, alpha = growth(network, config)
    return make_generator(found, config, resolution=resolution, alpha=alpha)


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts the file's name in front of what is wrong with it."""
    try:
        yield
    except NotAStyleGANPickleError as error:
        raise NotAStyleGANPickleError(f"{os.fspath(path)}: {error}") from None


def generator_from_pickle(
    network: PickledNetwork,
) -> tuple[ModelConfig, Params, np.ndarray | None, tuple[np.ndarray, ...]]:
    """Converts `G_style` or `G_paper`.

    Returns:
        The architecture; `{"mapping": ..., "synthesis": ...}`; the mean of w
        `[w_dim]`, None for ProGAN; the stored noise, `[1, R, R, 1]` per layer.

    Raises:
        NotAStyleGANPickleError: another kind of network, unsupported options, or
            variables that are missing, left over or of a wrong shape (all listed).
    """
    config, found = _generator_arrays(network)
    count = sum(path.startswith("noise/") for path in found)
    noise = tuple(found.pop(f"noise/{i}") for i in range(count))
    w_avg = found.pop("w_avg", None)
    params = {"mapping": {}, **traverse_util.unflatten_dict(found, sep="/")}
    return config, params, w_avg, noise


def _generator_arrays(
    network: PickledNetwork,
) -> tuple[ModelConfig, dict[str, np.ndarray]]:
    config = model_config(network)
    variables = _generator_variables(network)
    is_style = network.build_func_name == "G_style"
    try:
        shapes = generator_shapes(config, has_w_avg=is_style)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise impossible(network, error) from None
    rows = _generator_rows(network, config)
    return config, official_variables.match(variables, rows, shapes, config)


def discriminator_from_pickle(network: PickledNetwork) -> tuple[ModelConfig, Params]:
    """Converts `D_basic` or `D_paper` to its architecture and parameters.

    Only the fields of `ModelConfig` that a discriminator reads are meaningful.

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
    except (ArithmeticError, TypeError, ValueError) as error:
        raise impossible(network, error) from None
    rows = official_variables.DISCRIMINATOR
    found = official_variables.match(network.variables, rows, shapes, config)
    return config, traverse_util.unflatten_dict(found, sep="/")


def growth(network: PickledNetwork, config: ModelConfig) -> tuple[int, float | None]:
    """Where in progressive growing a network was saved.

    Returns:
        The active resolution, and how far it has faded in: None when it is stable.

    Raises:
        NotAStyleGANPickleError: its `lod` is not a level of detail.
    """
    value = network.variables.get("lod", np.float32(0))
    lod = float(value) if value.ndim == 0 else math.nan
    coarsest = math.log2(config.resolution) - 2
    if not 0 <= lod <= coarsest:
        raise NotAStyleGANPickleError(
            f"{shown(network.name)} has lod {lod:g}, not 0 to {coarsest:g}"
        )
    resolution = config.resolution >> math.floor(lod)
    return resolution, None if lod == math.floor(lod) else 1 - lod % 1


def _generator_variables(network: PickledNetwork) -> dict[str, np.ndarray]:
    """All variables, with the name of their component in front."""
    if network.build_func_name == "G_paper":
        return {f"synthesis/{key}": value for key, value in network.variables.items()}
    if network.build_func_name != "G_style":
        raise NotAStyleGANPickleError(
            f"{network.build_func_name} is not a generator (G_style or G_paper)"
        )
    variables = dict(network.variables)
    for name, component in network.components.items():
        for key, value in component.variables.items():
            variables[f"{name}/{key}"] = value
    return variables


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
