"""Converts networks of NVlabs/stylegan and ProGAN, read by `unpickle`, to ours.

Arguments by the tables here, variables by those of `official_variables`. What cannot
be represented is refused by name; nothing is guessed.

Source of arguments and defaults: `G_style`, `G_mapping`, `G_synthesis`, `D_basic` and
`G_paper`, `D_paper` in NVlabs/stylegan, `training/networks_stylegan.py` and
`networks_progan.py`.
"""

import math
import os
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from stylegan_jax.interop import official_variables
from stylegan_jax.interop.official_variables import Row
from stylegan_jax.interop.pickle_machine import shown
from stylegan_jax.interop.unpickle import (
    NotAStyleGANPickleError,
    PickledNetwork,
    read_networks,
)
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator, init_generator

Params = dict[str, Any]

# Official argument: (our field, official default). Absent arguments had the default.
_SHARED = {
    "label_size": ("label_size", 0),
    "fmap_base": ("channel_base", 8192),
    "fmap_decay": ("channel_decay", 1.0),
    "fmap_max": ("channel_max", 512),
}
_FIELDS: dict[str, dict[str, tuple[str, Any]]] = {
    "G_style": {
        **_SHARED,
        "num_channels": ("num_channels", 3),
        "resolution": ("resolution", 1024),
        "latent_size": ("z_dim", 512),
        "dlatent_size": ("w_dim", 512),
        "mapping_layers": ("mapping_layers", 8),
        "mapping_fmaps": ("mapping_width", 512),
        "mapping_lrmul": ("mapping_lr_multiplier", 0.01),
        "normalize_latents": ("normalize_z", True),
        "use_styles": ("use_styles", True),
        "const_input_layer": ("const_input", True),
        "use_noise": ("use_noise", True),
        "use_pixel_norm": ("use_pixel_norm", False),
        "use_instance_norm": ("use_instance_norm", True),
        "fused_scale": ("fused_from", "auto"),
        "blur_filter": ("blur", [1, 2, 1]),
    },
    "D_basic": {
        **_SHARED,
        "num_channels": ("num_channels", 1),
        "resolution": ("resolution", 32),
        "mbstd_group_size": ("mbstd_group_size", 4),
        "mbstd_num_features": ("mbstd_num_features", 1),
        "fused_scale": ("fused_from", "auto"),
        "blur_filter": ("blur", [1, 2, 1]),
    },
    "G_paper": {
        **_SHARED,
        "num_channels": ("num_channels", 1),
        "resolution": ("resolution", 32),
        "latent_size": ("z_dim", None),
        "normalize_latents": ("normalize_z", True),
        "use_pixelnorm": ("use_pixel_norm", True),
        "fused_scale": ("fused_from", True),
    },
    "D_paper": {
        **_SHARED,
        "num_channels": ("num_channels", 1),
        "resolution": ("resolution", 32),
        "mbstd_group_size": ("mbstd_group_size", 4),
        "fused_scale": ("fused_from", True),
    },
}
# What the functions are in our terms, whatever their arguments.
_FIXED: dict[str, dict[str, Any]] = {
    "G_style": {},
    "D_basic": {},
    "G_paper": {
        "embed_labels": False,
        "blur": False,
        "mapping_layers": 0,
        "use_styles": False,
        "const_input": False,
        "use_noise": False,
        "use_instance_norm": False,
    },
    "D_paper": {"embed_labels": False, "blur": False},
}
# Arguments that must have the value the networks here are built for.
_REQUIRED = {
    "nonlinearity": "lrelu",
    "mapping_nonlinearity": "lrelu",
    "use_wscale": True,
    "use_leakyrelu": True,
    "pixelnorm_epsilon": 1e-8,
}
# Arguments that change how the function is computed, what happens in training, or
# truncation, which callers choose here.
_IGNORED = frozenset(
    {
        "dlatent_avg_beta",
        "dlatent_broadcast",
        "dtype",
        "force_clean_graph",
        "is_template_graph",
        "is_training",
        "is_validation",
        "randomize_noise",
        "structure",
        "style_mixing_prob",
        "truncation_cutoff",
        "truncation_cutoff_val",
        "truncation_psi",
        "truncation_psi_val",
    }
)
_FUSED_FROM = {"auto": 128, True: 8, False: 2048}
_MAX_SIZE = 1 << 16  # of any number among the arguments; nothing real comes near
_MAX_MAPPING_LAYERS = 64


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
        ValueError: another `which`.
        OSError: the file cannot be opened.
    """
    if which not in ("G", "Gs"):
        raise ValueError(f'which is {which!r}; the generators are "G" and "Gs"')
    networks = read_networks(path)
    network = networks[which] if which in networks else next(iter(networks.values()))
    try:
        config, params, w_avg, noise = generator_from_pickle(network)
        resolution, alpha = growth(network, config)
    except NotAStyleGANPickleError as error:
        raise NotAStyleGANPickleError(f"{os.fspath(path)}: {error}") from None
    return Generator(
        params=jax.tree.map(jnp.asarray, params),
        w_avg=None if w_avg is None else jnp.asarray(w_avg),
        noise=tuple(jnp.asarray(image) for image in noise),
        alpha=None if alpha is None else jnp.asarray(alpha, jnp.float32),
        config=config,
        resolution=resolution,
    )


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
    config = model_config(network)
    variables = _generator_variables(network)
    try:
        ours = jax.eval_shape(lambda: init_generator(jax.random.key(0), config))
    except (ArithmeticError, TypeError, ValueError) as error:
        raise _impossible(network, error) from None
    shapes = _shapes(ours.params)
    shapes |= {f"noise/{i}": leaf.shape for i, leaf in enumerate(ours.noise)}
    if network.build_func_name == "G_style":
        shapes["w_avg"] = (config.w_dim,)
    rows = _generator_rows(network, config)
    found = official_variables.match(variables, rows, shapes, config)
    noise = tuple(found.pop(f"noise/{i}") for i in range(len(ours.noise)))
    w_avg = found.pop("w_avg", None)
    params = {"mapping": {}, **traverse_util.unflatten_dict(found, sep="/")}
    return config, params, w_avg, noise


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
    images = (1, config.resolution, config.resolution, config.num_channels)
    try:
        ours = jax.eval_shape(
            lambda: Discriminator(config).init(
                jax.random.key(0), jnp.zeros(images), jnp.zeros((1, config.label_size))
            )
        )
    except (ArithmeticError, TypeError, ValueError) as error:
        raise _impossible(network, error) from None
    rows, shapes = official_variables.DISCRIMINATOR, _shapes(ours["params"])
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


def model_config(network: PickledNetwork) -> ModelConfig:
    """The architecture that a network's arguments describe.

    Raises:
        NotAStyleGANPickleError: the network is of another family, or has arguments
            that are unknown, unsupported or senseless (all named).
    """
    kind = network.build_func_name
    if kind not in _FIELDS:
        raise NotAStyleGANPickleError(
            f"the network {shown(network.name)} was built by {shown(kind)}"
            + (", which is StyleGAN2" if kind.startswith(("G_main", "D_style")) else "")
            + f"; supported are {', '.join(_FIELDS)}"
        )
    kwargs = _arguments(network)
    bad = [f"{key} (unknown)" for key in _unknown(kind, kwargs)]
    for key, wanted in _REQUIRED.items():
        if kwargs.get(key, wanted) != wanted:
            bad.append(f"{key}={shown(kwargs[key])} (only {wanted!r} is supported)")
    if kwargs.get("structure") == "fixed":
        bad.append("structure='fixed' (it lacks the lower ToRGB and FromRGB layers)")
    values: dict[str, Any] = {}
    for key, (field, default) in _FIELDS[kind].items():
        try:
            values[field] = _value(key, kwargs.get(key, default), default)
        except NotAStyleGANPickleError as error:
            bad.append(str(error))
    if bad:
        raise NotAStyleGANPickleError(
            f"{kind} {shown(network.name)} has arguments that are not supported: "
            + "; ".join(bad[: official_variables.MAX_LISTED])
        )
    values |= _FIXED[kind]
    try:
        if kind == "G_paper":
            values |= _progan_sizes(values)
        return ModelConfig(**values)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise _impossible(network, error) from None


def _shapes(params: Any) -> dict[str, tuple[int, ...]]:
    flat: dict[str, Any] = traverse_util.flatten_dict(params, sep="/")
    return {path: leaf.shape for path, leaf in flat.items()}


def _impossible(network: PickledNetwork, error: Exception) -> NotAStyleGANPickleError:
    return NotAStyleGANPickleError(
        f"the arguments of {shown(network.name)} describe no possible network: {error}"
    )


def _arguments(network: PickledNetwork) -> dict[str, Any]:
    """All arguments given; what the outer network got it hands to its components."""
    kwargs: dict[str, Any] = {}
    for component in network.components.values():
        kwargs |= component.static_kwargs
    return kwargs | network.static_kwargs


def _unknown(kind: str, kwargs: Mapping[str, Any]) -> list[str]:
    known = _FIELDS[kind].keys() | _REQUIRED.keys() | _IGNORED
    return [shown(key) for key in sorted(kwargs.keys() - known)]


def _value(key: str, value: Any, default: Any) -> Any:
    """One argument as the value of our field; raises where there is none."""
    if key == "blur_filter":
        if value is None or (isinstance(value, list | tuple) and len(value) == 0):
            return False
        if isinstance(value, list | tuple) and list(value) == [1, 2, 1]:
            return True
    elif key == "fused_scale":
        if isinstance(value, bool) or value == "auto":
            return _FUSED_FROM[value]
    elif key == "latent_size" and value is None and default is None:
        return None
    elif isinstance(default, bool):
        if isinstance(value, bool):
            return value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        limit = _MAX_MAPPING_LAYERS if key == "mapping_layers" else _MAX_SIZE
        if 0 <= value <= limit and (isinstance(default, float) or value % 1 == 0):
            value = float(value) if isinstance(default, float) else int(value)
            return 2 * value if key == "fmap_base" else value
    raise NotAStyleGANPickleError(f"{key}={shown(value)}")


def _progan_sizes(values: dict[str, Any]) -> dict[str, int]:
    """Sizes of z and of "w", which is z with the labels and feeds the first layer."""
    z_dim = values["z_dim"]
    if z_dim is None:
        sizes = ("resolution", "channel_base", "channel_max", "channel_decay")
        z_dim = ModelConfig(**{key: values[key] for key in sizes}).channels(2)
    return {"z_dim": z_dim, "w_dim": z_dim + values["label_size"]}


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
