"""Our compact file: what goes in comes out, and nothing else is read."""

import dataclasses
import json
import re
import subprocess
import sys
import tracemalloc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
import safetensors.numpy

import stylegan_jax
from stylegan_jax.errors import UserError
from stylegan_jax.interop import bundle, exported
from stylegan_jax.interop.bundle import TrainedDiscriminator
from tests import tiny

MODEL = dataclasses.replace(
    tiny.MODEL_8, z_dim=5, mapping_width=7, mapping_layers=2, channel_base=64
)
D_MODEL = dataclasses.replace(MODEL, channel_max=4)


def make(config=MODEL, **changes):
    return tiny.generator(config).replace(**changes)


def discriminator() -> TrainedDiscriminator:
    shapes = bundle.discriminator_shapes(D_MODEL).items()
    arrays = {name: np.full(shape, i, "f") for i, (name, shape) in enumerate(shapes)}
    return TrainedDiscriminator(params=bundle.nested(arrays), config=D_MODEL)


def assert_equal(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(found)} == {"float32"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"label_size": 3, "dtype": "bfloat16", "remat": True, "channel_decay": 0.9},
        {"use_noise": False, "fused_from": 64},
        {"mapping_layers": 0, "w_dim": 5, "use_styles": False},
    ],
)
def test_a_generator_comes_back_bit_identical(changes, tmp_path):
    expected = make(dataclasses.replace(MODEL, **changes))
    path = tmp_path / "a.safetensors"
    exported.save(path, expected)
    found = exported.load(path)
    assert_equal(found, expected)
    assert found.config == expected.config
    assert exported.is_exported(path)
    assert stylegan_jax.load(path).config == expected.config


def test_progan_has_no_mean_and_says_so(tmp_path):
    expected = make(w_avg=None)
    exported.save(tmp_path / "a.safetensors", expected)
    assert exported.load(tmp_path / "a.safetensors").w_avg is None


@pytest.mark.parametrize("alpha", [None, 0.0, 0.1, 1 / 3, 1.0])
def test_growth_is_kept_exactly(alpha, tmp_path):
    kept = None if alpha is None else jnp.float32(alpha)
    expected = make().replace(resolution=4, alpha=kept)
    exported.save(tmp_path / "a.safetensors", expected)
    found = exported.load(tmp_path / "a.safetensors")
    assert_equal(found, expected)
    assert found.resolution == 4


def test_the_discriminator_goes_along_with_its_own_architecture(tmp_path):
    path, d = tmp_path / "a.safetensors", discriminator()
    exported.save(path, make(), discriminator=d, source="x.pkl", licence="CC BY")
    found = exported.load_bundle(path)
    assert found.discriminator is not None and found.discriminator.config == D_MODEL
    assert_equal(found.discriminator.params, d.params)
    assert_equal(found.generator, make())
    assert (found.source, found.licence, found.raw) == ("x.pkl", "CC BY", None)
    assert_equal(exported.load(path), make())
    exported.save(path, make())
    assert exported.load_bundle(path).discriminator is None


def test_bfloat16_halves_the_file_and_rounds_every_number(tmp_path):
    exact, rounded = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    exported.save(exact, make())
    exported.save(rounded, make(), dtype="bfloat16")
    count = sum(leaf.size for leaf in jax.tree.leaves(make()))
    # The headers differ by some digits of the offsets.
    difference = exact.stat().st_size - rounded.stat().st_size
    assert abs(difference - 2 * count) < 1000
    for found, ours in zip(
        jax.tree.leaves(exported.load(rounded)), jax.tree.leaves(make()), strict=True
    ):
        # To nearest, by hand: bfloat16 is the upper half of float32's bits.
        bits = np.asarray(ours).view(np.uint32).astype(np.uint64)
        upper = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
        expected = upper.astype(np.uint32).view(np.float32)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.float32


