import dataclasses
import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.commands import directions
from stylegan_jax.editing.direction_files import load_directions
from stylegan_jax.errors import UserError
from stylegan_jax.interop import exported
from stylegan_jax.inversion import code as codes
from stylegan_jax.io import images
from tests import tiny


@dataclasses.dataclass(frozen=True)
class Brightness:
    """Stands for a classifier: the mean of one channel."""

    channel: int
    accuracy: float = 0.9

    def logit(self, images):
        return 10 * jnp.mean(images[..., self.channel], axis=(1, 2))


@pytest.fixture(scope="module", autouse=True)
def _colours():
    def trained(source, resolution, *, names, file, seed, quiet):
        if source.name != "portraits":
            raise UserError("labels are not known")
        assert resolution == 8
        return {name: Brightness(("red", "green").index(name)) for name in names}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directions, "classifiers_for", trained)
        yield


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "tiny.safetensors"
    exported.save(path, tiny.generator(tiny.MODEL_8))
    return str(path)


PORTRAITS = ("--data.name", "portraits")


def run(network, outdir, *words):
    words = words if "--data.name" in words else (*words, *PORTRAITS)
    directions.main([network, "--outdir", str(outdir), "--people", "1", *words])
    return load_directions(outdir / "directions.safetensors")


@pytest.fixture(scope="module")
def learnt(network, tmp_path_factory):
    """Directions of brightness, the table and the folder."""
    outdir = tmp_path_factory.mktemp("learnt")
    found = run(
        network,
        outdir,
        *("--attributes", "red,green", "--samples", "400", "--extremes", "0.1"),
        *("--measured", "60"),
    )
    return found, json.loads((outdir / "table.json").read_text()), outdir


@pytest.mark.thorough
def test_directions_of_attributes_turn_up_their_own(learnt):
    found, table, outdir = learnt
    assert [d.name for d in found] == ["red", "green"]
    for row in table["directions"]:
        assert row["own_over_largest_other"] > 2 and row["changes"][row["name"]] > 0.3
    stds = {d.name: d.std for d in found}
    assert table["directions"][0]["amount"] == pytest.approx(2 * stds["red"])
    assert [p["name"] for p in table["planes"]] == ["red", "green"]
    assert min(p["validation_accuracy"] for p in table["planes"]) > 0.9
    assert "**" in (outdir / "table.md").read_text()
    picture = images.read_image(outdir / "directions.png")
    assert picture.shape[0] >= 2 * 64 and picture.shape[1] >= 7 * 64


@pytest.mark.thorough
def test_directions_of_a_file_are_measured_again(learnt, network, tmp_path):
    _, table, outdir = learnt
    file = str(outdir / "directions.safetensors")
    words = ["--file", file, "--attributes", "red,green", "--measured", "60"]
    words += PORTRAITS
    directions.main([network, "--outdir", str(tmp_path), "--people", "1", *words])
    again = json.loads((tmp_path / "table.json").read_text())
    for one, other in zip(table["directions"], again["directions"], strict=True):
        assert one["changes"] == pytest.approx(other["changes"], abs=1e-5)
    assert not (tmp_path / "directions.safetensors").exists()
    # Corrected, each changes its own attribute still more by itself.
    corrected = run(network, tmp_path, *words, "--correct", "100", "--samples", "200")
    assert "corrected by 100 samples" in corrected[0].provenance
    again = json.loads((tmp_path / "table.json").read_text())
    for one, other in zip(table["directions"], again["directions"], strict=True):
        ratio = abs(other["own_over_largest_other"])
        assert ratio > min(20, one["own_over_largest_other"])


@pytest.mark.thorough
def test_boundaries_of_others_are_measured(network, tmp_path):
    for name in ("a_red_w", "b_red_w", "a_green"):
        vector = np.random.RandomState(len(name)).randn(1, 6)
        np.save(tmp_path / f"{name}_boundary.npy", vector)
    words = ["--file", str(tmp_path), "--attributes", "red,green", "--measured", "20"]
    words += ["--samples", "100", *PORTRAITS]
    directions.main([network, "--outdir", str(tmp_path), "--people", "1", *words])
    table = json.loads((tmp_path / "table.json").read_text())
    names = [row["name"] for row in table["directions"]]
    assert names == [
        "green",
        "red (a_red_w_boundary.npy)",
        "red (b_red_w_boundary.npy)",
    ]
    assert table["directions"][0]["amount"] == 2  # in z a standard deviation is 1
    assert None not in [row["own_over_largest_other"] for row in table["directions"]]


def test_directions_without_attributes(network, tmp_path):
    plain = ["--measured", "0", "--number", "2", "--samples", "500"]
    sefa = run(network, tmp_path, "--method", "sefa", "--layers", "1-2", *plain)
    assert [d.name for d in sefa] == ["sefa1", "sefa2"]
    assert sefa[0].layers == (1, 2) and sefa[0].std > 0
    pca = run(network, tmp_path, "--method", "ganspace", "--layers", "3", *plain)
    assert [d.layers for d in pca] == [(3,), (3,)] and pca[0].std >= pca[1].std
    assert not (tmp_path / "table.md").exists()


