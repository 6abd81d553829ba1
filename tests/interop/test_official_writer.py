"""What we write is what the official code reads, bit for bit.

`Network` restates what `Network.__setstate__` of NVlabs/stylegan
(`dnnlib/tflib/network.py`) asks of a state; the standard library does the loading.
"""

import dataclasses
import functools
import pickle
import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.interop import (
    bundle,
    foreign,
    official_arguments,
    official_writer,
    stylegan_tf,
    unpickle,
)
from stylegan_jax.interop.bundle import Bundle, TrainedDiscriminator
from tests import tiny
from tests.interop.official import SAMPLE

TINY = dataclasses.replace(tiny.MODEL, z_dim=5, mapping_width=7, channel_base=64)
PROGAN = dataclasses.replace(
    TINY,
    w_dim=5,
    mapping_layers=0,
    embed_labels=False,
    blur=False,
    use_styles=False,
    const_input=False,
    use_noise=False,
    use_instance_norm=False,
    use_pixel_norm=True,
    fused_from=8,
)
# What the official module defines, in as far as the loader needs it.
MODULE = "\n".join(
    f"def {name}(*inputs, **kwargs):\n    return '{name}'\n"
    for name in ("G_style", "G_mapping", "G_synthesis", "D_basic")
)


class Network:
    """Stands for the official class: what it checks and calls when it is unpickled."""

    def __setstate__(self, state):
        assert state["version"] in [2, 3]
        self.name: str = state["name"]
        assert re.match(r"^[A-Za-z0-9_.\-]*$", self.name)
        self.static_kwargs = dict(state["static_kwargs"])
        self.components: dict[str, Network] = dict(state["components"])
        names = [component.name for component in self.components.values()]
        assert len(names) == len(set(names))
        self.source: str = state["build_module_src"]
        module = types.ModuleType("imported")
        exec(self.source, module.__dict__)
        self.build_func_name: str = state["build_func_name"]
        self.build = getattr(module, self.build_func_name, None)
        self.variables = {name: value for name, value in state["variables"]}
        assert len(self.variables) == len(state["variables"])


class Loader(pickle.Unpickler):
    """The standard library's, with `Network` where dnnlib is not installed."""

    def find_class(self, module, name):
        """Only names that Python 3.6 with NumPy 1 and dnnlib had."""
        if (module, name) == ("dnnlib.tflib.network", "Network"):
            return Network
        assert (module, name) in [
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
        ]
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def standard_load(path):
    with open(path, "rb") as file:
        return Loader(file).load()


@functools.cache
def random_bundle(config, *, has_w_avg=True):
    """Networks whose every number is random."""
    changes = {} if has_w_avg else {"w_avg": None}
    ema, raw = (tiny.generator(config, seed).replace(**changes) for seed in (0, 1))
    shapes = bundle.discriminator_shapes(config).items()
    random = np.random.RandomState(2)
    arrays = {name: random.randn(*shape).astype("f") for name, shape in shapes}
    discriminator = TrainedDiscriminator(params=bundle.nested(arrays), config=config)
    return Bundle(generator=ema, raw=raw, discriminator=discriminator)


def assert_same_generator(found, expected):
    assert jax.tree.structure(found.replace(config=TINY)) == jax.tree.structure(
        expected.replace(config=TINY)
    )
    jax.tree.map(
        np.testing.assert_array_equal, found, expected.replace(config=found.config)
    )


def assert_same_networks(found, expected):
    """The same numbers, bit for bit, of all three networks."""
    assert_same_generator(found.generator, expected.generator)
    assert found.raw is not None and expected.raw is not None
    assert_same_generator(found.raw, expected.raw)
    assert found.discriminator is not None and expected.discriminator is not None
    jax.tree.map(
        np.testing.assert_array_equal,
        found.discriminator.params,
        expected.discriminator.params,
    )


# --- Against files of the official code --------------------------------------------


def assert_same_network(found, official):
    """The same names, arguments that say the same, and the same bits."""
    for field in ("name", "build_func_name", "version", "class_path"):
        assert getattr(found, field) == getattr(official, field)
    assert found.variables.keys() == official.variables.keys()
    for name, value in official.variables.items():
        assert found.variables[name].dtype == value.dtype == np.float32
        np.testing.assert_array_equal(found.variables[name], value, err_msg=name)
        assert found.variables[name].shape == value.shape, name
    # Official files also spell out some arguments that have their defaults.
    assert found.static_kwargs.items() <= official.static_kwargs.items()
    assert list(found.components) == list(official.components)
    for name, component in official.components.items():
        assert_same_network(found.components[name], component)
    if official.build_func_name in ("G_style", "D_basic", "G_paper", "D_paper"):
        read = official_arguments.model_config
        assert read(found) == read(official)


