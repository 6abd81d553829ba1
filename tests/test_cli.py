"""Recipes, flags, and how mistakes are told."""

import dataclasses
import importlib
import logging
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.commands import cli, recipe_files, running
from stylegan_jax.data.config import DataConfig
from stylegan_jax.errors import UserError
from stylegan_jax.runs.checkpoint import CheckpointConfig
from stylegan_jax.training.config import RunConfig
from stylegan_jax.training.evaluation import MetricsConfig

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


def leaves(function, *words):
    """The status that a program exits with."""
    with pytest.raises(SystemExit) as left:
        function(*words)
    return left.value.code


# --- Recipes and flags --------------------------------------------------------------


def test_without_flags_the_configuration_is_the_recipes(recipe):
    config, flags = read(recipe)
    assert flags == Flags(workdir=Path("x"))
    assert config.seed == 5
    assert config.schedule.total_kimg == 12
    assert config.schedule.batch_size == ByResolution(32, ((4, 512),))


@pytest.mark.parametrize(
    ("flag", "text", "value"),
    [
        ("--schedule.total-kimg", "7.5", 7.5),
        ("--schedule.total_kimg", "7.5", 7.5),
        ("--schedule.batch-size", "8,16:4", ByResolution(8, ((16, 4),))),
        ("--schedule.rate", "1,8:2", ByResolution(1.0, ((8, 2.0),))),
        ("--schedule.gamma", "10", 10.0),
        ("--schedule.gamma", "None", None),
    ],
)
def test_a_flag_overrides_one_field(recipe, flag, text, value):
    config, _ = read(recipe, flag, text)
    name = flag.removeprefix("--schedule.").replace("-", "_")
    assert getattr(config.schedule, name) == value and config.seed == 5
    if name == "rate":
        assert isinstance(value.at(4), float)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--schedule.total-kmig", "3"], "--schedule.total-kimg"),
        (["--schedule.total-kimg", "-3"], "total_kimg -3.0 is negative"),
        (["--schedule.total-kimg", "many"], "--schedule.total-kimg"),
        (["--schedule.batch-size", "4:3"], "bare numbers"),
        (["--schedule.batch-size", "1.5"], "not int"),
        (None, "--workdir"),
    ],
)
def test_a_wrong_flag_exits_with_2_and_names_the_way_out(
    recipe, flags, message, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "200")
    words = [recipe] if flags is None else [recipe, "--workdir", "x", *flags]
    assert leaves(lambda: cli.parse_recipe(Flags, words, prog=PROG)) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_help_shows_recipes_and_every_field_with_its_value_and_comment(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "configs" / "tiny_one.py", RECIPE)
    assert leaves(lambda: cli.parse_recipe(Flags, ["--help"], prog=PROG)) == 0
    shown = capsys.readouterr().out
    assert "tiny_one" in shown and "--workdir" in shown and "RECIPE" in shown
    assert leaves(lambda: read("tiny_one", "--help")) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for text in ("--schedule.total-kimg", "when the run ends", "12", "32,4:512"):
        assert text in shown
    assert "Trains a network." in shown and "--seed" in shown


def test_entry_points_without_a_recipe_read_their_flags(capsys):
    words = ["--workdir", "run", "--dry-run"]
    assert cli.parse(Flags, words, prog=PROG) == Flags(
        workdir=Path("run"), dry_run=True
    )
    assert cli.parse(Flags, words[:2], prog=PROG, dry_run=True).dry_run
    assert leaves(lambda: cli.parse(Flags, ["--help"], prog=PROG, dry_run=True)) == 0
    shown = capsys.readouterr().out
    assert "where the run is kept" in shown and "print the configuration" in shown


@pytest.mark.parametrize(
    "words", [["--psi", "nan"], ["--gain", "-inf"], ["--crop", "0", "NaN"]]
)
def test_numbers_are_finite(words, capsys):
    @dataclasses.dataclass
    class Args:
        psi: float = 1
        gain: float | None = None
        crop: tuple[float, float] = (0, 0.5)

    given = ["--psi", "2", "--gain", "-1e-3", "--crop", "0", "1"]
    assert cli.parse(Args, given, prog="p") == Args(2, -1e-3, (0, 1))
    with pytest.raises(SystemExit) as left:
        cli.parse(Args, words, prog="p")
    assert left.value.code == 2 and words[0] in capsys.readouterr().err


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_seeds_are_those_of_numpy(seed):
    @dataclasses.dataclass
    class Args:
        seed: int = 0

    assert cli.parse(Args, ["--seed", str(2**32 - 1)], prog="p").seed == 2**32 - 1
    with pytest.raises(UserError, match=f"--seed {seed} is not from 0 to 4294967295"):
        cli.parse(Args, ["--seed", seed], prog="p")
    for section in (RunConfig, MetricsConfig, DataConfig):
        with pytest.raises(UserError, match=rf"seed is {seed}, not in \[0"):
            section(seed=int(seed))


