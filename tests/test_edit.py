"""The command: every operation on a small network, and what it says to mistakes."""

import dataclasses

import jax
import numpy as np
import pytest

from stylegan_jax import edit
from stylegan_jax.common import images
from stylegan_jax.common.errors import UserError
from stylegan_jax.data import portraits
from stylegan_jax.data.portraits import Portraits
from stylegan_jax.editing import inputs, layers
from stylegan_jax.editing.direction_files import save_directions
from stylegan_jax.editing.directions import Direction
from stylegan_jax.interop import exported
from stylegan_jax.inversion import code as codes
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import init_generator

CONFIG = ModelConfig(
    resolution=8,
    z_dim=6,
    w_dim=6,
    mapping_layers=0,
    channel_base=64,
    channel_max=8,
)
SEARCHES = ("--perceptual", "none", "--w-steps", "2", "--noise-steps", "2")


@pytest.fixture(scope="module")
def generator():
    made = jax.jit(init_generator, static_argnums=1)(jax.random.key(0), CONFIG)
    return made.replace(w_avg=made.w_avg + 0.5)


@pytest.fixture(scope="module")
def network(generator, tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "net.safetensors"
    exported.save(path, generator)
    return str(path)


@pytest.fixture
def run(network, tmp_path):
    """Runs an operation; returns its folder."""

    def run(operation, *words):
        outdir = tmp_path / operation
        edit.main([operation, network, *words, "--outdir", str(outdir)])
        return outdir

    return run


def picture(path):
    return images.read_image(path)


def test_inputs_are_seeds_portraits_codes_and_pictures(generator, tmp_path):
    image = Portraits(9).image(3, 16)
    images.write_png(tmp_path / "me.png", image)
    code = inputs.read(["seed:4"], generator)[0][0].code
    codes.save(tmp_path / "c.safetensors", code, {})
    (tmp_path / "text.png").write_text("text")
    words = ["seed:4,6-7", "portrait:3", str(tmp_path / "me.png")]
    words += [str(tmp_path / "c.safetensors"), "nothing.png", "seed:x"]
    items, refused = inputs.read([*words, str(tmp_path / "text.png")], generator)
    names = ["seed4", "seed6", "seed7", "portrait3", "me", "c"]
    assert [item.name for item in items] == names
    assert [item.code is None for item in items] == [False] * 3 + [True] * 2 + [False]
    z = np.random.RandomState(6).randn(1, 6).astype("f")
    np.testing.assert_array_equal(items[1].z, z)
    drawn = images.to_uint8(np.asarray(generator.sample(z, psi=0.7)))[0]
    assert np.abs(items[1].picture.astype(int) - drawn).max() <= 1
    # Halved, a portrait is the mean over cells of its larger picture.
    cells = image.reshape(8, 2, 8, 2, 3).mean((1, 3))
    assert np.abs(items[4].picture - cells).max() <= 0.5
    np.testing.assert_array_equal(items[3].picture, Portraits(9).image(3, 8))
    np.testing.assert_array_equal(items[5].picture, items[0].picture)
    for reason, said in zip(
        refused, ["no such file", "'x' is not a number", "not an image"], strict=True
    ):
        assert said in reason


def test_a_portrait_is_drawn_with_other_attributes(generator):
    person = portraits.attributes(7)
    other = dataclasses.replace(person, smile=1.0, eyeglasses=True, hair_style="bun")
    expected = portraits.draw(other, resolution=8, detail_seed=7)
    word = "portrait:7:smile=1:eyeglasses=1:hair_style=bun"
    items, _ = inputs.read([word], generator)
    assert items[0].name == "portrait7_smile=1_eyeglasses=1_hair_style=bun"
    np.testing.assert_array_equal(items[0].picture, expected)
    for wrong in ("smile=9", "hair_style=wild", "nose=1", "smile"):
        assert wrong in inputs.read([f"portrait:7:{wrong}"], generator)[1][0]


def test_mixing_writes_a_grid_and_codes_with_the_rows_of_the_style(run, generator):
    outdir = run("mix", "--content", "seed:1-2", "--style", "seed:3", "--rows", "style")
    assert picture(outdir / "grid_style.png").shape[2] == 3
    mixed = codes.load(outdir / "seed2_style_seed3.safetensors", generator).code
    content, style = (
        item.code for item in inputs.read(["seed:2", "seed:3"], generator)[0]
    )
    rows = list(layers.named_rows("style", 4))
    expected = np.array(content.ws)
    expected[:, rows] = np.array(style.ws)[:, rows]
    np.testing.assert_array_equal(mixed.ws, expected)
    drawn = images.to_uint8(np.asarray(codes.draw(generator, mixed)))[0]
    written = picture(outdir / "seed2_style_seed3.png")
    assert np.abs(written.astype(int) - drawn).max() <= 1


@pytest.mark.parametrize(
    "words", ["seed:1-3", "seed:1-3 --space z", "seed:1-2 --mask left"]
)
def test_a_morph_begins_and_ends_with_its_images(run, generator, words):
    outdir = run("morph", *words.split(), "--frames", "9", "--no-film", "--no-ease")
    cells = picture(outdir / "grid.png")[-96:]
    items, _ = inputs.read(words.split()[:1], generator)
    ends = [item.picture.repeat(12, 0).repeat(12, 1) for item in items]
    assert np.abs(cells[:, :96].astype(int) - ends[0]).max() <= 1
    if "mask" not in words:
        assert np.abs(cells[:, -96:].astype(int) - ends[-1]).max() <= 1


def test_a_film_is_written_where_pyav_is(run):
    av = pytest.importorskip("av")
    outdir = run("morph", "seed:1-2", "--frames", "5", "--loop")
    with av.open(str(outdir / "morph.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 10


def test_expressions_scales_and_attributes_write_a_picture_per_step(
    run, generator, tmp_path
):
    words = ("--neutral", "seed:2", "--expressive", "seed:3", "--threshold", "0.1")
    outdir = run("expression", "--subject", "seed:1", *words, "--strength", "0,1")
    original = inputs.read(["seed:1"], generator)[0][0]
    np.testing.assert_array_equal(
        picture(outdir / "seed1_strength0.png"), original.picture
    )
    outdir = run("scale", "seed:1", "--rows", "0", "--factors", "1,2")
    scaled = codes.load(outdir / "seed1_scaled2.safetensors").code.ws
    expected = np.array(original.code.ws)
    expected[:, 0] = 0.5 + 2 * (expected[:, 0] - 0.5)
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-6)
    vector = np.zeros(6)
    vector[2] = 1
    path = tmp_path / "d.safetensors"
    save_directions(path, [Direction(name="smile", vector=vector, std=0.5)])
    outdir = run("attribute", "seed:1", "--directions", str(path), "--amounts=-1,0,2")
    moved = codes.load(outdir / "seed1_smile+2.safetensors").code.ws
    expected = np.array(original.code.ws)
    expected[:, :, 2] += 2 * 0.5
    np.testing.assert_allclose(moved, expected, rtol=1e-5, atol=1e-6)


def test_features_of_a_donor_in_nothing_change_nothing(run, generator):
    outdir = run("features", "seed:1", "--donor", "seed:2", "--average", "0")
    original = inputs.read(["seed:1"], generator)[0][0]
    written = picture(outdir / "seed1_with_seed2.png")
    assert np.abs(written.astype(int) - original.picture).max() <= 1


def test_local_edits_of_photographs_need_no_other_network(run):
    both = ("--mask", "left", *SEARCHES)
    outdir = run(
        "crossover", "--inside", "portrait:1", "--outside", "portrait:2", *both
    )
    assert (outdir / "portrait1_in_portrait2.safetensors").exists()
    outdir = run("inpaint", "portrait:1", "--solutions", "2", *both)
    first, second = (picture(outdir / f"portrait1_inpainted_{i}.png") for i in range(2))
    assert (first != second).any()


@pytest.mark.slow
def test_local_edits_that_begin_at_a_code_need_no_other_network(run):
    run("scribble", "--image", "portrait:1", "--paint", "mouth=#ff0000", *SEARCHES)
    both = ("--mask", "left", *SEARCHES)
    style = ("--style", "seed:3", "--style-of", "colours")
    run("local-style", "portrait:1", *style, *both)
    run("swap-face", "portrait:1", "--donor", "seed:2", *SEARCHES)


def test_the_others_are_done_when_an_input_is_refused(run, tmp_path):
    (tmp_path / "text.png").write_text("text")
    words = ("seed:1", str(tmp_path / "text.png"), "seed:2", "--factors", "1")
    with pytest.raises(UserError, match=r"1 inputs were left out: .*not an image"):
        run("scale", *words)
    assert (tmp_path / "scale" / "seed1_scaled1.png").exists()
    assert (tmp_path / "scale" / "seed2_scaled1.png").exists()


_PAIR = "features seed:1 --donor seed:2"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("paint x", "no operation 'paint'; they are reconstruct, morph"),
        (_PAIR, "exactly one of --mask"),
        (f"{_PAIR} --layer 5 --average 0.5", "--layer 5: .* has layers 1 to 4"),
        (f"{_PAIR} --channels 3-8", "channels 0 to 7"),
        ("mix --content seed:1 --style seed:2 --rows 4", "0 to 3"),
        ("morph seed:1 --no-film", "two images or more"),
        ("morph seed:1 portrait:2 --space z --no-film", "seeds only"),
        ("inpaint seed:1 --mask SMALL", "4x4 px, but the network's"),
        ("inpaint seed:1 --mask ear", "neither a picture nor box:"),
        ("inpaint seed:1 --mask left --w-steps 0", "--w-steps 0"),
        ("scale nobody.png", "nobody.png: there is no such file; give seed:"),
        ("scale seed:1 --factors a", "--factors a: give numbers"),
        (
            "crossover --inside seed:1-2 --outside seed:1-3 --mask left",
            "3 images for 2",
        ),
    ],
)
def test_mistakes_are_explained(words, said, network, tmp_path):
    images.write_png(tmp_path / "m.png", np.zeros((4, 4), np.uint8))
    operation, *rest = words.replace("SMALL", str(tmp_path / "m.png")).split()
    with pytest.raises(UserError, match=said):
        edit.main([operation, network, *rest, "--outdir", str(tmp_path / "out")])


def test_without_an_operation_the_operations_are_listed(capsys):
    edit.main([])
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in edit.OPERATIONS)
    for command in edit.OPERATIONS.values():
        assert command.__doc__ and "Args" not in command.__doc__