def assert_written_as(official, path):
    official_writer.save_pickle(path, stylegan_tf.load_bundle(official))
    networks = unpickle.read_networks(path)
    expected = unpickle.read_networks(official)
    assert list(networks) == list(expected) == ["G", "D", "Gs"]
    for name, network in expected.items():
        assert_same_network(networks[name], network)


def test_the_sample_is_written_as_the_official_code_wrote_it(tmp_path):
    assert_written_as(SAMPLE, tmp_path / "ours.pkl")


def test_every_reference_is_written_as_the_official_code_wrote_it(shared_dir, tmp_path):
    paths = sorted((shared_dir / "reference" / "official").glob("*.pkl"))
    assert len(paths) >= 6
    for path in paths:
        assert_written_as(path, tmp_path / path.name)


# --- Against the official loader ---------------------------------------------------


def test_the_official_loader_finds_all_it_asks_for(tmp_path):
    path, expected = tmp_path / "ours.pkl", random_bundle(TINY)
    official_writer.save_pickle(path, expected, module_src=MODULE)
    g, d, g_ema = standard_load(path)
    assert [network.name for network in (g, d, g_ema)] == ["G", "D", "Gs"]
    assert g_ema.build() == "G_style" and d.build() == "D_basic"
    assert list(g_ema.components) == ["synthesis", "mapping"]
    synthesis, mapping = g_ema.components.values()
    assert synthesis.build() == "G_synthesis" and mapping.build() == "G_mapping"
    assert g_ema.source == synthesis.source == d.source == MODULE

    arguments = {
        "resolution": 16,
        "fmap_base": 32,
        "fmap_max": 8,
        "latent_size": 5,
        "dlatent_size": 6,
        "mapping_layers": 2,
        "mapping_fmaps": 7,
    }
    assert g_ema.static_kwargs == synthesis.static_kwargs == arguments
    assert mapping.static_kwargs == arguments | {"dlatent_broadcast": 6}
    # The defaults of D_basic are 32 px and one channel.
    assert d.static_kwargs == {
        "resolution": 16,
        "num_channels": 3,
        "fmap_base": 32,
        "fmap_max": 8,
    }
    assert g_ema.variables.keys() == {"lod", "dlatent_avg"}
    assert g_ema.variables["lod"].shape == () and g_ema.variables["lod"] == 0
    assert synthesis.variables["lod"] == d.variables["lod"] == 0
    ours = expected.generator.params["synthesis"]["block4"]["const"]["const"]
    np.testing.assert_array_equal(
        synthesis.variables["4x4/Const/const"], np.moveaxis(ours, 3, 1)
    )
    assert synthesis.variables["4x4/Const/const"].flags.c_contiguous
    np.testing.assert_array_equal(
        g.components["mapping"].variables["Dense1/bias"],
        expected.raw.params["mapping"]["dense1"]["bias"],
    )


def test_the_globals_are_those_of_the_time(tmp_path):
    path = tmp_path / "ours.pkl"
    official_writer.save_pickle(path, random_bundle(TINY))
    assert path.read_bytes()[:2] == b"\x80\x04"  # Python 3.6 reads no later protocol
    assert unpickle.is_official_pickle(path)
    g, _, _ = standard_load(path)
    assert g.source == "" and g.build is None


def test_the_source_must_have_the_functions_that_are_named(tmp_path):
    path, networks = tmp_path / "ours.pkl", random_bundle(TINY)
    save = official_writer.save_pickle
    with pytest.raises(UserError, match="no function G_synthesis; give training/netw"):
        save(path, networks, module_src=MODULE.replace("G_synthesis", "other"))
    with pytest.raises(UserError, match="not Python"):
        save(path, networks, module_src="<html>")
    progan = random_bundle(PROGAN, has_w_avg=False)
    with pytest.raises(UserError, match=r"no function G_paper.*networks_progan\.py"):
        save(path, progan, module_src=MODULE)
    assert not path.exists()


def test_without_a_discriminator_the_file_is_one_network(tmp_path):
    path = tmp_path / "ours.pkl"
    expected = dataclasses.replace(random_bundle(TINY), discriminator=None)
    official_writer.save_pickle(path, expected)
    assert standard_load(path).name == "Gs"
    found = stylegan_tf.load_bundle(path)
    assert_same_generator(found.generator, expected.generator)
    assert found.raw is None and found.discriminator is None


def test_without_the_raw_generator_the_average_stands_for_it_once(tmp_path):
    whole, lean = tmp_path / "whole.pkl", tmp_path / "lean.pkl"
    official_writer.save_pickle(whole, random_bundle(TINY))
    expected = dataclasses.replace(random_bundle(TINY), raw=None)
    official_writer.save_pickle(lean, expected)
    assert_same_networks(
        stylegan_tf.load_bundle(lean),
        dataclasses.replace(expected, raw=expected.generator),
    )
    g, _, g_ema = standard_load(lean)
    assert (g.name, g_ema.name) == ("G", "Gs")
    size = sum(4 * leaf.size for leaf in jax.tree.leaves(expected.generator))
    assert whole.stat().st_size - lean.stat().st_size > 0.9 * size


