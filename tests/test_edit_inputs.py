"""What edits are given: seeds, portraits, codes and pictures."""

import dataclasses

import numpy as np
import pytest

from stylegan_jax.commands.inputs import Reader
from stylegan_jax.data.portraits import source
from stylegan_jax.interop import exported
from stylegan_jax.inversion import code as codes
from stylegan_jax.io import images
from stylegan_jax.ops.latents import latents_of_seed
from tests import tiny


@pytest.fixture(scope="module")
def reader():
    return Reader(generator=tiny.generator(tiny.MODEL_8))


@pytest.mark.thorough
def test_inputs_are_seeds_portraits_codes_and_pictures(reader, tmp_path):
    image = tiny.photos()[3]
    images.write_png(tmp_path / "me.png", image)
    code = reader.read(["seed:4"])[0][0].code
    codes.save(tmp_path / "c.safetensors", code, {})
    (tmp_path / "text.png").write_text("text")
    words = ["seed:4,6-7", "portrait:3", str(tmp_path / "me.png")]
    words += [str(tmp_path / "c.safetensors"), "nothing.png", "seed:x"]
    words += [str(tmp_path / "text.png"), "portrait:1000000"]
    items, rejected = reader.read(words)
    names = ["seed4", "seed6", "seed7", "portrait3", "me", "c"]
    assert [item.name for item in items] == names
    assert [item.code is None for item in items] == [False] * 3 + [True] * 2 + [False]
    z = np.random.RandomState(6).randn(1, 6).astype("f")
    np.testing.assert_array_equal(items[1].z, z)
    drawn = images.to_uint8(np.asarray(reader.generator.sample(z, psi=0.7)))[0]
    assert np.abs(items[1].picture.astype(int) - drawn).max() <= 1
    # Halved, a portrait is the mean over cells of its larger picture.
    cells = image.reshape(8, 2, 8, 2, 3).mean((1, 3))
    assert np.abs(items[4].picture - cells).max() <= 0.5
    np.testing.assert_array_equal(items[3].picture, tiny.photos(4, 8)[3])
    np.testing.assert_array_equal(items[5].picture, items[0].picture)
    reasons = ["no such file", "'x' is not a seed", "not an image", "0 to 999999"]
    for reason, said in zip(rejected, reasons, strict=True):
        assert said in reason


def test_a_portrait_is_drawn_with_other_attributes(reader):
    person = source.attributes(7)
    other = dataclasses.replace(person, smile=1.0, eyeglasses=True, hair_style="bun")
    expected = source.draw(other, resolution=8, detail_seed=7)
    items, _ = reader.read(["portrait:7:smile=1:eyeglasses=1:hair_style=bun"])
    assert items[0].name == "portrait7_smile=1_eyeglasses=1_hair_style=bun"
    np.testing.assert_array_equal(items[0].picture, expected)
    for wrong in ("smile=9", "hair_style=wild", "nose=1", "smile"):
        assert wrong in reader.read([f"portrait:7:{wrong}"])[1][0]


def test_seeds_of_conditional_networks_name_their_class():
    made = tiny.generator(dataclasses.replace(tiny.MODEL_8, label_size=3))
    reader = Reader(generator=made, psi=0.5, cutoff=1)
    (item,), _ = reader.read(["seed:4:class=2"])
    label = np.eye(1, 3, 2, dtype=np.float32)
    ws = np.array(made.map(latents_of_seed(4, 6), label))
    ws[:, :1] = 0.5 * ws[:, :1] + 0.5 * np.asarray(made.w_avg)
    np.testing.assert_allclose(item.code.ws, ws, rtol=1e-5, atol=1e-6)
    assert item.name == "seed4_class2"
    np.testing.assert_array_equal(item.label, label)
    for word in ("seed:4", "seed:4:class=3", "seed:4:size=1"):
        (reason,) = reader.read([word])[1]
        assert f"{word}: this network has 3 classes: seed:4:class=0 to 2" in reason


def test_a_code_of_a_tuned_network_asks_for_it(reader, tmp_path, caplog):
    path = tmp_path / "me.safetensors"
    codes.save(path, tiny.code(reader.generator), {})
    tuned = tiny.generator(tiny.MODEL_8, seed=4)
    exported.save(tmp_path / "me_network.safetensors", tuned)
    assert not reader.read([str(path)])[1]
    assert f"give {tmp_path / 'me_network.safetensors'} as" in caplog.text
    caplog.clear()
    Reader(generator=tuned).read([str(path)])
    assert not caplog.text
