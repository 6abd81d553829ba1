"""The notebooks run from top to bottom, on a CPU, without a connection."""

import ast
import base64
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

from stylegan_jax.io.images import read_image

ROOT = Path(__file__).parents[2]
NOTEBOOK, LECTURE = (ROOT / "launch" / f"{name}.ipynb" for name in ("colab", "lecture"))
BOTH = pytest.mark.parametrize("path", [NOTEBOOK, LECTURE], ids=lambda path: path.stem)
# What a notebook has found, said by its own kernel.
FINDINGS = """
restored = list(studio.draw_each(codes))
means = sg.images.to_uint8(sample(generator, z, 0.0))
print({
    "python": __import__("sys").executable,
    "package": sg.__file__,
    "psnr": sg.metrics.report(np.stack(photos), np.stack(restored))["psnr"].tolist(),
    "spread": [float(x.std(0).mean()) for x in (sg.images.to_uint8(images), means)],
    "ends": [bool((f == r).all()) for f, r in zip(frames[::7], restored)],
    "halves": [float(np.abs(both[1] / 1.0 - photo)[:, columns].mean())
               for photo, columns in zip(photos, (slice(0, 14), slice(18, 32)))],
    "turned": [float(abs(row[-1] / 1.0 - row[0]).mean()) for row in rows],
    "trained": trained.resolution,
})
"""
LECTURE_FINDINGS = """
frames = [*film.frames]
normal = np.asarray(steps["normalised"])[0]
seen = 1 - hole[0]
print({
    "package": sg.__file__,
    "points": [float(points.mean()), float(points.std())],
    "normal": [float(abs(normal.mean((0, 1))).max()), float(normal.std((0, 1)).min())],
    "frames": [len(frames), film.count],
    "outside": float(abs((filled / 1.0 - x) * seen).mean()),
    "inside": float(abs((filled / 1.0 - x) * hole[0]).sum() / hole.sum() / 3),
})
"""


@pytest.fixture
def kernel_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the kernel: it sees this package, and nothing of the user's."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "settings"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("NPROC", raising=False)
    cache = str(ROOT / ".pytest_cache" / "xla")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", cache)
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
    return tmp_path


def outputs(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    """What the cells gave in a MIME type, in order."""
    return [
        output["data"][kind]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if kind in output.get("data", ())
    ]


def executed(path: Path, findings: str, room: Path) -> nbformat.NotebookNode:
    """The notebook after it ran, with a last cell that prints its findings."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(new_code_cell(findings))
    resources = {"metadata": {"path": str(room)}}
    # "python" in the kernel's command is the program that runs the tests.
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources=resources
    )
    client.execute()
    return notebook


def test_the_notebook_runs_from_top_to_bottom(kernel_room: Path) -> None:
    notebook = executed(NOTEBOOK, FINDINGS, kernel_room)
    install = next(cell for cell in notebook.cells if "pip" in cell.source)
    assert install.outputs == []
    pictures = [
        read_image(base64.b64decode(data)) for data in outputs(notebook, "image/png")
    ]
    assert len(pictures) == 8
    assert all(picture.std() > 10 for picture in pictures)
    assert outputs(notebook, "application/vnd.jupyter.widget-view+json")

    found = ast.literal_eval(notebook.cells[-1].outputs[-1]["text"])
    assert Path(found["python"]).samefile(sys.executable)
    assert Path(found["package"]).is_relative_to(ROOT)
    assert min(found["psnr"]) > 30
    assert found["spread"][0] > 10 and found["spread"][1] == 0
    assert found["ends"] == [True, True]
    assert max(found["halves"]) < 12
    assert min(found["turned"]) > 3
    assert found["trained"] == 16


@pytest.mark.thorough
def test_the_lecture_runs_from_top_to_bottom(kernel_room: Path) -> None:
    notebook = executed(LECTURE, LECTURE_FINDINGS, kernel_room)
    pictures = [
        read_image(base64.b64decode(data)) for data in outputs(notebook, "image/png")
    ]
    assert len(pictures) == 15
    assert all(picture.std() > 10 for picture in pictures)
    found = ast.literal_eval(notebook.cells[-1].outputs[-1]["text"])
    assert Path(found["package"]).is_relative_to(ROOT)
    mean, deviation = found["points"]  # 1 and 0.5 of the data
    assert abs(mean - 1) < 0.1 and 0.4 < deviation < 0.6
    assert found["normal"][0] < 1e-4 and abs(found["normal"][1] - 1) < 1e-3
    assert found["frames"] == [16, 16]
    assert found["outside"] < 8 < found["inside"]


@pytest.mark.parametrize("place", ["launch", "alone"])
@BOTH
def test_the_notebook_finds_its_checkout_or_asks_for_it(
    path: Path, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ROOT / "launch" if place == "launch" else tmp_path
    monkeypatch.chdir(folder)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    cell = nbformat.read(path, as_version=4).cells[1].source
    found: list[object] = []
    program = cell.replace("%pip install --quiet {SOURCE}", "found.append(SOURCE)")
    assert program != cell
    if place == "launch":
        exec(program, {"found": found})
        assert found == [ROOT]
    else:
        with pytest.raises(AssertionError, match="set SOURCE"):
            exec(program, {"found": found})
        exec(program.replace("= None", '= "git+https://x"'), {"found": found})
        assert found == ["git+https://x"]


@BOTH
def test_the_notebook_needs_one_import_of_the_package(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    code = "\n".join(c.source for c in cells if c.cell_type == "code")
    ours = re.findall(r"^.*import.*stylegan_jax.*$", code, re.MULTILINE)
    ours += re.findall(r"^from stylegan_jax.*$", code, re.MULTILINE)
    assert [x for x in ours if "find_spec" not in x] == ["import stylegan_jax as sg"]


@BOTH
def test_the_notebook_is_small_and_names_no_machine(path: Path) -> None:
    text = path.read_text()
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert len(text) < 500_000
    places = r"(?<![\w.<])/(work|tmp|home|root|Users|mnt|content|usr)/|[A-Z]:\\"
    assert not re.findall(places, text)
    links = set(re.findall(r"https?://\w[^\s)\"\\\\]+", text))
    assert all(link.startswith("https://arxiv.org/") for link in links)