def test_another_type_is_refused(tmp_path):
    with pytest.raises(ValueError, match="dtype is 'float16', not one of float32, bf"):
        exported.save(tmp_path / "a.safetensors", make(), dtype="float16")  # type: ignore
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_plain_safetensors(tmp_path):
    path = tmp_path / "a.safetensors"
    exported.save(path, make(), source="run", licence="mine")
    with safetensors.safe_open(path, framework="numpy") as file:
        const = file.get_tensor("generator/synthesis/block4/const/const")
        metadata = json.loads(file.metadata()["stylegan_jax"])
    np.testing.assert_array_equal(
        const, make().params["synthesis"]["block4"]["const"]["const"]
    )
    assert metadata["format"] == "stylegan_jax networks" and metadata["version"] == 1
    assert metadata["config"] == dataclasses.asdict(MODEL)
    assert metadata["provenance"] == {
        "source": "run",
        "licence": "mine",
        "stylegan_jax": stylegan_jax.__version__,
    }
    # Nothing depends on the time: the same network is the same file.
    exported.save(tmp_path / "b.safetensors", make(), source="run", licence="mine")
    assert path.read_bytes() == (tmp_path / "b.safetensors").read_bytes()


# --- Refusals ----------------------------------------------------------------------


def parts() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the description of a good file."""
    arrays = bundle.generator_arrays(make())
    metadata = {
        "format": exported.FORMAT,
        "version": exported.VERSION,
        "config": dataclasses.asdict(MODEL),
        "resolution": 8,
        "alpha": None,
        "has_w_avg": True,
        "discriminator": None,
        "provenance": {},
    }
    return {f"generator/{path}": array for path, array in arrays.items()}, metadata


def refused(path):
    """The one line of the refusal, made in little memory."""
    bundle.generator_shapes(MODEL, has_w_avg=True)  # what JAX keeps does not count
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            stylegan_jax.load(path)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and message.isprintable()
    assert len(message) < len(str(path)) + 700
    return message


def test_the_parts_make_a_good_file(tmp_path):
    arrays, metadata = parts()
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file(arrays, path, {"stylegan_jax": json.dumps(metadata)})
    assert_equal(stylegan_jax.load(path), make())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "other"}, "not that of 'stylegan_jax networks'"),
        ({"version": 2},
         "in version 2 of the format, and this program reads version 1",),
        ({"version": True}, "not that of"),
        ({"config": None}, "config is null"),
        ({"has_w_avg": 1}, "has_w_avg is a whole number"),
        ({"alpha": 2.0}, "alpha is 2.0"),
        ({"alpha": float("nan")}, "not that of"),
        ({"resolution": 16}, "resolution 16 of a network of 8"),
        ({"resolution": 6}, "resolution is 6"),
        ({"config": {"use_magic": True}}, "'use_magic', which this version does not"),
        ({"config": {"resolution": 12}}, "no possible network: model.resolution is 12"),
        ({"config": {"resolution": "8"}}, "odd resolution"),
        ({"config": {"use_noise": 1}}, "odd use_noise"),
        ({"config": {"z_dim": 10**12}}, "z_dim 1000000000000, not 0 to 65536"),
        ({"config": {"mapping_layers": 65}}, "mapping_layers 65, over 64"),
        ({"config": {"mapping_layers": -1}}, "mapping_layers -1"),
        ({"config": {"channel_decay": float("inf")}}, "not that of"),
        ({"config": {"channel_base": 1}}, "no possible network"),
        ({"config": {"z_dim": 60000}}, "mapping/dense0/weight is"),
        ({"config": {"channel_max": 4}},
         "arrays do not fit the network described.*more",),
        ({"discriminator": {"resolution": 9}}, "model.resolution is 9"),
        ({"discriminator": dataclasses.asdict(MODEL)},
         "discriminator/block4/conv/bias .* is missing",),
        ({"has_w_avg": False},
         "1 arrays do not fit.*generator/w_avg \\(6,\\) has no place",),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_description_that_is_not_right_is_refused(changes, words, tmp_path):
    arrays, metadata = parts()
    if changes.get("config"):
        changes = {"config": metadata["config"] | changes["config"]}
    path = tmp_path / "a.safetensors"
    text = json.dumps(metadata | changes)
    safetensors.numpy.save_file(arrays, path, {"stylegan_jax": text})
    message = refused(path)
    assert re.search(words, message), message


@pytest.mark.parametrize("key", sorted(exported._DESCRIPTION))
def test_a_description_that_lacks_a_part_is_refused(key, tmp_path):
    arrays, metadata = parts()
    del metadata[key]
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file(arrays, path, {"stylegan_jax": json.dumps(metadata)})
    assert key in refused(path) or key in ("format", "version")


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "[" * 100_000, '"x"'])
def test_a_description_that_is_not_json_is_refused(text, tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file(parts()[0], path, {"stylegan_jax": text})
    assert "not that of 'stylegan_jax networks'" in refused(path)


def test_arrays_that_do_not_fit_are_listed(tmp_path):
    arrays, metadata = parts()
    del arrays["generator/noise/3"]
    arrays["generator/w_avg"] = np.zeros(7, np.float32)
    arrays["generator/noise/0"] = arrays["generator/noise/0"].astype(np.float64)
    arrays["more\n"] = np.zeros(1, np.float32)
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file(arrays, path, {"stylegan_jax": json.dumps(metadata)})
    message = refused(path)
    assert "4 arrays do not fit" in message
    for words in (
        "generator/noise/3 (1, 8, 8, 1) is missing",
        "generator/w_avg is (7,), expected (6,)",
        "generator/noise/0 holds float64, not float32 or bfloat16",
        "more\\n (1,) has no place",
    ):
        assert words in message


def test_a_file_of_another_program_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file(parts()[0], path)
    assert "of another program; what can be read are those that" in refused(path)


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    whole, path = tmp_path / "whole.safetensors", tmp_path / "a.safetensors"
    exported.save(whole, make())
    data = whole.read_bytes()
    for length in (len(data) - 1, len(data) // 2, 1000, 9):
        path.write_bytes(data[:length])
        assert "; fetch or convert it again" in refused(path), length
    path.write_bytes(data + b"x")
    assert "; fetch or convert it again" in refused(path)


def test_a_header_of_absurd_size_is_refused_unread(tmp_path):
    path = tmp_path / "a.safetensors"
    with open(path, "wb") as file:  # 64 MB, of which the disk holds nothing
        file.write((50 << 20).to_bytes(8, "little") + b"{")
        file.truncate(64 << 20)
    assert "a header of 52428800 bytes" in refused(path)
    # An array of an exabyte, which is not there.
    array = {"dtype": "F32", "shape": [1 << 58], "data_offsets": [0, 1 << 60]}
    header = json.dumps({"generator/w_avg": array}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert "; fetch or convert it again" in refused(path)


def test_flipped_bytes_of_the_header_are_refused_or_harmless(tmp_path):
    path = tmp_path / "a.safetensors"
    exported.save(path, make())
    data = bytearray(path.read_bytes())
    end = 8 + int.from_bytes(data[:8], "little")
    random = np.random.RandomState(0)
    refusals = 0
    for _ in range(200):
        changed = bytearray(data)
        changed[random.randint(end)] = random.randint(256)
        path.write_bytes(changed)
        try:
            exported.load(path)
        except UserError as error:
            assert str(error).isprintable()
            refusals += 1
    assert refusals > 150


@pytest.mark.thorough
def test_loading_needs_neither_orbax_nor_another_framework(tmp_path):
    path = tmp_path / "a.safetensors"
    exported.save(path, make())
    program = (
        "import sys; from stylegan_jax.interop import exported; "
        f"exported.load({str(path)!r}); print([name for name in "
        "('orbax', 'tensorflow', 'torch', 'PIL') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
