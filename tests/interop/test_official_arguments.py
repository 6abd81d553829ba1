"""Official arguments as our architecture, and the other way."""

import dataclasses
import math
from typing import Any

import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.interop.official_arguments import (
    is_unfused,
    model_config,
    official_kwargs,
)
from stylegan_jax.interop.stylegan_tf import generator_from_pickle
from stylegan_jax.networks.config import ModelConfig
from tests.interop.official import network

PROGAN: dict[str, Any] = {
    "mapping_layers": 0,
    "embed_labels": False,
    "blur": False,
    "use_styles": False,
    "const_input": False,
    "use_noise": False,
    "use_instance_norm": False,
    "use_pixel_norm": True,
    "fused_from": 8,
}
SMALL = {"resolution": 32, "num_channels": 1}
LARGE = {"resolution": 1024, "num_channels": 3}


def config_of(kind, **kwargs):
    return model_config(network(kind, **kwargs))


@pytest.mark.parametrize(
    ("kind", "kwargs", "fields"),
    [
        # Absent arguments have the official defaults of their function.
        ("G_style", {}, {}),
        ("D_basic", {}, SMALL),
        ("D_paper", {}, SMALL | {"embed_labels": False, "blur": False,
         "fused_from": 8},),
        ("G_style", SMALL | {"resolution": 256}, SMALL | {"resolution": 256}),
        ("G_style", {"fmap_base": 1024}, {"channel_base": 2048}),
        ("G_style", {"fmap_max": 32}, {"channel_max": 32}),
        ("G_style", {"fmap_decay": 0.5}, {"channel_decay": 0.5}),
        ("G_style", {"latent_size": 64}, {"z_dim": 64}),
        ("G_style", {"dlatent_size": 32}, {"w_dim": 32}),
        ("G_style", {"mapping_fmaps": 8}, {"mapping_width": 8}),
        ("G_style", {"mapping_lrmul": 1}, {"mapping_lr_multiplier": 1.0}),
        ("G_style", {"mapping_layers": 0}, {"mapping_layers": 0}),
        ("G_style", {"normalize_latents": False}, {"normalize_z": False}),
        ("G_style", {"use_styles": False}, {"use_styles": False}),
        ("G_style", {"use_noise": False}, {"use_noise": False}),
        ("G_style", {"use_pixel_norm": True}, {"use_pixel_norm": True}),
        ("G_style", {"use_instance_norm": False}, {"use_instance_norm": False}),
        ("G_style", {"const_input_layer": False}, {"const_input": False}),
        ("G_style", {"fused_scale": "auto"}, {"fused_from": 128}),
        ("G_style", {"fused_scale": True}, {"fused_from": 8}),
        ("G_style", {"fused_scale": False}, {"fused_from": 2048}),
        ("G_style", {"blur_filter": None}, {"blur": False}),
        ("G_style", {"blur_filter": (1, 2, 1)}, {}),
        ("G_style", {"label_size": 7}, {"label_size": 7}),
        # latent_size=None is nf(0), the feature maps at 2 pixels; "w" is z and labels.
        ("G_paper", {"fmap_base": 64},
         SMALL | PROGAN | {"channel_base": 128} | dict.fromkeys(["z_dim", "w_dim"],
         64),),
        ("G_paper", {"fmap_max": 128, "label_size": 3},
         SMALL | PROGAN | {"channel_max": 128, "label_size": 3, "z_dim": 128,
         "w_dim": 131},),
        # What does not matter here is ignored.
        ("G_style", {"dtype": "float16", "structure": "recursive",
         "randomize_noise": False}, {},),
        ("G_style", {"truncation_psi": 0.5, "truncation_cutoff": None,
         "is_validation": True}, {},),
        ("G_style", {"style_mixing_prob": 0.0, "dlatent_avg_beta": 0.9,
         "use_wscale": True}, {},),
        ("G_style", {"nonlinearity": "lrelu"}, {}),
    ],
)  # fmt: skip
def test_arguments_reach_their_fields_and_no_others(kind, kwargs, fields):
    assert config_of(kind, **kwargs) == dataclasses.replace(ModelConfig(), **fields)


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("G_style", {"nonlinearity": "relu"}),
        ("G_style", {"mapping_nonlinearity": "relu"}),
        ("G_style", {"use_wscale": False}),
        ("G_style", {"blur_filter": [1, 3, 3, 1]}),
        ("G_style", {"fused_scale": "always"}),
        ("G_style", {"structure": "fixed"}),
        ("G_style", {"architecture": "skip"}),
        ("G_style", {"mbstd_group_size": 4}),
        ("G_paper", {"pixelnorm_epsilon": 1e-4}),
        ("G_paper", {"use_leakyrelu": False}),
        ("D_basic", {"latent_size": 512}),
        # Values no network has; they must not be computed with.
        ("G_style", {"resolution": 10**9}),
        ("G_style", {"resolution": 48.5}),
        ("G_style", {"mapping_layers": 10**9}),
        ("G_style", {"fmap_decay": math.nan}),
        ("G_style", {"fmap_base": math.inf}),
        ("G_style", {"fmap_max": -1}),
        ("G_style", {"fmap_max": True}),
        ("G_style", {"fmap_max": "512"}),
        ("G_style", {"use_noise": 1}),
        ("G_style", {"latent_size": None}),
        ("G_style", {"label_size": [5]}),
    ],
)
def test_an_argument_that_is_not_supported_is_named(kind, kwargs):
    with pytest.raises(UserError, match=next(iter(kwargs))):
        config_of(kind, **kwargs)


