"""The commands as users type them: train, continue, sample, and mistakes."""

import functools
import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stylegan_jax.commands import running, sample, train
from stylegan_jax.io import images

PICKLE = (
    Path(__file__).parents[1] / "data" / "official" / "stylegan_res16_labels5_gray.pkl"
)


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory) -> Path:
    """A run of 240 images in this process, which four devices share."""
    folder = tmp_path_factory.mktemp("run")
    main_words = [str(write_recipe(folder)), "--workdir", str(folder / "run")]
    train.main([*main_words, "--schedule.total-kimg", "0.24"])
    return folder / "run"


def write_recipe(folder: Path) -> Path:
    """One resolution, 8 px, and labels: the quickest run there is."""
    path = folder / "tiny.py"
    path.write_text(
        "import stylegan_jax as sg\n"
        "def get_config():\n"
        "    return sg.Config(\n"
        "        model=sg.ModelConfig(resolution=8, z_dim=8, w_dim=8, channel_max=8,\n"
        "                             mapping_width=8, mapping_layers=1),\n"
        "        data=sg.DataConfig(portraits_size=32, labels='eyeglasses'),\n"
        "        schedule=sg.ScheduleConfig(batch_size=4, repeats=5),\n"
        "        checkpoint=sg.CheckpointConfig(every_kimg=0.08),\n"
        "        run=sg.RunConfig(grid_columns=2, grid_rows=2),\n"
        "    )\n"
    )
    return path


def counts(run: Path) -> list[int]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["nimg"] for line in lines]


def test_a_run_leaves_checkpoints_metrics_and_pictures(finished_run):
    names = sorted(path.name for path in (finished_run / "checkpoints").iterdir())
    assert names == ["nimg_000000080", "nimg_000000160", "nimg_000000240"]
    assert counts(finished_run) == [80, 160, 240]
    reals = images.read_image(next((finished_run / "samples").glob("reals*.png")))
    fakes = sorted((finished_run / "samples").glob("fakes*.png"))
    assert reals.shape == (16, 16, 3) and len(fakes) >= 3
    assert images.read_image(fakes[-1]).shape == reals.shape


def test_the_same_command_again_finds_nothing_to_do_and_a_longer_one_continues(
    finished_run, tmp_path
):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    words = [str(write_recipe(tmp_path)), "--workdir", str(run)]
    newest = run / "checkpoints" / "nimg_000000240"
    written = newest.stat().st_mtime_ns
    train.main([*words, "--schedule.total-kimg", "0.24"])
    assert newest.stat().st_mtime_ns == written and counts(run) == [80, 160, 240]
    train.main([*words, "--schedule.total-kimg", "0.32"])
    assert counts(run) == [80, 160, 240, 320]
    with pytest.raises(ValueError, match=r"optimizer\.beta2: 0\.99 -> 0\.9"):
        train.main([*words, "--optimizer.beta2", "0.9"])


def test_samples_of_a_run_are_those_of_its_newest_checkpoint(finished_run, tmp_path):
    def draw(network: Path, name: str, *words: str) -> dict[str, bytes]:
        outdir = tmp_path / name
        base = ["--seeds", "0-2", "--outdir", str(outdir)]
        sample.main([str(network), *base, *words])
        return {path.name: path.read_bytes() for path in outdir.iterdir()}

    folder = finished_run / "checkpoints"
    of_run = draw(finished_run, "run", "--class", "1")
    assert sorted(of_run) == [
        "grid.png",
        *(f"seed{seed:04d}_class1.png" for seed in range(3)),
    ]
    newest = draw(folder / "nimg_000000240", "newest", "--class", "1")
    assert newest == of_run
    older = draw(folder / "nimg_000000080", "older", "--class", "1")
    assert older["seed0000_class1.png"] != of_run["seed0000_class1.png"]


def test_sampling_an_official_pickle_in_a_process_of_its_own(start, tmp_path):
    """One device there, four here: the files are the same."""
    words = [PICKLE, "--seeds", "0-4", "--class", "3"]
    process = start("sample", *words, "--outdir", tmp_path / "there")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "5 images in" in output and "%" not in output  # no bar off a terminal
    again = start("sample", *words, "--outdir", tmp_path / "again", "--batch-size", 1)
    output, _ = again.communicate(timeout=60)
    assert again.returncode == 0, output
    sample.main([*map(str, words), "--outdir", str(tmp_path / "here")])
    for path in (tmp_path / "there").iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
        # This process compiles with other flags, and may round differently.
        pixels = images.read_image(tmp_path / "here" / path.name).astype(int)
        assert np.abs(pixels - images.read_image(path)).max() <= 1


MISTAKES = [
    ("train", "quickstart", "--workdir is missing"),
    ("train", "no_such_recipe --workdir {tmp}", "no recipe no_such_recipe"),
    ("train", "quickstrat --workdir {tmp}", "did you mean quickstart"),
    ("train", "quickstart --schedule.total-kmig 1", "--schedule.total-kimg"),
    (
        "train",
        "quickstart --workdir {tmp} --data.name folder",
        "needs a path; set data.path",
    ),
    (
        "train",
        "portraits64 --workdir {tmp}/run --data.name folder --data.path {tmp}/nowhere",
        "nowhere",
    ),
    ("sample", "{pkl} --outdir {tmp} --seeds 1-x", "'1-x' is not a seed"),
    ("sample", "{pkl} --outdir {tmp}", "--class is missing: this network has"),
    ("sample", "{pkl} --outdir {tmp} --sedes 1", "--seeds"),
    ("sample", "{tmp}/nothing --outdir {tmp}", "does not exist"),
    ("sample", "{tmp} --outdir {tmp}", "is not a run directory"),
    ("sample", "{text} --outdir {tmp}", "{text}"),
    ("sample", "{pkl}", "--outdir"),
    (
        "prepare_data",
        "--data.name folder --data.path {tmp}/nowhere --dest {tmp}/made --resolution 8",
        "nowhere",
    ),
]


@pytest.mark.parametrize(
    ("program", "words", "message"), MISTAKES, ids=[f"{m[0]}: {m[2]}" for m in MISTAKES]
)
def test_a_mistake_is_told_in_short_with_status_2(
    tmp_path, monkeypatch, capsys, program, words, message
):
    monkeypatch.setenv("COLUMNS", "200")
    text = tmp_path / "letter.txt"
    text.write_text("not a network\n")
    names = {"tmp": tmp_path, "pkl": PICKLE, "text": text}
    main = importlib.import_module(f"stylegan_jax.commands.{program}").main
    given = [word.format(**names) for word in words.split()]
    with pytest.raises(SystemExit) as left:
        running.run_main(functools.partial(main, given))
    output = capsys.readouterr().err
    assert left.value.code == 2, output
    assert message.format(**names) in output
    assert "Traceback" not in output
    ours = output.startswith("error: ")  # the rest are the boxes of the flag parser
    assert len(output.splitlines()) <= (2 if ours else 12), output
