"""What a notebook writes: `import stylegan_jax as sg` and nothing else of ours."""

import ast
import dataclasses
import importlib
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import stylegan_jax as sg
from stylegan_jax import errors as sg_errors
from stylegan_jax.features import exported_function
from stylegan_jax.training import losses
from tests import tiny

PACKAGE = Path(sg.__file__).parent
STUBS = sorted(PACKAGE.rglob("__init__.pyi"))


@pytest.fixture(autouse=True)
def objectives(monkeypatch):
    """Those that a test adds are gone after it."""
    for name in ("GENERATOR_LOSSES", "DISCRIMINATOR_LOSSES"):
        monkeypatch.setattr(losses, name, dict(getattr(losses, name)))


@pytest.mark.parametrize("stub", STUBS, ids=lambda path: path.parent.name)
def test_all_that_the_stubs_promise_is_there(stub):
    parts = stub.relative_to(PACKAGE.parent).parent.parts
    package = importlib.import_module(".".join(parts))
    names = {
        alias.name
        for node in ast.parse(stub.read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert names == set(dir(package))
    # Else whoever imports the file would find the module instead of what is promised.
    files = {path.stem for path in stub.parent.glob("*.py")} if parts[1:] else set()
    for name in names:
        found = getattr(package, name)
        assert name not in files or not callable(found), f"{name}.py hides {name}"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing


@pytest.mark.thorough
def test_functions_stay_what_they_are_when_everything_is_imported():
    program = (
        "import stylegan_jax as sg, stylegan_jax.commands.train\n"
        "from stylegan_jax.commands import edit, invert, sample\n"
        "from stylegan_jax.editing import directions\n"
        "from stylegan_jax.inversion import inverter, solver\n"
        "assert all(map(callable, (sg.train, sg.sample, sg.invert, sg.load)))\n"
        "assert sg.inversion.solve is solver.solve\n"
        "assert sg.editing.move is directions.move\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_pictures_of_seeds_are_those_of_the_command(
    tiny_generator, tiny_network, tmp_path
):
    pictures = sg.sample(tiny_generator, [3, 1, 3], psi=0.5)
    assert pictures.dtype == np.uint8 and pictures.shape == (3, 16, 16, 3)
    np.testing.assert_array_equal(pictures[0], pictures[2])
    command = importlib.import_module("stylegan_jax.commands.sample")
    words = ["--seeds", "1", "--psi", "0.5", "--outdir", str(tmp_path)]
    command.main([tiny_network, *words])
    written = np.asarray(Image.open(tmp_path / "seed0001.png"))
    np.testing.assert_array_equal(pictures[1], written)
    none = sg.sample(tiny_generator, [])
    assert none.shape == (0, 16, 16, 3) and none.dtype == np.uint8
    points = dataclasses.replace(tiny_generator, resolution=1)
    with pytest.raises(sg_errors.UserError, match="draws points"):
        sg.sample(points, [0])


@pytest.mark.thorough
def test_an_inversion_an_edit_and_a_hole(tmp_path):
    made = tiny.generator(tiny.MODEL_8)
    pictures = sg.sample(made, range(2))
    Image.fromarray(pictures[1]).save(tmp_path / "b.png")
    quick = {"perceptual": "none", "steps": 20, "noise_steps": 5}
    result = sg.invert(made, [pictures[0], tmp_path / "b.png"], **quick)
    assert len(result.codes) == 2 and [one.index for one in result.each] == [0, 1]
    difference = result.images.astype(float) - pictures
    expected = 10 * np.log10(255**2 / (difference**2).mean((1, 2, 3)))
    np.testing.assert_allclose(result.psnr, expected, rtol=1e-4)
    assert result.psnr.min() > 10

    # One image alone is no sequence of rows, and a path none of letters.
    for one in (pictures[1], str(tmp_path / "b.png"), tmp_path):
        again = sg.invert(made, one, **quick)
        np.testing.assert_array_equal(again.images, result.images[1:])
    with pytest.raises(sg_errors.UserError, match="no images"):
        sg.invert(made, [])

    age = tiny.directions()[0]
    older = sg.editing.move(result.codes, age, jnp.asarray([0.0, 2.0]))
    np.testing.assert_array_equal(older.ws[0], result.codes.ws[0])
    moved = np.asarray(older.ws[1] - result.codes.ws[1], np.float64)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1).max(), 2.0, rtol=1e-5)

    hole = np.zeros((1, 8, 8, 1), np.float32)
    hole[:, 2:5, 2:5] = 1
    search = sg.editing.Search(w=sg.inversion.Plan(steps=3), noise_steps=0)
    target = jnp.asarray(pictures[:1] / 127.5 - 1, jnp.float32)
    filled, spoiled = (
        sg.inversion.last(sg.editing.inpaint(made, image, hole, search=search))
        for image in (target, target * (1 - hole))
    )
    np.testing.assert_array_equal(filled.code.ws, spoiled.code.ws)