def test_recipes_are_found_by_name_and_no_file_hides_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "configs" / "tiny_one.py", RECIPE)
    assert read("tiny_one")[0].seed == 5
    with pytest.raises(UserError, match="no recipe tiny_on; did you mean tiny_one"):
        read("tiny_on")
    (tmp_path / "quickstart").write_text("notes")
    find = recipe_files.find_recipe
    assert find("quickstart") == (ROOT / "configs" / "quickstart.py", None)
    own = Path(write(tmp_path / "quickstart.py", RECIPE))
    assert find("quickstart.py") == (Path(own.name), None)
    assert find("./quickstart.py")[0].resolve() == own


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
        (
            "x = 1\nfrom stylegan_jax.common.mesh import Mesh\n",
            "line 2: ModuleNotFoundError.*; write `import stylegan_jax as sg`",
        ),
    ],
)
def test_a_faulty_recipe_is_named_with_its_fault(tmp_path, text, message):
    path = write(tmp_path / "faulty.py", text)
    with pytest.raises(UserError, match=message) as caught:
        read(path)
    assert "faulty.py" in str(caught.value)


def test_flags_that_are_given_are_found_in_any_spelling():
    words = ["recipe.py", "--data.path", "data.name", "--run.grid_psi=1"]
    assert cli.is_given("data.path", words) and cli.is_given("run.grid_psi", words)
    assert cli.is_given("run.grid_psi", ["--run.grid-psi", "1"])
    assert not cli.is_given("data.name", words)


# --- Messages and mistakes ----------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "flags"),
    [
        ("`schedule.total_kimg` 0.5 is low", "--schedule.total-kimg 0.5 is low"),
        ("leave `align=False` or `align=True`", "leave --no-align or --align"),
        ("`data.mirror=False`", "--data.no-mirror"),
        ("`noise=stored`, `class_index`", "--noise stored, --class"),
        ("`from_file` x", "--from x"),
        ("`sg.Config` and `f(x)` stay", "`sg.Config` and `f(x)` stay"),
    ],
)
def test_settings_in_messages_are_flags(message, flags, capsys):
    assert cli.as_flags(message) == flags
    cli.say(UserError(message))
    assert capsys.readouterr().out == f"{flags}\n"

    @cli.entry
    def main():
        raise UserError(message)

    with pytest.raises(UserError) as caught:
        main()
    assert str(caught.value) == flags


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs a function as a command; returns its status and what it said."""

    def run(main):
        # What absl installs when Orbax is imported.
        taken = [logging.StreamHandler(sys.stderr)]
        monkeypatch.setattr(logging.getLogger(), "handlers", taken)
        status = leaves(running.run_main, main)
        return status, *capsys.readouterr()

    return run


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("main", "said"),
    [
        (raising(UserError("batch_size 3 is odd")), "error: batch_size 3 is odd\n"),
        (
            Path("/no/such/file").read_text,
            "error: [Errno 2] No such file or directory:",
        ),
        (
            lambda: CheckpointConfig(keep_last=0),
            "error: checkpoint.keep_last is 0, not 1 or more\n",
        ),
    ],
)
def test_a_users_mistake_is_one_line_and_status_2(main, said, run, monkeypatch):
    status, out, err = run(main)
    assert (status, out) == (2, "") and err.startswith(said)
    assert "Traceback" not in err
    monkeypatch.setenv("STYLEGAN_JAX_TRACEBACK", "1")
    status, _, err = run(main)
    assert status == 2 and "Traceback" in err and "This is a bug" not in err


@pytest.mark.parametrize(
    "bug", [ValueError("x"), KeyError("a"), AssertionError(), TypeError("x")]
)
def test_a_bug_keeps_its_traceback(bug, run):
    status, _, err = run(raising(bug))
    assert status == 1 and "Traceback" in err
    assert err.splitlines()[-1].startswith("This is a bug in stylegan_jax")


def test_warnings_are_one_line_on_standard_error_and_name_flags(run):
    status, out, err = run(lambda: logging.getLogger("x").warning("mind `a_b`"))
    assert (status, out, err) == (0, "", "WARNING: mind --a-b\n")


@pytest.mark.thorough
@pytest.mark.parametrize("words", ["--help", "quickstart --dry-run"])
def test_a_closed_pipe_ends_a_command_quietly(words):
    command = f"{sys.executable} -m stylegan_jax.train {words} | head -1"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert result.returncode == 0 and result.stderr == ""
    assert len(result.stdout.splitlines()) == 1


def test_a_command_does_not_wait_for_a_step_that_nobody_wants():
    program = (
        "import sys, threading, time\n"
        "from stylegan_jax.commands import running\n"
        "bad = {'jax', 'flax', 'stylegan_jax.training'} & set(sys.modules)\n"
        "def main():\n"
        "    threading.Thread(target=time.sleep, args=(60,), name='compile').start()\n"
        "    print('imported', bad)\n"
        "running.run_main(main)\n"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert (result.returncode, result.stdout) == (0, "imported set()\n")


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
        ("sample --outdir x --no", ""),
    ],
)
def test_flags_of_other_programs_are_explained(words, said, capsys):
    program, *words = words.split()
    module = importlib.import_module(f"stylegan_jax.commands.{program}")
    with pytest.raises(SystemExit) as caught:
        module.main(words)
    assert caught.value.code == 2
    printed = capsys.readouterr().err
    assert said in printed and (said or " here" not in printed)
