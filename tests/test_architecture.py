"""The plan of the house: imports point down, files stay rooms."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "stylegan_jax"
SHIMS = {path.stem for path in PACKAGE.glob("*.py")} & {
    path.stem for path in (PACKAGE / "commands").glob("*.py")
}
LAYERS = [
    {"errors", "lazy"},
    {"by_resolution"},
    {"limits"},
    {"io"},
    {"ops", "augment", "distributed", "pickles"},
    {"networks", "data", "features", "alignment"},
    {"classifiers"},
    {"runs"},
    {"training", "interop", "metrics"},
    {"loading", "inversion", "evaluators"},
    {"editing", "verbs"},
    {"demo", "figures"},
    {"commands"},
    SHIMS | {"__main__"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
# Of git, of the programs of papers, and of the page's style sheets.
FOREIGN_FLAGS = {"--error-unmatch", "--porcelain", "--resume"}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
LIBRARY = [
    path
    for path in FILES
    if path.relative_to(PACKAGE).with_suffix("").parts[0]
    not in SHIMS - {"figures"} | {"commands", "__main__"}
    and path.name != "__main__.py"
]


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_packages_import_their_faces_when_asked():
    for path in PACKAGE.rglob("__init__.py"):
        assert set(imported_modules(path)) <= {"stylegan_jax.lazy"}, path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_imports_point_down(path):
    part = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if path.name == "__main__.py":
        part = "__main__"
    for name in imported_modules(path):
        if name.startswith("stylegan_jax."):
            other = name.split(".")[1]
            if other != part:
                assert RANK[other] < RANK[part], f"{path} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_refused_is_a_user_error(path):
    """Any other ValueError is a bug to the commands, and shows its traceback."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            assert ast.unparse(node.exc.func) != "ValueError", f"{path}:{node.lineno}"
        if isinstance(node, ast.ClassDef) and path.name != "errors.py":
            assert "ValueError" not in [ast.unparse(base) for base in node.bases], path


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_only_commands_know_flags_and_print(path):
    """Messages name settings in backticks; `commands.cli.as_flags` makes them flags."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            flags = re.findall(r"(?<![\w-])--[a-z][\w.-]*", node.value)
            assert not set(flags) - FOREIGN_FLAGS, f"{path}:{node.lineno}"
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) != "print", f"{path}:{node.lineno}"


def test_pillow_is_used_in_few_rooms_and_tensorflow_and_torch_in_none():
    rooms = {"decoding.py", "resampling.py", "grids.py"}
    for path in FILES:
        roots = {name.split(".")[0] for name in imported_modules(path)}
        assert not roots & {"tensorflow", "torch"}, path
        of_pictures = path.parent == PACKAGE / "io" and path.name in rooms
        assert "PIL" not in roots or of_pictures, path


def test_no_two_files_have_one_name():
    """But for configurations, and commands, whose names are the user's."""
    names = [path.stem for path in LIBRARY if path.stem != "config"]
    assert [name for name in names if names.count(name) > 1] == []


def test_no_file_is_longer_than_400_lines():
    long = {
        str(path): count
        for folder in (PACKAGE, PACKAGE.parent / "tests", PACKAGE.parent / "benchmarks")
        for path in folder.rglob("*.py")
        if (count := len(path.read_text().splitlines())) > 400
    }
    assert not long


def test_importing_the_package_loads_nothing_heavy():
    heavy = ["jax", "flax", "numpy", "tensorflow", "torch", "PIL", "orbax"]
    program = (
        "import sys, stylegan_jax; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