@pytest.mark.thorough
def test_one_training_step_and_a_loss_of_ones_own():
    def discriminator(reals, fakes):
        return 3.0 + 0 * (reals + fakes)

    def generator(fakes):
        return 5.0 + 0 * fakes

    sg.training.register_loss("constant", generator, discriminator)
    with pytest.raises(ValueError, match="already"):
        sg.training.register_loss("hinge", generator, discriminator)
    # A name does not make it one of ours, with its penalties.
    sg.training.register_loss("logistic_mine", generator, discriminator)
    assert sg.LossConfig(objective="logistic_mine").resolved().r1_gamma == 0
    model, optimizer = tiny.MODEL_8, sg.OptimizerConfig()
    loss = sg.LossConfig(objective="constant", r1_gamma=0.0)
    schedule = sg.ScheduleConfig(initial_resolution=8, total_kimg=0.1, batch_size=4)
    (phase,) = sg.training.phases(schedule, 8)
    step = sg.training.make_step(model, loss, optimizer, phase)
    state = sg.training.init_state(jax.random.key(0), model, optimizer)
    parts = (phase.repeats * phase.d_steps, phase.batch_size)
    batch = {
        "images": np.full((*parts, 8, 8, 3), 100, np.uint8),
        "labels": np.zeros((*parts, 0), np.float32),
    }
    state, metrics = step(state, batch, jax.random.key(1))
    assert int(state.nimg) == phase.step_nimg
    assert (float(metrics["loss/D"]), float(metrics["loss/G"])) == (3.0, 5.0)
    made = sg.training.generator_of(state, model, phase)
    assert made.resolution == 8 and made.config == model


@pytest.mark.thorough
def test_a_run(tmp_path):
    schedule = sg.ScheduleConfig(initial_resolution=8, total_kimg=0.1, batch_size=4)
    state = sg.train(sg.Config(model=tiny.MODEL_8, schedule=schedule), tmp_path / "run")
    assert int(state.nimg) >= 100
    made = sg.load(tmp_path / "run")
    assert sg.sample(made, [0]).shape == (1, 8, 8, 3)


def blocks(page):
    text = (PACKAGE.parent / "docs" / page).read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, marks=[pytest.mark.thorough] if i else [])
        for i, block in enumerate(blocks("python.md"))
    ],
)
def test_every_example_of_the_page_runs_and_is_short(block, tmp_path, monkeypatch):
    lines = [line for line in block.splitlines() if line]
    assert len(lines) <= 14 and "import stylegan_jax as sg" not in lines[1:]
    assert "from stylegan_jax" not in block
    monkeypatch.chdir(tmp_path)
    random = np.random.RandomState(0)
    for folder in ("generated", "photos"):
        (tmp_path / folder).mkdir()
        for i in range(10):
            picture = random.randint(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(picture).save(tmp_path / folder / f"{i}.png")
    exported_function.save(
        lambda x: x.astype(jnp.float32).mean((1, 2)), "mine.jaxexport", resolution=8
    )
    names = {}
    exec(compile(block, "python.md", "exec"), names)
    for name in ("images", "image"):
        if name in names:
            assert np.isfinite(names[name]).all() and np.ndim(names[name]) == 4
    if "score" in names:
        assert names["score"] > 0
    if "losses" in names and "state" in names:
        assert names["losses"][-1].mean() < names["losses"][0].mean()
