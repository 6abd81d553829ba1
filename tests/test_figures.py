"""The command: figures by name, their files, and what it says to mistakes."""

import dataclasses
import shlex

import jax
import pytest

from stylegan_jax.commands import cli, edit, figure_lecture, figures
from stylegan_jax.errors import UserError
from stylegan_jax.interop import exported
from stylegan_jax.io import images
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import init_generator
from tests import tiny
from tests.docs import pages

CONFIG = ModelConfig(
    resolution=8,
    z_dim=6,
    w_dim=6,
    mapping_layers=0,
    channel_base=64,
    channel_max=8,
)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    generator = jax.jit(init_generator, static_argnums=1)(jax.random.key(0), CONFIG)
    path = tmp_path_factory.mktemp("network") / "net.safetensors"
    exported.save(path, generator)
    return str(path)


@pytest.fixture
def run(network, tmp_path):
    """Draws a figure; returns the files."""

    def run(name, *words, outdir=None):
        outdir = outdir or tmp_path / "out"
        figures.main([name, network, *words, "--outdir", str(outdir), "--cell", "8"])
        return sorted(path.name for path in outdir.iterdir())

    return run


FLAGS = {
    "uncurated": ["--seeds", "0-2", "--columns", "2"],
    "stochastic-variation": ["--count", "5", "--seeds", "1"],
    "layer-effects": ["--count", "2", "--seeds", "1"],
    "interpolation": ["--frames", "2", "--seeds", "0-3", "--paths", "2", "--no-film"],
    "morph": ["--frames", "2", "--no-film"],
    "inversion": ["--steps", "2", "--noise-steps", "1", "--no-film"],
}
OF_MORE = ("growing", "nearest", "overfitting", "reconstruction", "scores")
OF_MORE += ("theory", "modes", "disentanglement", "growing-speed", "family")
STILLS = [name for name in figures.FIGURES if name not in OF_MORE]


@pytest.mark.parametrize("name", STILLS)
def test_every_figure_is_a_png_of_its_name(run, tmp_path, name):
    file = f"{name.replace('-', '_')}.png"
    assert run(name, *FLAGS.get(name, [])) == [file]
    figure = images.read_image(tmp_path / "out" / file)
    assert figure.std() > 10


def test_films_are_written_beside_their_strips(run, tmp_path):
    av = pytest.importorskip("av")
    assert run("morph", "--frames", "3", "--fps", "5") == ["morph.mp4", "morph.png"]
    with av.open(tmp_path / "out" / "morph.mp4") as film:
        assert sum(1 for _ in film.decode(video=0)) == 6


def test_all_draws_what_can_be_drawn_and_names_the_rest(
    run, monkeypatch, tmp_path, capsys
):
    some = ("truncation", "growing", "reconstruction", "nearest")
    monkeypatch.setattr(figures, "FIGURES", {n: figures.FIGURES[n] for n in some})
    assert run("all") == ["truncation.png"]
    told = capsys.readouterr().err
    assert "nearest" not in told  # it would look through all of the data
    assert "no growing: " in told and "give a run directory" in told
    assert "no reconstruction: --codes is missing" in told
    monkeypatch.setattr(figures, "FIGURES", {n: figures.FIGURES[n] for n in some[1:]})
    with pytest.raises(UserError, match="no figure could be drawn"):
        run("all", outdir=tmp_path / "other")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["portrait"], "no figure 'portrait'; they are uncurated, style-mixing"),
        (["truncation", "--psi", "x"], "--psi x: give numbers"),
        (["uncurated", "--seeds", "5-2"], "did you mean 2-5"),
        (["uncurated", "--columns", "0"], "--columns 0 is below 1"),
        (["style-mixing", "--coarse", "a"], "--coarse a: 'a' is not a seed"),
        (["stochastic-variation", "--count", "3"], "--count 3 is below 4"),
        (["stochastic-variation", "--crop", "1", "0", "0.5"], "--crop 1 0 0.5"),
        (["interpolation", "--paths", "2"], "9 seeds do not make 2 paths"),
        (["interpolation", "--fps", "0"], "--fps 0 is below 1"),
        (["morph", "--images", "seed:0"], "are 1; give two for each pair"),
        (["morph", "--images", "seed:0", "no.png"], "there is no such file"),
        (["reconstruction"], "--codes is missing"),
        (["gram", "--x", "seed:0-1"], "3 pictures for --x and --y; give one each"),
        (["loss-masks", "--feather", "1"], "--feather 1.0 is not from 0 to 1"),
        (["inversion", "--every", "0"], "--every 0 is below 1"),
        (["truncation", "--class", "0"], "unconditional, leave --class out"),
        (["truncation", "--batch-size", "0"], "--batch-size 0 is below 1"),
    ],
)
def test_mistakes_are_explained(run, tmp_path, words, message):
    with pytest.raises(UserError, match=message):
        run(*words)
    assert not (tmp_path / "out").exists()


