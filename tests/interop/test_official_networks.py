"""Every official variable has one place here, in the right layout; whole files load.

Numbers are compared with the official implementation in `tests/parity`.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from stylegan_jax import loading
from stylegan_jax.errors import UserError
from stylegan_jax.interop import stylegan_tf
from stylegan_jax.interop.foreign import Row, names
from stylegan_jax.interop.official_arguments import model_config
from stylegan_jax.interop.stylegan_tf import (
    discriminator_from_pickle,
    generator_from_pickle,
    load_bundle,
)
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import init_generator
from tests.interop.official import SAMPLE, changed, network, sample


def with_component(name, **variables):
    """The sample generator with variables of one component changed."""
    g_ema = sample()
    component = changed(g_ema.components[name], **variables)
    return dataclasses.replace(g_ema, components={**g_ema.components, name: component})


def official_names_at_1024() -> tuple[set[str], set[str]]:
    """The variables of the published FFHQ networks, spelt out by hand."""
    g = {"dlatent_avg"} | {f"synthesis/noise{i}" for i in range(18)}
    g |= {f"mapping/Dense{i}/{part}" for i in range(8) for part in ("weight", "bias")}
    layers = ["4x4/Const", "4x4/Conv"]
    for size in (8, 16, 32, 64, 128, 256, 512, 1024):
        layers += [f"{size}x{size}/Conv0_up", f"{size}x{size}/Conv1"]
    parts = ["weight", "Noise/weight", "bias", "StyleMod/weight", "StyleMod/bias"]
    g |= {f"synthesis/{layer}/{part}" for layer in layers for part in parts}
    g = g - {"synthesis/4x4/Const/weight"} | {"synthesis/4x4/Const/const"}
    g |= {f"synthesis/ToRGB_lod{k}/{p}" for k in range(9) for p in ("weight", "bias")}
    layers = [f"FromRGB_lod{k}" for k in range(9)]
    for size in (8, 16, 32, 64, 128, 256, 512, 1024):
        layers += [f"{size}x{size}/Conv0", f"{size}x{size}/Conv1_down"]
    layers += ["4x4/Conv", "4x4/Dense0", "4x4/Dense1"]
    return g, {f"{layer}/{part}" for layer in layers for part in ("weight", "bias")}


def test_the_tables_name_the_variables_of_the_published_networks():
    config = ModelConfig()
    g = jax.eval_shape(lambda: init_generator(jax.random.key(0), config))
    images = jnp.zeros((1, 1024, 1024, 3))
    d = jax.eval_shape(lambda: Discriminator(config).init(jax.random.key(0), images))
    sizes = [math.prod(leaf.shape) for leaf in jax.tree.leaves(g.params)]
    # Totals printed by the official code.
    assert (len(sizes), sum(sizes)) == (124, 26_219_627)
    sizes = [math.prod(leaf.shape) for leaf in jax.tree.leaves(d["params"])]
    assert (len(sizes), sum(sizes)) == (56, 23_087_249)

    g_paths = set(traverse_util.flatten_dict(g.params, sep="/"))
    g_paths |= {"w_avg"} | {f"noise/{i}" for i in range(18)}
    d_paths = set(traverse_util.flatten_dict(d["params"], sep="/"))
    for paths, rows, official in zip(
        (g_paths, d_paths),
        (stylegan_tf.GENERATOR, stylegan_tf.DISCRIMINATOR),
        official_names_at_1024(),
        strict=True,
    ):
        table = names(rows, config)
        assert official <= table.keys()
        assert {table[name][0] for name in official} == paths
        assert len(official) == len(paths)


def test_every_number_of_the_sample_is_used_exactly_once():
    g_ema = sample()
    found = jax.tree.leaves(generator_from_pickle(g_ema))
    ours = np.concatenate([leaf.ravel() for leaf in found])
    variables = dict(g_ema.variables)
    for name, component in g_ema.components.items():
        variables |= {f"{name}/{k}": v for k, v in component.variables.items()}
    theirs = [v.ravel() for k, v in variables.items() if k.split("/")[-1] != "lod"]
    np.testing.assert_array_equal(np.sort(ours), np.sort(np.concatenate(theirs)))


def test_axes_are_moved_entry_by_entry():
    generator, discriminator = sample(), sample("D")
    found = generator_from_pickle(generator)
    config, params, noise = found.config, found.params, found.noise
    d_params = discriminator_from_pickle(discriminator).params
    synthesis = generator.components["synthesis"].variables
    const, dense0 = (
        synthesis["4x4/Const/const"],
        discriminator.variables["4x4/Dense0/weight"],
    )
    channels = config.channels(4)
    assert const.shape == (1, channels, 4, 4)
    for c, h, w in [(0, 0, 0), (1, 2, 3), (channels - 1, 3, 1)]:
        found = params["synthesis"]["block4"]["const"]["const"][0, h, w, c]
        assert found == const[0, c, h, w]
        row = d_params["block4"]["dense0"]["weight"][(h * 4 + w) * channels + c]
        np.testing.assert_array_equal(row, dense0[(c * 4 + h) * 4 + w])
    assert noise[5].shape == (1, 16, 16, 1)
    assert noise[5][0, 3, 7, 0] == synthesis["noise5"][0, 0, 3, 7]
    # Kernels and dense weights have the same layout on both sides.
    np.testing.assert_array_equal(
        params["synthesis"]["block8"]["conv0"]["weight"],
        synthesis["8x8/Conv0_up/weight"],
    )
    np.testing.assert_array_equal(
        params["synthesis"]["to_rgb8"]["bias"], synthesis["ToRGB_lod1/bias"]
    )
    np.testing.assert_array_equal(
        d_params["from_rgb16"]["weight"], discriminator.variables["FromRGB_lod0/weight"]
    )


def progan(*, out_in: bool, path: str, fmap_base: int = 64):
    """A small ProGAN generator; up-convolutions as [3, 3, out, in] or [.., in, out]."""
    source = network("G_paper", resolution=16, fmap_base=fmap_base, fmap_max=32)
    source = dataclasses.replace(source, class_path=path)
    config = model_config(source)
    random = np.random.RandomState(0)
    shapes: dict[str, tuple[int, ...]] = {"4x4/Dense/weight": (32, 16 * 32)}
    for size, lod in ((4, 2), (8, 1), (16, 0)):
        here, coarse = config.channels(size), config.channels(size // 2)
        prefix = f"{size}x{size}/"
        up = (3, 3, coarse, here)
        shapes |= {prefix + "Conv0_up/weight": up, prefix + "Conv0_up/bias": (here,)}
        shapes |= {
            prefix + "Conv1/weight": (3, 3, here, here),
            prefix + "Conv1/bias": (here,),
        }
        shapes |= {
            f"ToRGB_lod{lod}/weight": (1, 1, here, 1),
            f"ToRGB_lod{lod}/bias": (1,),
        }
    for part in ("weight", "bias"):
        del shapes[f"4x4/Conv0_up/{part}"]
        shapes[f"4x4/Conv/{part}"] = shapes.pop(f"4x4/Conv1/{part}")
    shapes["4x4/Dense/bias"] = (32,)
    variables = {k: random.randn(*s).astype(np.float32) for k, s in shapes.items()}
    if out_in:
        variables = {
            key: value.transpose(0, 1, 3, 2) if "Conv0_up/weight" in key else value
            for key, value in variables.items()
        }
    variables["lod"] = np.zeros((), np.float32)
    return dataclasses.replace(source, variables=variables)


@pytest.mark.parametrize(
    ("path", "fmap_base"),
    [
        ("tfutil.Network", 64),
        ("dnnlib.tflib.network.Network", 64),
        ("tfutil.Network", 4096),
    ],
)
def test_up_convolutions_of_the_first_progan_are_turned_round(
    path: str, fmap_base: int
):
    # With fmap_base 4096 all are square, and only the class path tells.
    plain = progan(
        out_in=False, path="dnnlib.tflib.network.Network", fmap_base=fmap_base
    )
    turned = progan(out_in=True, path=path, fmap_base=fmap_base)
    generator = generator_from_pickle(plain)
    expected, found = generator.params, generator_from_pickle(turned).params
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert generator.w_avg is None and generator.noise == ()
    assert expected["mapping"] == {}
    weight = plain.variables["8x8/Conv0_up/weight"]
    np.testing.assert_array_equal(
        expected["synthesis"]["block8"]["conv0"]["weight"], weight
    )
    # The first layer's outputs, flattened C, H, W there and H, W, C here.
    dense = expected["synthesis"]["block4"]["dense"]["weight"]
    official = plain.variables["4x4/Dense/weight"]
    np.testing.assert_array_equal(
        dense[:, (2 * 4 + 3) * 32 + 5], official[:, (5 * 4 + 2) * 4 + 3]
    )


def test_variables_that_do_not_fit_are_listed_with_what_was_expected():
    bad = with_component(
        "synthesis",
        **{
            "8x8/Conv1/bias": None,
            "4x4/Const/const": np.zeros((1, 4, 4, 16), np.float32),
            "noise0": np.zeros((1, 1, 4, 4), np.int32),
            "32x32/Conv1/bias": np.zeros(16, np.float32),
        },
    )
    with pytest.raises(UserError) as caught:
        generator_from_pickle(bad)
    message = str(caught.value)
    assert message.startswith("4 variables")
    for words in (
        "synthesis/8x8/Conv1/bias (16,) is missing",
        "synthesis/4x4/Const/const is (1, 4, 4, 16), expected (1, 16, 4, 4)",
        "synthesis/noise0 holds int32",
        "synthesis/32x32/Conv1/bias (16,) has no place",
    ):
        assert words in message


def test_two_variables_for_one_parameter_are_refused():
    d = sample("D")
    twice = changed(d, **{"16x16/Conv1/bias": d.variables["16x16/Conv1_down/bias"]})
    with pytest.raises(UserError, match=r"16x16/Conv1/bias .* no place"):
        discriminator_from_pickle(twice)


def test_a_generator_without_its_components_lists_what_is_missing():
    with pytest.raises(UserError, match=r"missing.*more"):
        generator_from_pickle(dataclasses.replace(sample(), components={}))


def test_flattened_pixels_are_reordered_one_by_one():
    ours = np.arange(3 * 16 * 5, dtype=np.float32).reshape(3, 16 * 5)
    dense = Row("theirs", "ours", chw_axis=1)
    official = dense.write(ours)
    for y in range(4):
        for x in range(4):
            for c in range(5):
                np.testing.assert_array_equal(
                    official[:, (c * 4 + y) * 4 + x], ours[:, (y * 4 + x) * 5 + c]
                )
    first = Row("theirs", "ours", chw_axis=0)
    np.testing.assert_array_equal(first.write(ours.T.copy()), official.T)
    np.testing.assert_array_equal(dense.read(official), ours)
    image = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    nchw = Row("theirs", "ours", axes=(0, 2, 3, 1))
    assert nchw.write(image)[1, 4, 2, 3] == image[1, 2, 3, 4]


def test_the_two_sides_are_not_confused():
    with pytest.raises(UserError, match="is not a generator"):
        generator_from_pickle(sample("D"))
    with pytest.raises(UserError, match="is not a discriminator"):
        discriminator_from_pickle(sample("Gs"))


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
def test_growth_follows_the_level_of_detail(lod, expected):
    found = generator_from_pickle(changed(sample(), lod=np.array(lod, np.float32)))
    assert found.resolution == expected[0]
    alpha = expected[1]
    assert found.alpha == (None if alpha is None else pytest.approx(alpha))


@pytest.mark.parametrize("lod", [np.nan, np.inf, -1, 2.5, [0, 0]])
def test_a_senseless_level_of_detail_is_refused(lod):
    senseless = changed(sample(), lod=np.array(lod, np.float32))
    with pytest.raises(UserError, match="lod is"):
        generator_from_pickle(senseless)


def test_a_pickle_loads_as_a_generator_ready_to_draw():
    generator = load_bundle(SAMPLE).generator
    images = jax.eval_shape(
        lambda z: generator.sample(z, labels=jnp.eye(5)[:2]), jnp.zeros((2, 16))
    )
    assert images.shape == (2, 16, 16, 1) and images.dtype == jnp.float32
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(generator))
    assert generator.w_avg is not None and len(generator.noise) == 6


def test_which_chooses_between_the_two_generators(monkeypatch):
    g_ema = sample()
    networks = {
        "G": changed(g_ema, dlatent_avg=np.full(16, 2, np.float32)),
        "D": sample("D"),
        "Gs": changed(g_ema, dlatent_avg=np.full(16, 3, np.float32)),
    }
    monkeypatch.setattr(stylegan_tf, "read_networks", lambda path: networks)
    for only, value in (("raw", 2), ("ema", 3), (None, 3)):
        found = load_bundle("x.pkl", only)
        np.testing.assert_array_equal(found.generator.w_avg, np.full(16, value))
        assert (found.raw is None) == (found.discriminator is None) == bool(only)
    with pytest.raises(UserError, match="which is 'D'"):
        loading.load("x.pkl", "D")
    del networks["G"], networks["Gs"]
    with pytest.raises(UserError, match=r"x\.pkl: D_basic is not a gen"):
        load_bundle("x.pkl")