# --- Every architecture ------------------------------------------------------------


COMMON = [
    {},
    {"label_size": 3, "num_channels": 1},
    {"const_input": False, "use_noise": False},
]
RARE = [
    {"mapping_layers": 0, "w_dim": 5},
    {"mapping_layers": 1, "mapping_lr_multiplier": 1.0, "normalize_z": False},
    {"use_styles": False, "use_instance_norm": False, "use_pixel_norm": True},
    {"blur": False, "fused_from": 8, "channel_decay": 0.5},
    {"fused_from": 2048, "mbstd_group_size": 2, "mbstd_num_features": 2},
    {"fused_from": 16, "resolution": 8},
    {"mbstd_group_size": 0},
    # Configuration A without classes: G_style can say it.
    {**dataclasses.asdict(PROGAN), "mapping_width": 7},
]


@pytest.mark.parametrize(
    "changes",
    [*COMMON, *(pytest.param(x, marks=pytest.mark.thorough) for x in RARE)],
    ids=lambda changes: "-".join(list(changes)[:2]),
)
def test_what_goes_out_comes_back_bit_identical(changes, tmp_path):
    expected = random_bundle(dataclasses.replace(TINY, **changes))
    official_writer.save_pickle(tmp_path / "ours.pkl", expected)
    found = stylegan_tf.load_bundle(tmp_path / "ours.pkl")
    assert_same_networks(found, expected)
    for kind, ours, theirs in [
        ("G_style", found.generator.config, expected.generator.config),
        ("D_basic", found.discriminator.config, expected.discriminator.config),
    ]:
        read_by = official_arguments._read_by
        assert read_by(kind, ours) == read_by(kind, theirs)


@pytest.mark.parametrize(("fused_from", "ending"), [(8, "_up"), (2048, "")])
@pytest.mark.parametrize("label_size", [0, 2])
def test_progan_goes_out_and_comes_back(fused_from, ending, label_size, tmp_path):
    config = dataclasses.replace(
        PROGAN, fused_from=fused_from, label_size=label_size, w_dim=5 + label_size
    )
    expected = random_bundle(config, has_w_avg=False)
    official_writer.save_pickle(tmp_path / "ours.pkl", expected)
    assert_same_networks(stylegan_tf.load_bundle(tmp_path / "ours.pkl"), expected)
    _, d, g_ema = standard_load(tmp_path / "ours.pkl")
    assert g_ema.build_func_name == "G_paper" and d.build_func_name == "D_paper"
    assert g_ema.components == {} and "dlatent_avg" not in g_ema.variables
    assert f"8x8/Conv0{ending}/weight" in g_ema.variables
    assert f"8x8/Conv1{'_down' if ending else ''}/weight" in d.variables
    assert g_ema.static_kwargs.get("fused_scale", True) == (fused_from == 8)


def test_a_network_without_official_name_leaves_no_file(tmp_path):
    networks = random_bundle(TINY, has_w_avg=False)
    with pytest.raises(UserError, match=r"G_paper, .*model\.mapping_layers=2"):
        official_writer.save_pickle(tmp_path / "ours.pkl", networks)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("resolution", "alpha", "lod"),
    [(16, None, 0), (8, None, 1), (4, None, 2), (16, 0.75, 0.25), (8, 0.25, 1.75)],
)
def test_growth_is_written_as_the_level_of_detail(resolution, alpha, lod, tmp_path):
    grown = random_bundle(TINY).generator.replace(
        resolution=resolution, alpha=None if alpha is None else jnp.float32(alpha)
    )
    expected = dataclasses.replace(random_bundle(TINY), generator=grown, raw=grown)
    official_writer.save_pickle(tmp_path / "ours.pkl", expected)
    _, d, g_ema = standard_load(tmp_path / "ours.pkl")
    assert g_ema.variables["lod"] == d.variables["lod"] == lod
    assert g_ema.components["synthesis"].variables["lod"] == lod
    assert_same_networks(stylegan_tf.load_bundle(tmp_path / "ours.pkl"), expected)


@pytest.mark.parametrize("resolution", [16, 8])
@pytest.mark.parametrize("alpha", [0.0, 1e-9, 0.1, 0.3, 0.9999999, 1.0])
def test_a_fade_keeps_its_resolution_and_alpha_to_rounding(resolution, alpha):
    generator = random_bundle(TINY).generator.replace(
        resolution=resolution, alpha=jnp.float32(alpha)
    )
    lod = official_writer.level_of_detail(generator)
    assert lod.dtype == np.float32 and lod.shape == ()
    found = foreign.growth(lod, TINY.resolution)
    assert found == (resolution, pytest.approx(alpha, abs=2**-20))
