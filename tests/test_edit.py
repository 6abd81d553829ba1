"""The command: every operation on a small network, and what it says to mistakes."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from stylegan_jax.alignment import crops
from stylegan_jax.alignment.crops import paste_back
from stylegan_jax.alignment.landmarks import read_landmarks
from stylegan_jax.commands import edit, edit_bench
from stylegan_jax.commands.edit_local import Scribble
from stylegan_jax.commands.inputs import Reader
from stylegan_jax.data.portraits.source import Portraits
from stylegan_jax.editing.direction_files import save_directions
from stylegan_jax.editing.directions import Direction
from stylegan_jax.editing.rows import named_rows
from stylegan_jax.errors import UserError
from stylegan_jax.interop import exported
from stylegan_jax.inversion import code as codes
from stylegan_jax.io import images
from tests import tiny

_FACE = [[36, 30], [44, 30], [37, 38], [43, 38]]  # eyes, corners of the mouth
_MIX = ("--style", "seed:1", "--rows", "all")
SEARCHES = ("--perceptual", "none", "--w-steps", "2", "--noise-steps", "2")


@pytest.fixture(scope="module")
def generator():
    return tiny.generator(tiny.MODEL_8)


@pytest.fixture(scope="module")
def network(generator, tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "net.safetensors"
    exported.save(path, generator)
    return str(path)


@pytest.fixture(scope="module")
def seeds(generator):
    """What `seed:0` to `seed:4` are."""
    return Reader(generator=generator).read(["seed:0-4"])[0]


def smile(path, std=None):
    """A file with a direction along the third axis; returns the axis."""
    vector = np.eye(6)[2]
    save_directions(path, [Direction(name="smile", vector=vector, std=std)])
    return vector


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


@pytest.mark.thorough
def test_mixing_writes_a_grid_and_codes_with_the_rows_of_the_style(
    run, generator, seeds
):
    outdir = run("mix", "--content", "seed:1-2", "--style", "seed:3", "--rows", "style")
    assert picture(outdir / "grid_style.png").shape[2] == 3
    mixed = codes.load(outdir / "seed2_style_seed3.safetensors", generator).code
    rows = list(named_rows("style", 4))
    expected = np.array(seeds[2].code.ws)
    expected[:, rows] = np.array(seeds[3].code.ws)[:, rows]
    np.testing.assert_allclose(mixed.ws, expected, rtol=1e-5, atol=1e-6)
    drawn = images.to_uint8(np.asarray(codes.draw(generator, mixed)))[0]
    written = picture(outdir / "seed2_style_seed3.png")
    assert np.abs(written.astype(int) - drawn).max() <= 1


@pytest.mark.thorough
@pytest.mark.parametrize(
    "words", ["seed:1-3", "seed:1-3 --space z", "seed:1-2 --mask left"]
)
def test_a_morph_begins_and_ends_with_its_images(run, seeds, words):
    outdir = run("morph", *words.split(), "--frames", "9", "--no-film", "--no-ease")
    cells = picture(outdir / "grid.png")[-100:-4, 4:-4]  # without the margin
    ends = [item.picture.repeat(12, 0).repeat(12, 1) for item in seeds]
    assert np.abs(cells[:, :96].astype(int) - ends[1]).max() <= 1
    if "mask" not in words:
        assert np.abs(cells[:, -96:].astype(int) - ends[int(words[7])]).max() <= 1


def test_a_film_is_written_where_pyav_is(run):
    av = pytest.importorskip("av")
    outdir = run("morph", "seed:1-2", "--frames", "5", "--loop")
    with av.open(str(outdir / "morph.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 10


def test_expressions_scales_and_attributes_write_a_picture_per_step(
    run, generator, seeds, tmp_path
):
    words = ("--neutral", "seed:2", "--expressive", "seed:3", "--threshold", "0.1")
    outdir = run("expression", "--subject", "seed:1", *words, "--strength", "0,1")
    same = picture(outdir / "seed1_strength0.png")
    np.testing.assert_array_equal(same, seeds[1].picture)
    outdir = run("scale", "seed:1", "--rows", "0", "--factors", "1,2")
    scaled = codes.load(outdir / "seed1_scaled2.safetensors").code.ws
    expected, mean = np.array(seeds[1].code.ws), np.asarray(generator.w_avg)
    expected[:, 0] = mean + 2 * (expected[:, 0] - mean)
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-6)
    vector, path = smile(tmp_path / "d.safetensors", 0.5), tmp_path / "d.safetensors"
    outdir = run("attribute", "seed:1", "--directions", str(path), "--amounts=-1,0,2")
    moved = codes.load(outdir / "seed1_smile+2.safetensors").code.ws
    expected = np.asarray(seeds[1].code.ws) + 2 * 0.5 * vector
    np.testing.assert_allclose(moved, expected, rtol=1e-5, atol=1e-6)
    assert picture(outdir / "grid.png").shape[1] >= 3 * 96
    # Features of a donor, and none of them.
    outdir = run("features", "seed:1", "--donor", "seed:2", "--average", "0")
    written = picture(outdir / "seed1_with_seed2.png")
    assert np.abs(written.astype(int) - seeds[1].picture).max() <= 1


@pytest.mark.slow
def test_local_edits_that_begin_at_a_code_need_no_other_network(run):
    run("scribble", "--image", "portrait:1", "--paint", "mouth=#ff0000", *SEARCHES)
    both = ("--mask", "left", *SEARCHES)
    style = ("--style", "seed:3", "--style-of", "colours")
    run("local-style", "portrait:1", *style, *both)
    run("swap-face", "portrait:1", "--donor", "seed:2", *SEARCHES)


@pytest.mark.parametrize(
    ("channels", "ink"), [(1, [76]), (2, [76, 255]), (3, [255, 0, 0])]
)
def test_paint_is_opaque_and_of_its_colour(channels, ink):
    """Grey is 0.299 of red (BT.601), as of photographs."""
    command = Scribble(network="", outdir=Path(), image="")
    blank = np.zeros((8, 8, channels), np.uint8)
    painted = command._paint(blank, "box:0,0,0.5,1=#ff0000")
    assert painted[0, 0].tolist() == ink and not painted[:, 4:].any()
    blank = np.zeros((8, 8, 4), np.uint8)
    painted = command._paint(blank, "box:0,0,0.5,1=#ff0000")
    assert painted[0, 0].tolist() == [255, 0, 0, 255]


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
        ("xyz x", "no operation 'xyz'; they are reconstruct, morph"),
        (_PAIR, "exactly one of --mask"),
        (f"{_PAIR} --layer 5 --average 0.5", "--layer 5: .* has layers 1 to 4"),
        (f"{_PAIR} --channels 3-8", "channels 0 to 7"),
        ("mix --content seed:1 --style seed:2 --rows 4", "0 to 3"),
        ("morph seed:1 --no-film", "two images or more"),
        ("morph seed:1 portrait:2 --space z --no-film", "seeds only"),
        ("inpaint seed:1 --mask SMALL", "4x4 px, but the network's"),
        ("inpaint seed:1 --mask ear", "neither a picture nor box:"),
        ("inpaint seed:1 --mask left --w-steps 0", "--w-steps 0"),
        ("inpaint seed:1 --mask left --feather 9", "--feather 9.0 is not from 0 to 1"),
        ("scribble --image seed:1 --feather 1e9", r"--feather 1000000000.0 is not"),
        ("inpaint seed:1 --mask left --seed=-1", "--seed -1 is not from 0"),
        ("scale nobody.png", "nobody.png: there is no such file; give seed:"),
        ("scale seed:1 --factors a", "--factors a: give numbers"),
        ("scale seed:1 --landmarks f.json", "--landmarks goes with --align"),
        ("scale seed:1 --cutoff=-1", "--cutoff -1 is below 0"),
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


@pytest.fixture
def photograph(tmp_path):
    """A photograph with a face at given landmarks; and its file, and theirs."""
    canvas = np.random.RandomState(0).randint(90, 110, (64, 80, 3)).astype(np.uint8)
    canvas[16:48, 24:56] = Portraits(9).image(3, 32)
    images.write_png(tmp_path / "me.png", canvas)
    (tmp_path / "me.json").write_text(json.dumps(_FACE))
    return canvas, tmp_path / "me.png", tmp_path / "me.json"


@pytest.mark.thorough
def test_faces_are_cut_out_of_photographs_and_pasted_back(run, photograph, generator):
    canvas, path, landmarks = photograph
    found = crops.align(canvas, size=8, landmarks=read_landmarks(landmarks))[0]
    words = (str(path), "--align", "--landmarks", str(landmarks), *SEARCHES)
    outdir = run("scale", *words, "--factors", "1,2")
    stored = codes.load(outdir / "me.safetensors")
    np.testing.assert_allclose(stored.about["quad"], found.quad)
    assert stored.about["photograph"] == str(path)
    # Nothing changed: detail that the crop has not is still there.
    same = picture(outdir / "me_scaled1_photograph.png")
    np.testing.assert_array_equal(same, canvas)
    both = [picture(outdir / f"me_scaled{factor}.png") for factor in (1, 2)]
    expected = paste_back(canvas, both[1], found.quad, unedited=both[0])
    changed = picture(outdir / "me_scaled2_photograph.png")
    np.testing.assert_array_equal(changed, expected)
    assert (changed != canvas).any()
    # The code goes on knowing the photograph, and so do codes of edits.
    again = run("mix", "--content", str(outdir / "me_scaled2.safetensors"), *_MIX)
    expected = picture(again / "me_scaled2_all_seed1.png")
    expected = paste_back(canvas, expected, found.quad, unedited=both[1])
    pasted = picture(again / "me_scaled2_all_seed1_photograph.png")
    np.testing.assert_array_equal(pasted, expected)
    reader = Reader(generator=generator, aligned=True, landmarks=landmarks)
    (item,) = reader.read(words[:1])[0]
    np.testing.assert_array_equal(item.picture, found.crop)
    assert Reader(generator=generator).read(words[:1])[0][0].place is None


@pytest.mark.thorough
def test_local_edits_of_photographs_need_no_other_network(run, photograph):
    canvas, path, landmarks = photograph
    both = ("--mask", "left", *SEARCHES)
    outdir = run(
        "crossover", "--inside", "portrait:1", "--outside", "portrait:2", *both
    )
    assert (outdir / "portrait1_in_portrait2.safetensors").exists()
    words = (str(path), "--align", "--landmarks", str(landmarks.parent))
    outdir = run("inpaint", *words, "--solutions", "2", *both)
    first, second = (picture(outdir / f"me_inpainted_{i}.png") for i in range(2))
    assert (first != second).any()
    # It is pasted whole.
    quad = codes.load(outdir / "me_inpainted_0.safetensors").about["quad"]
    pasted = picture(outdir / "me_inpainted_0_photograph.png")
    np.testing.assert_array_equal(pasted, paste_back(canvas, first, quad))


def test_a_code_whose_photograph_is_gone_is_not_pasted(
    run, generator, seeds, tmp_path, capsys
):
    code = seeds[4].code
    quad = [[0, 0], [0, 9], [9, 9], [9, 0]]
    about = {"quad": quad, "photograph": str(tmp_path / "gone.png")}
    codes.save(tmp_path / "c.safetensors", code, about)
    outdir = run("scale", str(tmp_path / "c.safetensors"), "--factors", "1")
    assert (
        "gone.png: the photograph of this picture is not there"
        in capsys.readouterr().err
    )
    assert (outdir / "c_scaled1.png").exists()
    codes.save(tmp_path / "d.safetensors", code, {**about, "quad": [1, 2]})
    (reason,) = Reader(generator=generator).read([str(tmp_path / "d.safetensors")])[1]
    assert "is not four points" in reason


def test_an_edit_goes_back_into_its_photograph(run, seeds, tmp_path):
    before, after = seeds[1].code, seeds[2].code
    images.write_png(tmp_path / "photo.png", np.full((20, 24, 3), 128, np.uint8))
    quad = [[4.5, 3.5], [4.5, 11.5], [12.5, 11.5], [12.5, 3.5]]
    about = {"file": str(tmp_path / "photo.png"), "quad": quad}
    codes.save(tmp_path / "me.safetensors", before, about)
    codes.save(tmp_path / "older.safetensors", after, {})
    edited, mine = (str(tmp_path / f"{n}.safetensors") for n in ("older", "me"))
    outdir = run("paste-back", edited, "--inverted", mine)
    changed = (picture(outdir / "older_pasted.png") != 128).any(2)
    assert changed[5:11, 6:12].any() and changed.sum() == changed[4:12, 5:13].sum()
    with pytest.raises(UserError, match="photo is a picture"):
        run("paste-back", str(tmp_path / "photo.png"), "--inverted", mine)


def test_seeds_are_truncated_before_the_edit_or_after_it(run, tmp_path):
    path = tmp_path / "d.safetensors"
    vector = smile(path)
    words = ("attribute", "seed:1", "--directions", str(path), "--amounts=2")
    cut = ("--psi", "0.5", "--cutoff", "2")
    start = codes.load(run(*words, *cut) / "seed1_smile+2.safetensors").code.ws
    outdir = run(*words, *cut, "--truncate", "after")
    after = codes.load(outdir / "seed1_smile+2.safetensors").code.ws
    # The edit is of 2; truncation halves it in the first two layers.
    expected = np.array(start)
    expected[:, :2] -= vector
    np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(UserError, match="--truncate after is of seeds"):
        code = str(outdir / "seed1_smile+2.safetensors")
        run("attribute", code, *words[2:], "--truncate", "after")


def test_directions_and_codes_of_other_programs_are_edited(run, tmp_path):
    vector = np.eye(6)[3]
    np.save(tmp_path / "hat.npy", vector)
    w = np.random.RandomState(0).randn(1, 4, 6)
    np.savez(tmp_path / "projected_w.npz", w=w)
    words = ("attribute", str(tmp_path / "projected_w.npz"), "--amounts=2")
    words += ("--directions", str(tmp_path / "hat.npy"))
    with pytest.raises(UserError, match=r"neither name nor shape say .* --space w"):
        run(*words)
    outdir = run(*words, "--space", "w")
    moved = codes.load(outdir / "projected_w_hat+2.safetensors").code.ws
    np.testing.assert_allclose(moved, w + 2 * vector, rtol=1e-5, atol=1e-6)
    save_directions(
        tmp_path / "two.safetensors",
        [Direction(name=name, vector=vector) for name in ("smile", "age")],
    )
    with pytest.raises(UserError, match=r"--name smlie: did you mean smile\?"):
        two = str(tmp_path / "two.safetensors")
        run("attribute", "seed:1", "--directions", two, "--name", "smlie")


@pytest.mark.thorough
def test_a_photograph_is_inverted_in_its_class(tmp_path, monkeypatch):
    made = tiny.generator(dataclasses.replace(tiny.MODEL_8, label_size=3))
    exported.save(tmp_path / "net.safetensors", made)
    images.write_png(tmp_path / "me.png", tiny.photos(4, 8)[0])
    words = ["reconstruct", tmp_path / "net.safetensors", tmp_path / "me.png"]
    words = [*map(str, [*words, "--outdir", tmp_path / "out"]), *SEARCHES]
    given, invert = [], edit_bench.invert

    def noted(*args, labels, **options):
        given.append(labels)
        return invert(*args, labels=labels, **options)

    monkeypatch.setattr(edit_bench, "invert", noted)
    with pytest.raises(UserError, match=r"--class is missing: .* 3 classes, 0 to 2"):
        edit.main(words)
    with pytest.raises(UserError, match="--class 3 is unknown"):
        edit.main([*words, "--class", "3"])
    assert not (tmp_path / "out" / "me.safetensors").exists()
    edit.main([*words, "--class", "2"])
    np.testing.assert_array_equal(given, [[[0, 0, 1]]])
    assert (tmp_path / "out" / "me.png").exists()


@pytest.mark.thorough
def test_results_beside_photographs_leave_them_alone(network, tmp_path, caplog):
    for name in ("holiday", "grid"):
        images.write_png(tmp_path / f"{name}.png", Portraits(9).image(3, 16))
    link = tmp_path / "elsewhere" / "holiday.png"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "holiday.png")
    photos = [tmp_path / "holiday.png", tmp_path / "grid.png"]
    before = [path.read_bytes() for path in photos]
    for words in (photos, [link, photos[1]]):
        for _ in range(2):
            to = ["--outdir", str(tmp_path)]
            edit.main(["reconstruct", network, *map(str, words), *SEARCHES, *to])
            assert [path.read_bytes() for path in photos] == before
            assert picture(tmp_path / "holiday_.png").shape == (8, 8, 3)
            # grid.png is the photograph, grid_.png its result, grid__.png the grid.
            assert picture(tmp_path / "grid_.png").shape == (8, 8, 3)
            assert picture(tmp_path / "grid__.png").shape[1] > 96
    assert "holiday.png is an input: written as" in caplog.text
