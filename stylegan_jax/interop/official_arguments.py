"""Conversion between arguments of official networks and `ModelConfig`.

Whatever has no equivalent is rejected by name.

Source of arguments and defaults: `G_style`, `G_mapping`, `G_synthesis`, `D_basic` and
`G_paper`, `D_paper` in NVlabs/stylegan, `training/networks_stylegan.py` and
`networks_progan.py`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from stylegan_jax.errors import UserError
from stylegan_jax.interop.bundle import MAX_LISTED
from stylegan_jax.interop.unpickle import PickledNetwork
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.pickles.pickle_machine import shown

# Our field of an official argument, where named differently.
_FIELD = {
    "fmap_base": "channel_base",
    "fmap_decay": "channel_decay",
    "fmap_max": "channel_max",
    "latent_size": "z_dim",
    "dlatent_size": "w_dim",
    "mapping_fmaps": "mapping_width",
    "mapping_lrmul": "mapping_lr_multiplier",
    "normalize_latents": "normalize_z",
    "const_input_layer": "const_input",
    "use_pixelnorm": "use_pixel_norm",
    "fused_scale": "fused_from",
    "blur_filter": "blur",
}
# Official defaults of absent arguments, by function.
_CHANNELS = {"label_size": 0, "fmap_base": 8192, "fmap_decay": 1.0, "fmap_max": 512}
_SMALL = {**_CHANNELS, "num_channels": 1, "resolution": 32}
_RESAMPLED: dict[str, Any] = {"fused_scale": "auto", "blur_filter": [1, 2, 1]}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "G_style": {
        **_CHANNELS,
        **_RESAMPLED,
        "num_channels": 3,
        "resolution": 1024,
        **dict.fromkeys(("latent_size", "dlatent_size", "mapping_fmaps"), 512),
        "mapping_layers": 8,
        "mapping_lrmul": 0.01,
        **dict.fromkeys(("normalize_latents", "use_styles", "use_noise"), True),
        **dict.fromkeys(("const_input_layer", "use_instance_norm"), True),
        "use_pixel_norm": False,
    },
    "D_basic": {**_SMALL, **_RESAMPLED, "mbstd_group_size": 4, "mbstd_num_features": 1},
    "G_paper": {
        **_SMALL,
        "latent_size": None,
        "normalize_latents": True,
        "use_pixelnorm": True,
        "fused_scale": True,
    },
    "D_paper": {**_SMALL, "mbstd_group_size": 4, "fused_scale": True},
}
# Our fields implied by the function, whatever its arguments.
_FIXED: dict[str, dict[str, Any]] = {
    "G_paper": {
        "mapping_layers": 0,
        **dict.fromkeys(("embed_labels", "blur", "use_styles"), False),
        **dict.fromkeys(("const_input", "use_noise", "use_instance_norm"), False),
    },
    "D_paper": {"embed_labels": False, "blur": False},
}
# Arguments supported with one value only.
_REQUIRED = {
    "nonlinearity": "lrelu",
    "mapping_nonlinearity": "lrelu",
    "use_wscale": True,
    "use_leakyrelu": True,
    "pixelnorm_epsilon": 1e-8,
}
# Ignored arguments: how to compute, training, and truncation, which callers choose.
_IGNORED = {"dlatent_avg_beta", "dlatent_broadcast", "dtype", "force_clean_graph"}
_IGNORED |= {"is_template_graph", "is_training", "is_validation", "randomize_noise"}
_IGNORED |= {"structure", "style_mixing_prob", "truncation_cutoff", "truncation_psi"}
_IGNORED |= {"truncation_cutoff_val", "truncation_psi_val"}
_FUSED_FROM = {"auto": 128, True: 8, False: 2048}
_DISCRIMINATOR_FIELDS = ["resolution", "num_channels", "label_size", "embed_labels"]
_DISCRIMINATOR_FIELDS += ["channel_base", "channel_max", "channel_decay", "blur"]
_DISCRIMINATOR_FIELDS += ["mbstd_group_size", "mbstd_num_features"]
_MAX_SIZE = 1 << 16  # of any number among the arguments; nothing real comes near
_MAX_MAPPING_LAYERS = 64


def model_config(network: PickledNetwork) -> ModelConfig:
    """Architecture described by a network's arguments.

    Raises UserError for unsupported networks or arguments (all named).
    """
    kind = network.build_func_name
    if kind not in _DEFAULTS:
        raise UserError(
            f"the network {shown(network.name)} was built by {shown(kind)}"
            + (", which is StyleGAN2" if kind.startswith(("G_main", "D_style")) else "")
            + f"; supported are {', '.join(_DEFAULTS)}"
        )
    # The outer network passes its arguments to its components.
    kwargs: dict[str, Any] = {}
    for part in (*network.components.values(), network):
        kwargs |= part.static_kwargs
    known = _DEFAULTS[kind].keys() | _REQUIRED.keys() | _IGNORED
    bad = [f"{shown(key)} (unknown)" for key in sorted(kwargs.keys() - known)]
    for key, wanted in _REQUIRED.items():
        if kwargs.get(key, wanted) != wanted:
            bad.append(f"{key}={shown(kwargs[key])} (only {wanted!r} is supported)")
    if kwargs.get("structure") == "fixed":
        bad.append("structure='fixed' (it lacks the lower ToRGB and FromRGB layers)")
    values: dict[str, Any] = {}
    for key, default in _DEFAULTS[kind].items():
        try:
            found = _value(key, kwargs.get(key, default), default)
            values[_FIELD.get(key, key)] = found
        except UserError as error:
            bad.append(str(error))
    if bad:
        raise UserError(
            f"{kind} {shown(network.name)} has arguments that are not supported: "
            + "; ".join(bad[:MAX_LISTED])
        )
    values |= _FIXED.get(kind, {})
    try:
        if kind == "G_paper":
            values |= _progan_sizes(values)
        return ModelConfig(**values)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise UserError(
            f"the arguments of {shown(network.name)} describe no possible network: "
            f"{error}"
        ) from None


def official_kwargs(config: ModelConfig, kind: str) -> dict[str, Any]:
    """Arguments, where not default, of an official network of this architecture.

    `kind` is "G_style", "D_basic", "G_paper" or "D_paper". `dtype`, `remat` and fields
    that such a network does not read are ignored. Raises UserError that names fields
    without an equivalent.
    """
    if config.mlp_layers:
        raise UserError(
            "multi-layer perceptrons are no official networks; convert to "
            ".safetensors instead"
        )
    kwargs = {
        key: value
        for key, default in _DEFAULTS[kind].items()
        if (value := _official_value(key, config, default)) != default
    }
    found = model_config(
        PickledNetwork(name=kind, build_func_name=kind, static_kwargs=kwargs)
    )
    ours, theirs = _read_by(kind, config), _read_by(kind, found)
    wrong = [
        f"model.{field}={getattr(config, field)!r}"
        for field in ours
        if ours[field] != theirs.get(field)
    ]
    if wrong:
        raise UserError(
            f"{kind}, the official network, has no arguments for {', '.join(wrong)}; "
            "convert to .safetensors instead"
        )
    return kwargs


def is_unfused(kind: str, kwargs: Mapping[str, Any]) -> bool:
    """Whether resampling layers have the names of `fused_scale=False`."""
    return kind.endswith("_paper") and kwargs.get("fused_scale") is False


def _official_value(key: str, config: ModelConfig, default: Any) -> Any:
    value = getattr(config, _FIELD.get(key, key))
    if key == "blur_filter":
        return [1, 2, 1] if value else None
    if key == "fmap_base":
        return value // 2
    if key == "fused_scale":
        for choice in (default, True, False):
            if _flipped(config, _FUSED_FROM[choice]) == _flipped(config, value):
                return choice
        return default
    return value


def _flipped(config: ModelConfig, fused_from: int) -> list[bool]:
    return [resolution >= fused_from for resolution in config.resolutions[1:]]


def _read_by(kind: str, config: ModelConfig) -> dict[str, Any]:
    fields = dataclasses.asdict(config)
    for field in ("dtype", "remat"):
        del fields[field]
    if kind.startswith("D_"):
        fields = {field: fields[field] for field in _DISCRIMINATOR_FIELDS}
        idle = ["mbstd_num_features"] if config.mbstd_group_size <= 1 else []
    else:
        fields["fused_from"] = _flipped(config, config.fused_from)
        idle = ["mbstd_group_size", "mbstd_num_features"]
        if config.mapping_layers <= 1:
            idle.append("mapping_width")
        if config.mapping_layers == 0:
            idle.append("mapping_lr_multiplier")
    if not config.label_size:
        idle.append("embed_labels")
    return {field: value for field, value in fields.items() if field not in idle}


def _value(key: str, value: Any, default: Any) -> Any:
    """Our value of an official argument; UserError if it is not supported."""
    if key == "blur_filter" and value in (None, [], ()):
        return False
    if key == "blur_filter" and value in ([1, 2, 1], (1, 2, 1)):
        return True
    if key == "fused_scale" and (isinstance(value, bool) or value == default):
        return _FUSED_FROM[value]
    if value is None and default is None:  # latent_size
        return None
    if isinstance(value, bool) and isinstance(default, bool):
        return value
    number = type(default) in (int, float, type(None))
    if number and isinstance(value, int | float) and not isinstance(value, bool):
        limit = _MAX_MAPPING_LAYERS if key == "mapping_layers" else _MAX_SIZE
        if 0 <= value <= limit and (isinstance(default, float) or value % 1 == 0):
            value = float(value) if isinstance(default, float) else int(value)
            return 2 * value if key == "fmap_base" else value
    raise UserError(f"{key}={shown(value)}")


def _progan_sizes(values: dict[str, Any]) -> dict[str, int]:
    """Sizes of z and "w", which is z with the labels."""
    z_dim = values["z_dim"]
    if z_dim is None:
        sizes = ("resolution", "channel_base", "channel_max", "channel_decay")
        z_dim = ModelConfig(**{key: values[key] for key in sizes}).channels(2)
    return {"z_dim": z_dim, "w_dim": z_dim + values["label_size"]}
