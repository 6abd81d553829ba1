"""Official arguments become our architecture, whole files our networks."""

import dataclasses
import math
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.interop import official_arguments, stylegan_tf
from stylegan_jax.interop.official_arguments import model_config
from stylegan_jax.interop.stylegan_tf import (
    discriminator_from_pickle,
    generator_from_pickle,
    growth,
    load_pickle,
)
from stylegan_jax.interop.unpickle import (
    NotAStyleGANPickleError,
    PickledNetwork,
    read_networks,
)
from stylegan_jax.networks.config import ModelConfig

SAMPLE = (
    Path(__file__).parents[1] / "data" / "official" / "stylegan_res16_labels5_gray.pkl"
)


def network(kind: str, *, path: str = "dnnlib.tflib.network.Network", **kwargs: Any):
    """A network with arguments and no variables."""
    return PickledNetwork(
        name="Gs" if kind[0] == "G" else "D",
        build_func_name=kind,
        version=3,
        class_path=path,
        static_kwargs=kwargs,
        components={},
        variables={},
    )


def sample(name: str = "Gs") -> PickledNetwork:
    return read_networks(SAMPLE)[name]


def changed(source: PickledNetwork, **variables: np.ndarray | None) -> PickledNetwork:
    """A network with variables replaced, added or (None) removed."""
    merged = {**source.variables, **variables}
    kept = {key: value for key, value in merged.items() if value is not None}
    return dataclasses.replace(source, variables=kept)


# --- Arguments ---------------------------------------------------------------------


def test_absent_arguments_have_the_official_defaults_of_their_function() -> None:
    assert model_config(network("G_style")) == ModelConfig()
    assert model_config(network("D_basic")) == ModelConfig(
        resolution=32, num_channels=1
    )
    progan = model_config(network("D_paper"))
    assert (progan.resolution, progan.num_channels, progan.blur) == (32, 1, False)
    assert progan.mbstd_group_size == 4 and not progan.embed_labels


def test_a_progan_generator_is_a_network_without_mapping_styles_and_noise() -> None:
    config = model_config(network("G_paper", resolution=64, fmap_max=128, label_size=3))
    assert (config.z_dim, config.w_dim, config.mapped_size) == (128, 131, 131)
    assert config.mapping_layers == 0 and config.num_ws == 1
    assert config.use_pixel_norm and config.normalize_z
    on = (config.use_styles, config.const_input, config.use_noise, config.blur)
    assert not any(on) and not config.use_instance_norm and not config.embed_labels
    assert config.fused_from <= 8  # fused_scale=True: every up-convolution
    # latent_size=None is nf(0), the feature maps at 2 pixels.
    assert model_config(network("G_paper", fmap_base=64)).z_dim == 64


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        (
            {"resolution": 256, "num_channels": 1},
            {"resolution": 256, "num_channels": 1},
        ),
        (
            {"fmap_base": 1024, "fmap_max": 32},
            {"channel_base": 2048, "channel_max": 32},
        ),
        ({"fmap_decay": 0.5}, {"channel_decay": 0.5}),
        ({"latent_size": 64, "dlatent_size": 32}, {"z_dim": 64, "w_dim": 32}),
        ({"mapping_fmaps": 8, "mapping_lrmul": 1}, {"mapping_width": 8}),
        ({"mapping_layers": 0}, {"mapping_layers": 0}),
        ({"normalize_latents": False}, {"normalize_z": False}),
        ({"use_styles": False, "use_noise": False}, {"use_styles": False}),
        (
            {"use_pixel_norm": True, "use_instance_norm": False},
            {"use_pixel_norm": True},
        ),
        ({"const_input_layer": False}, {"const_input": False}),
        ({"fused_scale": "auto"}, {"fused_from": 128}),
        ({"blur_filter": None}, {"blur": False}),
        ({"blur_filter": (1, 2, 1)}, {"blur": True}),
        ({"label_size": 7}, {"label_size": 7}),
    ],
)
def test_every_argument_reaches_its_field(
    kwargs: dict[str, Any], expected: dict[str, Any]
) -> None:
    config = model_config(network("G_style", **kwargs))
    assert {key: getattr(config, key) for key in expected} == expected
    fields = {field for field, _ in official_arguments._FIELDS["G_style"].values()}
    others = fields - expected.keys()
    named = {official_arguments._FIELDS["G_style"][key][0] for key in kwargs}
    for field in others - named:
        assert getattr(config, field) == getattr(ModelConfig(), field), field


@pytest.mark.parametrize(("value", "fused"), [(True, [8, 64]), (False, [])])
def test_fused_scale_decides_which_kernels_are_flipped(
    value: bool, fused: list[int]
) -> None:
    config = model_config(network("G_style", fused_scale=value))
    assert all(size >= config.fused_from for size in fused)
    assert value or config.fused_from > 1024


