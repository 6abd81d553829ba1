"""No result replaces an input, another result or a file that no command wrote."""

import os

import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.io import images, listing, outputs
from stylegan_jax.io.outputs import Outputs

PICTURE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
ENDINGS = (".png", "_loss.png")


def test_names_of_one_call_are_given_once_and_the_user_is_told(tmp_path, caplog):
    out = Outputs(tmp_path / "new", fixed=("grid.png",))
    assert out.stem("a", ENDINGS) == "a"
    assert out.stem("A", ENDINGS) == "A_"  # one name where case does not count
    assert out.stem("a_loss", ENDINGS) == "a_loss_"  # the plot of a
    assert out.stem("grid", ENDINGS) == "grid_"
    assert out.stem("e\u0301", (".png",)) == "e\u0301"
    assert out.stem("\u00e9", (".png",)) == "\u00e9_"  # the same on a Mac
    assert out.path("grid.png").name == "grid.png"
    assert out.path("grid.png").name == "grid__.png"
    told = caplog.text
    assert f"written as {tmp_path}/new/a_loss_.png" in told
    assert not (tmp_path / "new").exists()


def test_inputs_are_not_replaced_whatever_they_are_called_by(tmp_path, caplog):
    photo = tmp_path / "holiday.png"
    outputs.write_png(photo, PICTURE, "picture")  # even if it is ours
    link = tmp_path / "elsewhere" / "link.png"
    link.parent.mkdir()
    link.symlink_to(photo)
    hard = tmp_path / "hard.png"
    os.link(photo, hard)
    out = Outputs(tmp_path, inputs=[link])
    assert out.path("holiday.png").name == "holiday_.png"
    assert out.path("hard.png").name == "hard_.png"
    assert "is an input" in caplog.text
    with pytest.raises(UserError, match="folder of the inputs"):
        Outputs(tmp_path, inputs=[tmp_path / "elsewhere" / ".."])


def test_only_what_a_command_wrote_is_replaced(tmp_path):
    images.write_png(tmp_path / "theirs.png", PICTURE)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "report.json").write_text('{"mine": 1}')
    out = Outputs(tmp_path)
    for name in ("theirs.png", "folder.png", "report.json"):
        stem, _, ending = name.partition(".")
        assert out.path(name).name == f"{stem}_.{ending}"
    path = out.write_png("ours.png", PICTURE)
    assert Outputs(tmp_path).path("ours.png") == path  # the same command again
    np.testing.assert_array_equal(images.read_image(path, 3), PICTURE)


def test_scans_leave_results_out_unless_they_are_all_there_is(tmp_path):
    def listed():
        return [x.name for x in listing.photographs(sorted(tmp_path.iterdir()))]

    outputs.write_png(tmp_path / "drawn.png", PICTURE, "picture")
    outputs.write_png(tmp_path / "grid.png", PICTURE, "sheet")
    assert listed() == ["drawn.png"]
    images.write_png(tmp_path / "photo.png", PICTURE)
    assert listed() == ["photo.png"]
    os.mkfifo(tmp_path / "pipe.png")
    assert listed() == ["photo.png", "pipe.png"]


def test_files_among_flags_are_inputs(tmp_path):
    from stylegan_jax.commands.sample import SampleArgs

    network = tmp_path / "network.pkl"
    network.write_bytes(b"")
    args = SampleArgs(network=network, outdir=tmp_path)
    assert outputs.files_named_in(args) == [network]
    long = SampleArgs(network=network, outdir=tmp_path, seeds="1," * 300)
    assert outputs.files_named_in(long) == [network]


def test_folders_that_cannot_be_made_or_written_to_are_told_at_once(
    tmp_path, monkeypatch
):
    (tmp_path / "file").write_bytes(b"")
    for folder in ("file", "file/a/b"):
        with pytest.raises(UserError, match="file is a file; `outdir` must"):
            outputs.Outputs(tmp_path / folder)
    outputs.Outputs(tmp_path / "new/one")
    assert not (tmp_path / "new").exists()
    asked = []
    monkeypatch.setattr(os, "access", lambda path, mode: asked.append(path))
    with pytest.raises(UserError, match="cannot be written to; give another"):
        outputs.Outputs(tmp_path / "new/one")
    assert asked == [tmp_path]
