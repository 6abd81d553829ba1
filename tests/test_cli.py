"""Recipes, flags, and how mistakes are told."""

import dataclasses
import importlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.commands import cli, recipe_files
from stylegan_jax.errors import UserError

PROG = "python -m stylegan_jax.train"
ROOT = Path(cli.__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Trains a network."""

    workdir: Path  # where the run is kept
    dry_run: bool = False  # print the configuration and stop


RECIPE = """
    import dataclasses
    from stylegan_jax.by_resolution import ByResolution

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Schedule:
        total_kimg: float = 25_000  # when the run ends
        batch_size: ByResolution[int] = ByResolution(32, ((4, 512),))
        rate: ByResolution[float] = ByResolution(0.001)
        gamma: float | None = None

        def __post_init__(self):
            if self.total_kimg < 0:
                raise ValueError(f"total_kimg {self.total_kimg} is negative")

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config:
        schedule: Schedule = Schedule()
        seed: int = 0

    def get_config():
        return Config(schedule=Schedule(total_kimg=12), seed=5)
"""


@pytest.fixture
def recipe(tmp_path):
    return write(tmp_path / "recipe.py", RECIPE)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return str(path)


def read(recipe, *flags):
    return cli.parse_recipe(Flags, [recipe, "--workdir", "x", *flags], prog=PROG)


def test_without_flags_the_configuration_is_the_recipes(recipe):
    config, flags = read(recipe)
    assert flags == Flags(workdir=Path("x"))
    assert config.seed == 5
    assert config.schedule.total_kimg == 12
    assert config.schedule.batch_size == ByResolution(32, ((4, 512),))


@pytest.mark.parametrize("flag", ["--schedule.total-kimg", "--schedule.total_kimg"])
def test_a_flag_overrides_one_field_with_dashes_or_underscores(recipe, flag):
    config, _ = read(recipe, flag, "7.5")
    assert config.schedule.total_kimg == 7.5
    assert config.seed == 5


def test_tables_by_resolution_are_given_as_text(recipe):
    config, _ = read(
        recipe, "--schedule.batch-size", "8,16:4", "--schedule.rate", "1,8:2"
    )
    assert config.schedule.batch_size == ByResolution(8, ((16, 4),))
    assert config.schedule.rate == ByResolution(1.0, ((8, 2.0),))
    assert isinstance(config.schedule.rate.at(4), float)


def test_optional_fields_take_a_number_or_none(recipe):
    assert read(recipe, "--schedule.gamma", "10")[0].schedule.gamma == 10.0
    assert read(recipe, "--schedule.gamma", "None")[0].schedule.gamma is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--schedule.total-kmig", "3"], "--schedule.total-kimg"),
        (["--schedule.total-kimg", "-3"], "total_kimg -3.0 is negative"),
        (["--schedule.total-kimg", "many"], "--schedule.total-kimg"),
        (["--schedule.batch-size", "4:3"], "bare numbers"),
        (["--schedule.batch-size", "1.5"], "not int"),
    ],
)
def test_a_wrong_flag_exits_with_2_and_names_the_way_out(
    recipe, flags, message, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as caught:
        read(recipe, *flags)
    assert caught.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_missing_required_flag_is_named(recipe, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.parse_recipe(Flags, [recipe], prog=PROG)
    assert caught.value.code == 2
    assert "--workdir" in capsys.readouterr().err


def test_help_of_a_recipe_shows_every_field_with_its_value_and_comment(recipe, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.parse_recipe(Flags, [recipe, "--help"], prog=PROG)
    shown = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    for text in ("--schedule.total-kimg", "when the run ends", "12", "32,4:512"):
        assert text in shown
    assert "Trains a network." in shown and "--seed" in shown


def test_help_without_a_recipe_lists_the_recipes(tmp_path, monkeypatch, capsys):
    write(tmp_path / "configs" / "tiny_one.py", RECIPE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        cli.parse_recipe(Flags, ["--help"], prog=PROG)
    shown = capsys.readouterr().out
    assert caught.value.code == 0
    assert "tiny_one" in shown and "--workdir" in shown and "RECIPE" in shown


def test_a_bare_name_finds_the_recipe_in_configs(tmp_path, monkeypatch):
    write(tmp_path / "configs" / "tiny_one.py", RECIPE)
    monkeypatch.chdir(tmp_path)
    assert read("tiny_one")[0].seed == 5


def test_an_unknown_recipe_suggests_a_close_one(tmp_path, monkeypatch):
    write(tmp_path / "configs" / "tiny_one.py", RECIPE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no recipe tiny_on; did you mean tiny_one"):
        read("tiny_on")


def test_a_recipe_with_variants_takes_one_after_a_colon(tmp_path, recipe):
    text = RECIPE.replace("get_config()", "get_config(kimg='12')")
    many = write(tmp_path / "many.py", text.replace("=12)", "=float(kimg))"))
    assert read(many)[0].schedule.total_kimg == 12
    assert read(f"{many}:7")[0].schedule.total_kimg == 7
    with pytest.raises(UserError, match=r"many\.py, line \d+: ValueError: could not"):
        read(f"{many}:x")
    with pytest.raises(UserError, match="has no variants; leave :7 out"):
        read(f"{recipe}:7")


@pytest.mark.parametrize("words", [[], ["--workdir", "x"]])
def test_the_recipe_must_come_first(words):
    with pytest.raises(UserError, match="the recipe comes first"):
        cli.parse_recipe(Flags, words, prog=PROG)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", r"no function get_config"),
        ("def get_config():\n    return {}\n", "returned dict"),
        ("def get_config(:\n", "SyntaxError"),
        ("import no_such_module\n", "line 1: ModuleNotFoundError"),
        ("def get_config():\n    return dict(a=1)['b']\n", "line 2: KeyError"),
    ],
)
def test_a_faulty_recipe_is_named_with_its_fault(tmp_path, text, message):
    path = write(tmp_path / "faulty.py", text)
    with pytest.raises(UserError, match=message) as caught:
        read(path)
    assert "faulty.py" in str(caught.value)


def test_entry_points_without_a_recipe_read_their_flags():
    flags = cli.parse(Flags, ["--workdir", "run", "--dry-run"], prog=PROG)
    assert flags == Flags(workdir=Path("run"), dry_run=True)


def run_program(body, **environment):
    """Runs `main` with the body given under `run_main`, in a process of its own."""
    program = (
        "from stylegan_jax.commands import running\n"
        "from stylegan_jax.errors import UserError\n"
        "def main():\n" + textwrap.indent(textwrap.dedent(body), "    ") + "\n"
        "running.run_main(main)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def test_a_users_mistake_is_one_line_and_status_2():
    result = run_program("raise UserError('batch_size 3 is odd; use an even one')")
    assert result.returncode == 2
    assert result.stderr == "error: batch_size 3 is odd; use an even one\n"


def test_a_missing_file_is_no_bug():
    result = run_program("open('/no/such/file')")
    assert result.returncode == 2
    assert "/no/such/file" in result.stderr and "Traceback" not in result.stderr


def test_what_the_library_refuses_is_one_line():
    result = run_program("from stylegan_jax.io import timing; timing.due(1, 0, 0.0)")
    assert result.returncode == 2
    assert result.stderr == "error: every_kimg 0.0 is less than one image (0.001)\n"


@pytest.mark.parametrize(
    "bug",
    [
        "int('x')",
        "raise ValueError('x')",
        "import numpy; numpy.zeros(3).reshape(2)",
        "{}['a']",
    ],
)
def test_a_bug_keeps_its_traceback(bug):
    result = run_program(bug)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("This is a bug in stylegan_jax")


def test_warnings_are_one_line_on_standard_error():
    result = run_program("import logging; logging.getLogger('x').warning('careful')")
    assert result.returncode == 0
    assert result.stderr == "WARNING: careful\n"


def test_the_traceback_of_a_users_mistake_can_be_asked_for():
    result = run_program("raise UserError('x')", STYLEGAN_JAX_TRACEBACK="1")
    assert result.returncode == 2
    assert "Traceback" in result.stderr


def test_cli_imports_neither_jax_nor_training():
    code = (
        "import sys, stylegan_jax.commands.cli\n"
        "bad = {'jax', 'flax', 'stylegan_jax.training'} & set(sys.modules)\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT)
    assert result.returncode == 0


def test_a_file_never_hides_a_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text("notes")
    assert recipe_files.find_recipe("quickstart") == (
        ROOT / "configs" / "quickstart.py",
        None,
    )
    own = Path(write(tmp_path / "quickstart.py", RECIPE))
    assert recipe_files.find_recipe("quickstart.py") == (Path(own.name), None)
    assert recipe_files.find_recipe("./quickstart.py")[0].resolve() == own


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sample portraits --trunc 0.5 --outdir x", "--trunc is --psi here"),
        ("sample --network=ffhq.pkl --outdir x", "--network: the network comes first"),
        ("edit attribute portraits seed:1 --trunc=1 --outdir x", "--trunc is --psi"),
        ("train quickstart --resume X --workdir x", "--resume: the same command with"),
        ("train quickstart --outdir x", "--outdir is --workdir here"),
        ("train quickstart --workdir x --batch 4", "is --schedule.batch-size here"),
        ("invert me.png --network portraits --outdir x --num_steps 4", "is --steps"),
    ],
)
def test_flags_of_other_programs_are_explained(words, said, capsys):
    program, *words = words.split()
    module = importlib.import_module(f"stylegan_jax.commands.{program}")
    with pytest.raises(SystemExit) as caught:
        module.main(words)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_a_flag_that_is_ours_is_not_explained_as_foreign(capsys):
    with pytest.raises(SystemExit):
        importlib.import_module("stylegan_jax.commands.sample").main(
            ["--outdir", "x", "--no"]
        )
    assert "here" not in capsys.readouterr().err


def test_the_package_lists_its_commands(monkeypatch, capsys):
    package = importlib.import_module("stylegan_jax.__main__")
    monkeypatch.setattr(sys, "argv", ["stylegan_jax"])
    package.main()
    lines = capsys.readouterr().out.splitlines()
    listed = {line.split()[0] for line in lines if line.startswith("  ")}
    assert {"train", "sample", "edit", "invert", "evaluate", "serve"} <= listed
    assert not listed & {"cli", "loading", "parallel", "processes"}
    monkeypatch.setattr(sys, "argv", ["stylegan_jax", "sampel"])
    with pytest.raises(UserError, match=r"no command 'sampel'; did you mean sample\?"):
        package.main()
    monkeypatch.setattr(sys, "argv", ["stylegan_jax", "sample", "--help"])
    with pytest.raises(SystemExit) as left:
        package.main()
    assert not left.value.code and "--seeds" in capsys.readouterr().out


def test_flags_that_are_given_are_found_in_any_spelling():
    words = ["recipe.py", "--data.path", "data.name", "--run.grid_psi=1"]
    assert cli.is_given("data.path", words) and cli.is_given("run.grid_psi", words)
    assert cli.is_given("run.grid_psi", ["--run.grid-psi", "1"])
    assert not cli.is_given("data.name", words)


def test_a_command_does_not_wait_for_a_step_that_nobody_wants():
    program = (
        "import threading, time\n"
        "from stylegan_jax.commands import running\n"
        "def main():\n"
        "    threading.Thread(target=time.sleep, args=(60,), name='compile').start()\n"
        "    print('done')\n"
        "running.run_main(main)\n"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert (result.returncode, result.stdout) == (0, "done\n")