def test_arguments_that_do_not_matter_here_are_ignored() -> None:
    kwargs = {
        "dtype": "float16",
        "structure": "recursive",
        "randomize_noise": False,
        "truncation_psi": 0.5,
        "truncation_cutoff": None,
        "style_mixing_prob": 0.0,
        "dlatent_avg_beta": 0.9,
        "is_validation": True,
        "use_wscale": True,
        "nonlinearity": "lrelu",
    }
    assert model_config(network("G_style", **kwargs)) == ModelConfig()


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
def test_an_argument_that_is_not_supported_is_named(
    kind: str, kwargs: dict[str, Any]
) -> None:
    with pytest.raises(NotAStyleGANPickleError, match=next(iter(kwargs))):
        model_config(network(kind, **kwargs))


@pytest.mark.parametrize(
    "kwargs", [{"resolution": 4}, {"resolution": 48}, {"fmap_base": 1}, {"fmap_max": 0}]
)
def test_arguments_of_no_possible_network_are_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(NotAStyleGANPickleError, match="no possible network"):
        generator_from_pickle(network("G_style", **kwargs))


def test_all_unsupported_arguments_are_listed_at_once() -> None:
    bad = network("G_style", nonlinearity="relu", skip=True, blur_filter=[1, 1])
    with pytest.raises(NotAStyleGANPickleError) as caught:
        model_config(bad)
    for words in ("nonlinearity=relu", "skip (unknown)", "blur_filter=[1, 1]"):
        assert words in str(caught.value)


@pytest.mark.parametrize("kind", ["G_main", "D_stylegan2", "inception_v3_features"])
def test_other_networks_are_refused_by_the_name_of_their_function(kind: str) -> None:
    with pytest.raises(NotAStyleGANPickleError, match=kind) as caught:
        model_config(network(kind))
    assert ("which is StyleGAN2" in str(caught.value)) == (
        kind != "inception_v3_features"
    )


def test_the_two_sides_are_not_confused() -> None:
    with pytest.raises(NotAStyleGANPickleError, match="is not a generator"):
        generator_from_pickle(sample("D"))
    with pytest.raises(NotAStyleGANPickleError, match="is not a discriminator"):
        discriminator_from_pickle(sample("Gs"))


# --- Whole files -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lod", "expected"),
    [
        (0, (16, None)),
        (0.3, (16, 0.7)),
        (1, (8, None)),
        (1.25, (8, 0.75)),
        (2, (4, None)),
    ],
)
def test_growth_follows_the_level_of_detail(
    lod: float, expected: tuple[int, float | None]
) -> None:
    g_ema = changed(sample(), lod=np.array(lod, np.float32))
    resolution, alpha = growth(g_ema, model_config(g_ema))
    assert resolution == expected[0]
    assert alpha == (None if expected[1] is None else pytest.approx(expected[1]))


@pytest.mark.parametrize("lod", [np.nan, np.inf, -1, 2.5, [0, 0]])
def test_a_senseless_level_of_detail_is_refused(lod: Any) -> None:
    g_ema = changed(sample(), lod=np.array(lod, np.float32))
    with pytest.raises(NotAStyleGANPickleError, match="has lod"):
        growth(g_ema, model_config(g_ema))


def test_a_pickle_loads_as_a_generator_ready_to_draw() -> None:
    generator = load_pickle(SAMPLE)
    images = jax.eval_shape(
        lambda z: generator.sample(z, labels=jnp.eye(5)[:2]), jnp.zeros((2, 16))
    )
    assert images.shape == (2, 16, 16, 1) and images.dtype == jnp.float32
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(generator))
    assert generator.w_avg is not None and len(generator.noise) == 6


def test_which_chooses_between_the_two_generators(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    g_ema = sample()
    networks = {
        "G": changed(g_ema, dlatent_avg=np.full(16, 2, np.float32)),
        "D": sample("D"),
        "Gs": changed(g_ema, dlatent_avg=np.full(16, 3, np.float32)),
    }
    monkeypatch.setattr(stylegan_tf, "read_networks", lambda path: networks)
    np.testing.assert_array_equal(load_pickle("x.pkl", "G").w_avg, np.full(16, 2))
    np.testing.assert_array_equal(load_pickle("x.pkl", "Gs").w_avg, np.full(16, 3))
    with pytest.raises(ValueError, match="which is 'D'"):
        load_pickle("x.pkl", cast(Any, "D"))
    del networks["G"], networks["Gs"]
    with pytest.raises(NotAStyleGANPickleError, match=r"x\.pkl: D_basic is not a gen"):
        load_pickle("x.pkl")