def test_figures_of_runs_know_the_run_of_a_checkpoint(tmp_path):
    run = tiny.start_run(tmp_path / "run", tiny.POINTS, {8: {}}, data=tiny.ring().data)
    (checkpoint,) = (run / "checkpoints").glob("nimg_*")
    for path in (run, checkpoint, run / "checkpoints"):
        figure = figures.FIGURES["scores"](network=str(path), outdir=tmp_path)
        assert figure.run == run


def test_figures_of_records_and_pictures_need_no_class(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = dataclasses.replace(tiny.MODEL_8, label_size=3)
    exported.save(tmp_path / "n.safetensors", tiny.generator(model))
    for words in (["gram"], ["loss-masks"], ["gram", "--class", "2"]):
        figures.main([*words[:1], "n.safetensors", "--outdir", "out", *words[1:]])
    with pytest.raises(UserError, match="no run directory"):
        figures.main(["scores", "n.safetensors", "--outdir", "out"])
    with pytest.raises(UserError, match="--class is missing: this network has 3"):
        figures.main(["truncation", "n.safetensors", "--outdir", "out"])


def test_a_lecture_makes_its_slides_in_order_and_names_the_others(
    run, network, monkeypatch, tmp_path, capsys
):
    slides = {
        "cut": "figures truncation {network} --seeds 1 --cell 8",
        "no_such": "figures growing {network}",
        "reconstruct": "edit reconstruct {network} seed:1 --perceptual none",
        "morph": "edit morph {network} {outdir}/03_reconstruct/seed1.safetensors "
        "seed:2 --no-film",
    }
    monkeypatch.setattr(figure_lecture, "SLIDES", slides)
    out = tmp_path / "two words"
    figures.main(["lecture", network, "--outdir", str(out)])
    made = [path.name for path in sorted(out.iterdir())]
    assert made == ["01_cut", "03_reconstruct", "04_morph"]
    assert (out / "01_cut" / "truncation.png").exists()
    printed = capsys.readouterr()
    assert "no no_such: " in printed.err and f"{out / '04_morph'}: " in printed.out
    monkeypatch.setattr(figure_lecture, "SLIDES", {"no_such": slides["no_such"]})
    with pytest.raises(UserError, match="no slide could be made"):
        figures.main(["lecture", network, "--outdir", str(tmp_path / "none")])


def test_slides_are_the_commands_of_the_page():
    found = [c.words for c in pages.commands(pages.DOCS / "lecture.md")]
    # Its codes are inputs of later slides.
    assert [*figure_lecture.SLIDES].index("reconstruct") + 1 == 14
    entries = {"figures": figures.FIGURES, "edit": edit.OPERATIONS}
    for number, (name, text) in enumerate(figure_lecture.SLIDES.items(), start=1):
        kind, chosen, *words = shlex.split(text)
        words = [word.format(network="portraits", outdir="lecture") for word in words]
        words += ["--outdir", f"lecture/{number:02}_{name}"]
        assert [chosen, *words] in found, name
        cli.parse(entries[kind][chosen], words, prog=kind)


def test_help_lists_the_figures(capsys):
    figures.main(["--help"])
    told = capsys.readouterr().out
    assert all(name in told for name in [*figures.FIGURES, "all", "lecture"])


def test_nearest_images_and_how_many_pairs_are_copies(run, tiny_photos, capsys):
    words = ["--seeds", "0-2", "--count", "2", "--samples", "3"]
    with pytest.raises(UserError, match="it is not known what this was trained on"):
        run("nearest", *words)
    words += ["--data", str(tiny_photos), "--held-out", str(tiny_photos)]
    assert run("nearest", *words) == ["nearest.png"]
    # The images held out are the training images: none is nearer.
    printed = capsys.readouterr().out
    assert "3 samples are nearer to a training image than 3 held-out images in 0%" in (
        printed
    )
