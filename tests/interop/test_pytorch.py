"""Images of PyTorch checkpoints agree with what the original PyTorch code draws.

`tests/data/pytorch` has small networks of random weights, none of them zero, as
`torch.save` of PyTorch 2.13 wrote them, and in an `.npz` beside each what the original
code made of them on a CPU in float32: genforce's `StyleGANGenerator`, and networks put
together from the blocks of rosinality's `model.py`, with fewer channels.

- `genforce_res128_labels3`: old layout, float16, tensors that are strided views
- `genforce_res16_growing`: training state in the old layout, optimiser and all
- `genforce_res8_dense`: zip, bfloat16, grey, no constant input
- `rosinality_res128`: old layout, fused, the last block (256 px) not trained
- `rosinality_res16`: zip, not fused, training state
"""

import functools
import struct
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.interop.pytorch import load_bundle
from stylegan_jax.pickles import torch_file
from stylegan_jax.pickles.torch_pickle import Tensor


@functools.partial(
    jax.jit,
    static_argnames="cutoff",
    compiler_options={"xla_backend_optimization_level": 0},
)
def drawn(generator, z, *, psi=1.0, cutoff=8, labels=None, noise=None):
    options = {"labels": labels, "noise": noise, "cutoff": cutoff}
    return generator.sample(z, psi=psi, **options)


HERE = Path(__file__).parents[1] / "data" / "pytorch"
OFFICIAL = HERE.parent / "official" / "stylegan_res16_labels5_gray.pkl"
NAMES = sorted(path.stem for path in HERE.glob("*.pth"))
TOLERANCE = 1e-4  # largest difference over the images' standard deviation


def reference(name):
    with np.load(HERE / f"{name}.npz") as file:
        return dict(file)


def assert_agrees(actual, expected):
    assert actual.shape == expected.shape
    difference = np.abs(np.asarray(actual) - expected).max()
    assert difference < TOLERANCE * expected.std()


def load(name, which="ema"):
    return load_bundle(HERE / f"{name}.pth", which).generator


def shared_noise(seed, resolution):
    """What the reference drew: an image per block, here once for each of its layers."""
    rng, noise = np.random.RandomState(seed), []
    for size in (4 << i for i in range(resolution.bit_length() - 2)):
        noise += [jnp.asarray(rng.randn(2, size, size, 1), jnp.float32)] * 2
    return tuple(noise)


# --- genforce ----------------------------------------------------------------------


@pytest.mark.thorough
def test_genforce_with_labels_and_fused_convolutions():
    expected, generator = (
        reference("genforce_res128_labels3"),
        load("genforce_res128_labels3"),
    )
    z, labels = jnp.asarray(expected["z"]), jnp.asarray(expected["labels"])
    assert generator.config.label_size == 3 and generator.resolution == 128
    assert_agrees(generator.map(z, labels)[:, 0], expected["w"])
    images = drawn(generator, z, labels=labels)
    assert_agrees(images[:, ::8, ::8], expected["psi1"])


@pytest.mark.parametrize(
    ("which", "prefix"),
    [("raw", "raw_"), pytest.param("ema", "", marks=pytest.mark.thorough)],
)
def test_genforce_in_mid_growth(which, prefix):
    expected = reference("genforce_res16_growing")
    generator = load("genforce_res16_growing", which=which)
    z = jnp.asarray(expected[f"{prefix}z"])
    assert generator.resolution == 16
    np.testing.assert_allclose(generator.alpha, 0.375)  # lod 0.625
    assert_agrees(drawn(generator, z), expected[f"{prefix}psi1"])
    if which == "ema":
        truncated = drawn(generator, z, psi=0.7, cutoff=4)
        assert_agrees(truncated, expected["psi0.7cut4"])


def test_genforce_with_a_traditional_input():
    expected, generator = reference("genforce_res8_dense"), load("genforce_res8_dense")
    assert not generator.config.const_input
    assert_agrees(drawn(generator, jnp.asarray(expected["z"])), expected["psi1"])


# --- rosinality --------------------------------------------------------------------


@pytest.mark.thorough
def test_rosinality_with_fused_convolutions_stops_at_what_was_trained():
    expected, generator = reference("rosinality_res128"), load("rosinality_res128")
    assert generator.resolution == generator.config.resolution == 128
    ws = generator.map(jnp.asarray(expected["z"]))
    images = generator.synthesize(ws, shared_noise(6, 128))
    assert_agrees(images[:1, ::8, ::8], expected["image"])