def test_all_unsupported_arguments_are_listed_at_once():
    with pytest.raises(UserError) as caught:
        config_of("G_style", nonlinearity="relu", skip=True, blur_filter=[1, 1])
    for words in ("nonlinearity=relu", "skip (unknown)", "blur_filter=[1, 1]"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    "kwargs", [{"resolution": 4}, {"resolution": 48}, {"fmap_base": 1}, {"fmap_max": 0}]
)
def test_arguments_of_no_possible_network_are_refused(kwargs):
    with pytest.raises(UserError, match="no possible network"):
        generator_from_pickle(network("G_style", **kwargs))


@pytest.mark.parametrize("kind", ["G_main", "D_stylegan2", "inception_v3_features"])
def test_other_networks_are_refused_by_the_name_of_their_function(kind):
    with pytest.raises(UserError, match=kind) as caught:
        config_of(kind)
    assert ("which is StyleGAN2" in str(caught.value)) == (kind[0] in "GD")


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("G_style", {}, {}),
        ("G_style", {"dtype": "bfloat16", "remat": True, "mbstd_group_size": 0}, {}),
        ("G_style", {"channel_base": 4096, "blur": False}, {"fmap_base": 2048,
         "blur_filter": None},),
        ("G_style", {"fused_from": 8}, {"fused_scale": True}),
        ("G_style", {"fused_from": 2048}, {"fused_scale": False}),
        # Below 128 px nothing is fused with "auto": the same network.
        ("G_style", {"fused_from": 100, "resolution": 64}, {"resolution": 64}),
        ("G_style", {"fused_from": 100}, {}),  # 128 px and up, as with "auto"
        ("D_basic", {}, LARGE),
        ("D_basic", {"z_dim": 3, **SMALL}, {}),
        ("D_basic", {"fused_from": 64}, LARGE),
        ("G_paper", PROGAN, {**LARGE, "latent_size": 512}),
        ("D_paper", {**PROGAN, "fused_from": 2048, "resolution": 32},
         {"num_channels": 3, "fused_scale": False},),
    ],
)  # fmt: skip
def test_only_what_differs_from_the_official_defaults_is_said(kind, changes, expected):
    found = official_kwargs(dataclasses.replace(ModelConfig(), **changes), kind)
    assert found == expected
    unfused = kind.endswith("paper") and changes["fused_from"] > 1024
    assert is_unfused(kind, found) == unfused


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("G_style", {"fused_from": 64}, r"G_style, .*model\.fused_from=64; convert to"),
        ("G_style", {"label_size": 3, "embed_labels": False},
         r"no arguments for model\.embed_labels=False; convert",),
        ("G_style", {"channel_base": 16385}, r"model\.channel_base=16385"),
        ("G_style", {"z_dim": 1 << 20}, "latent_size=1048576"),
        ("G_paper", {}, r"model\.mapping_layers=8.*model\.use_styles=True"),
        ("G_paper", {**PROGAN, "fused_from": 64}, r"model\.fused_from=64"),
        ("D_paper", {**PROGAN, "mbstd_num_features": 2}, r"mbstd_num_features=2"),
        ("D_paper", {}, r"D_paper, .*model\.blur=True"),
    ],
)  # fmt: skip
def test_what_official_arguments_cannot_say_is_refused_by_name(kind, changes, words):
    with pytest.raises(UserError, match=words):
        official_kwargs(dataclasses.replace(ModelConfig(), **changes), kind)