def test_data_that_is_not_known_is_not_guessed(network, tmp_path, capsys):
    with pytest.raises(UserError, match=r"not known what this was trained on; give"):
        directions.main([network, "--outdir", str(tmp_path)])
    words = ["--method", "sefa", "--number", "1", "--samples", "50", "--people", "1"]
    directions.main([*words, network, "--outdir", str(tmp_path)])
    assert f"no table: the data of the network {network} is not known" in (
        capsys.readouterr().out
    )
    assert not (tmp_path / "table.md").exists()


def test_mistakes_are_refused(network, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "images").mkdir()
    images.write_png(tmp_path / "images" / "a.png", np.zeros((8, 8, 3), np.uint8))
    images.write_png(tmp_path / "images" / "b.png", np.zeros((8, 8, 3), np.uint8))
    folder = ["--data.name", "folder", "--data.path", str(tmp_path / "images")]
    in_z = ["--file", str(tmp_path / "m_age_boundary.npy"), "--layers", "0"]
    np.save(tmp_path / "m_age_boundary.npy", np.ones((1, 6)))
    for message, words in [
        ("must be a folder", ["--outdir", str(tmp_path / "file")]),
        ("labels are not known", folder),
        ("--people 0 is below 1", ["--people", "0"]),
        ("--layers 4: .* has rows 0 to 3", ["--layers", "4", "--method", "sefa"]),
        ("is in z, which has no layers", [*in_z, "--measured", "0"]),
        ("--class 1", ["--method", "sefa", "--measured", "0", "--class", "1"]),
    ]:
        with pytest.raises(UserError, match=message):
            directions.main([network, "--outdir", str(tmp_path / "out"), *words])


def test_other_data_have_no_table(network, tmp_path, capsys):
    images.write_png(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    images.write_png(tmp_path / "b.png", np.zeros((8, 8, 3), np.uint8))
    words = ["--data.name", "folder", "--data.path", str(tmp_path), "--number", "1"]
    run(network, tmp_path, "--method", "ganspace", "--samples", "100", *words)
    assert "is without labels" in capsys.readouterr().out
    assert not (tmp_path / "table.md").exists()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Two folders of codes, whose second layer differs by the same change."""
    root, change = tmp_path_factory.mktemp("pairs"), np.zeros((1, 4, 6), np.float32)
    change[0, 1, 2] = 3
    for folder in ("without", "with"):
        (root / folder).mkdir()
        for seed in range(3):
            code = tiny.code(tiny.generator(tiny.MODEL_8), seed)
            if folder == "with":
                code = code.replace(ws=code.ws + change)
            codes.save(root / folder / f"{seed}.safetensors", code, {})
    return root / "without", root / "with"


def test_a_direction_of_pairs(network, pairs, tmp_path, capsys):
    words = ["--pairs", *map(str, pairs), "--name", "smile", "--measured", "0"]
    (smile,) = run(network, tmp_path / "all", *words)
    assert (smile.name, smile.vector.shape) == ("smile", (4, 6))
    assert smile.vector[1, 2] == pytest.approx(2)  # one of four rows
    assert smile.std == pytest.approx(3 / 2 / 2)
    said = capsys.readouterr().out
    assert "smile: 100% of 3 pairs go along the mean of the others" in said
    (smile,) = run(network, tmp_path / "one", *words, "--layers", "1")
    assert smile.layers == (1,) and smile.std == pytest.approx(3 / 2)
    assert f"3 pairs of codes of {network}" in smile.provenance
    assert (tmp_path / "one" / "directions.png").exists()


def test_pairs_that_are_none(network, pairs, tmp_path):
    without, having = map(str, pairs)
    (tmp_path / "empty").mkdir()
    (tmp_path / "alone").mkdir()
    shutil.copy(pairs[0] / "0.safetensors", tmp_path / "alone" / "9.safetensors")
    both = ["--pairs", without, having]
    for message, words in [
        ("needs the --name of the attribute", both),
        ("--pairs and --file both", [*both, "--name", "x", "--file", without]),
        (
            "--method sefa finds directions, --pairs has",
            [*both, "--name", "x", "--method", "sefa"],
        ),
        (
            "--method ganspace finds directions, --file has",
            ["--file", without, "--method", "ganspace"],
        ),
        ("--space z is not of --pairs", [*both, "--name", "x", "--space", "z"]),
        ("--name is of --pairs", ["--method", "sefa", "--name", "x"]),
        (
            "there is no such folder",
            ["--pairs", without, f"{having}/no", "--name", "x"],
        ),
        (
            "has no codes; python",
            ["--pairs", without, str(tmp_path / "empty"), "--name", "x"],
        ),
        (
            r"only: 0.safetensors, 1.safetensors, 2.safetensors, \.\.\.;",
            ["--pairs", without, str(tmp_path / "alone"), "--name", "x"],
        ),
        ("another --outdir", [*both, "--name", "x", "--outdir", having]),
        ("layers 4", [*both, "--name", "x", "--layers", "4"]),
    ]:
        with pytest.raises(UserError, match=message):
            directions.main([network, "--outdir", str(tmp_path / "out"), *words])
    assert not (tmp_path / "out").exists()