@pytest.mark.thorough
def test_rosinality_folds_gains_and_finds_the_mean_of_w():
    expected, generator = reference("rosinality_res16"), load("rosinality_res16")
    z, noise = jnp.asarray(expected["z"]), shared_noise(10, 16)
    assert generator.config.fused_from > 1024
    assert_agrees(generator.map(z)[:, 0], expected["w"])
    images = drawn(generator, z, noise=noise)
    assert_agrees(images[:1], expected["image"])
    # The reference's mean style is over the same latents.
    assert_agrees(generator.w_avg, expected["w_avg"])


@pytest.mark.thorough
def test_rosinality_at_several_sizes_fading_and_truncated():
    expected, generator = reference("rosinality_res16"), load("rosinality_res16")
    z, noise = jnp.asarray(expected["z"]), shared_noise(10, 16)
    fading = generator.replace(alpha=jnp.float32(0.3))
    images = drawn(fading, z, noise=noise)
    assert_agrees(images[:1], expected["fading"])
    coarse = generator.replace(resolution=8)
    assert_agrees(drawn(coarse, z, noise=noise)[:1], expected["coarse"])
    images = drawn(generator, z, psi=0.7, cutoff=None, noise=noise)
    assert_agrees(images[:1], expected["truncated"])


@pytest.mark.thorough
def test_rosinality_networks_get_the_same_noise_every_time_one_image_per_block():
    first, again = load("rosinality_res16"), load("rosinality_res16")
    for i, (a, b) in enumerate(zip(first.noise, again.noise, strict=True)):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, first.noise[i - i % 2])
        assert abs(float(a.std()) - 1) < 0.3
    other = tuple(x if i % 2 == 0 else x + 1 for i, x in enumerate(first.noise))
    ws = first.map(jnp.ones((1, 6)))
    np.testing.assert_array_equal(first.synthesize(ws), first.synthesize(ws, other))


# --- Recognising -------------------------------------------------------------------


def test_files_of_torch_save_are_told_by_their_beginning(tmp_path):
    assert all(torch_file.is_pytorch_file(HERE / f"{name}.pth") for name in NAMES)
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    for path in (tmp_path / "a.npz", OFFICIAL, tmp_path / "none"):
        assert not torch_file.is_pytorch_file(path)


def test_every_tensor_of_every_file_can_be_read():
    for name in NAMES:
        value, count = torch_file.read(HERE / f"{name}.pth"), 0
        todo = [value]
        while todo:
            item = todo.pop()
            if isinstance(item, dict):
                todo += item.values()
            elif isinstance(item, Tensor):
                assert np.isfinite(item.array()).all()
                count += 1
        assert count > 20


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"hello", "not a file of torch.save"),
        (OFFICIAL.read_bytes(), "not a file of torch.save"),
        ((HERE / "rosinality_res16.pth").read_bytes()[:9000], "cut short"),
        ((HERE / "rosinality_res128.pth").read_bytes()[:9000], "damaged"),
        ((HERE / "rosinality_res128.pth").read_bytes()[:-9],
         "a storage beyond the end of the file",),
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_called_by_its_name(tmp_path, data, words):
    path = tmp_path / "file.pth"
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        load_bundle(path)
    message = str(caught.value)
    assert words in message and message.startswith(f"{path}: ")
    assert "rosinality/style-based-gan-pytorch" in message and message.isprintable()


def renamed(path, **names):
    """The old-layout file with other names of as many letters."""
    data = (HERE / "genforce_res16_growing.pth").read_bytes()
    for old, new in names.items():
        assert len(old) == len(new)
        data = data.replace(old.encode(), new.encode())
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("generator", "elevator_", "holds a dictionary of"),
        ("style.bias", "style.bits", "no place"),
        ("lod", "LOD", "synthesis.LOD"),
        ("w_avg", "w_var", "truncation.w_avg is missing"),
        ("apply_noise", "apply_moise", "holds a dictionary"),
    ],
)
def test_other_networks_are_refused_with_the_reason(tmp_path, old, new, words):
    with pytest.raises(UserError, match=words):
        load_bundle(renamed(tmp_path / "a.pth", **{old: new}))


def test_a_flipped_bit_of_a_weight_is_noticed_where_there_are_checksums(tmp_path):
    source = HERE / "genforce_res8_dense.pth"
    data = bytearray(source.read_bytes())
    with zipfile.ZipFile(source) as archive:
        storages = [info for info in archive.infolist() if "/data/" in info.filename]
    largest = max(storages, key=lambda info: info.file_size)
    lengths = struct.unpack_from("<HH", data, largest.header_offset + 26)
    data[largest.header_offset + 30 + sum(lengths) + 3] ^= 1
    path = tmp_path / "flipped.pth"
    path.write_bytes(data)
    with pytest.raises(UserError, match="checksum"):
        load_bundle(path)
