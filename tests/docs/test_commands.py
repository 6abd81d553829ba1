"""Commands in the pages are read by the real parsers; files they name exist."""

import argparse
import contextlib
import importlib.util
import io
import itertools
import re
import sys

import pytest

from stylegan_jax.commands import cli, edit, figures, recipe_files
from tests.docs import pages

# Of other repositories, which the pages speak of.
OTHERS = {
    "stylegan/training/networks_stylegan.py",
    "training/networks_stylegan.py",
}
OTHER_OPTIONS = {"--help", "--json"}  # of all programs; of the benchmarks
PROGRAMS = (
    *("sample", "convert", "coverage", "evaluate", "invert", "directions", "serve"),
    *("prepare_data", "encoder"),
)
PLACEHOLDERS = re.compile(r"\.\.\.|OPERATION|NAME|NETWORK|INPUTS|^RECIPE$")


class Parsed(Exception):
    """The command was understood, and is not to run."""


@pytest.fixture
def only_parse(monkeypatch):
    def stopping(parse):
        def parse_and_stop(*args, **kwargs):
            parse(*args, **kwargs)
            raise Parsed

        return parse_and_stop

    for name in ("parse", "parse_recipe"):
        monkeypatch.setattr(cli, name, stopping(getattr(cli, name)))
    benchmark = stopping(argparse.ArgumentParser.parse_args)
    monkeypatch.chdir(pages.ROOT)

    def refusal(command):
        """None if the command can be given, else what its program says."""
        place = command.program.replace("stylegan_jax.", "stylegan_jax.commands.")
        module = importlib.import_module(place)
        monkeypatch.setattr(sys, "argv", [command.program, *command.words])
        said = io.StringIO()
        with monkeypatch.context() as patched, contextlib.redirect_stderr(said):
            if command.program.startswith("benchmarks."):
                patched.setattr(argparse.ArgumentParser, "parse_args", benchmark)
            try:
                with contextlib.redirect_stdout(said):
                    module.main()
            except Parsed:
                return None
            except SystemExit as left:
                return None if not left.code else said.getvalue()
            except ValueError as error:
                return str(error)
        return None  # it explained itself

    return refusal


def ours(command):
    return command.program.startswith(("stylegan_jax.", "benchmarks."))


def test_commands_are_understood(only_parse):
    wrong = []
    for command in {
        str(c): c for path in pages.PAGES for c in pages.commands(path)
    }.values():
        spoken = any(PLACEHOLDERS.search(word) for word in command.words)
        if ours(command) and command.words and not spoken:
            said = only_parse(command)
            if said is not None:
                wrong.append((command.program, *command.words, said))
    assert not wrong


@pytest.mark.parametrize("path", pages.PAGES, ids=pages.NAMES)
def test_programs_and_files_exist(path):
    missing = [
        command.program
        for command in pages.commands(path)
        if not (
            importlib.util.find_spec(command.program)
            if re.fullmatch(r"[a-z_.]+", command.program)
            and not command.program.endswith(".sh")
            else (pages.ROOT / command.program).exists()
        )
    ]
    for span in pages.code_spans(path):
        if re.fullmatch(r"([\w.]+/)+[\w]+\.(py|sh|md|sbatch|yaml)", span):
            roots = (pages.ROOT, pages.ROOT / "stylegan_jax", path.parent)
            if span not in OTHERS and not any((at / span).exists() for at in roots):
                missing.append(span)
    assert not missing


def known_options():
    """Every flag that some command shows in its help."""
    commands = [(name, ()) for name in PROGRAMS]
    commands += [("train", ("quickstart",))]
    commands += [("edit", (operation,)) for operation in edit.OPERATIONS]
    commands += [("figures", (figure,)) for figure in figures.FIGURES]
    shown = io.StringIO()
    for name, words in commands:
        module = importlib.import_module(f"stylegan_jax.commands.{name}")
        with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
            module.main([*words, "--help"])
    lines = re.findall(r"^\W*?(--\w.*)$", shown.getvalue(), re.MULTILINE)
    return {option for line in lines for option in re.findall(r"--[\w.-]+", line)}


def test_flags_and_settings_in_sentences_exist(only_parse, monkeypatch):
    found, wrong = set(), []
    for path in pages.PAGES:
        # The first columns of that page are what others have.
        spans = pages.code_spans(path, first_column=path.name != "from_official.md")
        for span in spans:
            if span.startswith("--"):
                found |= set(re.findall(r"(?<!\S)--[\w.-]+", span))
        for span in pages.code_spans(path):
            words = span.split()
            if re.match(r"--[a-z]+\.", span) and len(words) > 1:
                given = ["configs/ffhq1024.py", "--workdir", "runs/x", *words]
                if "--data.name" not in words:
                    given += ["--data.name", "folder", "--data.path", "photos"]
                said = only_parse(pages.Command("stylegan_jax.train", given))
                if said is not None:
                    wrong.append((path.name, span, said))
    assert not wrong
    monkeypatch.undo()
    assert found - known_options() - OTHER_OPTIONS == set()


OUTPUTS = ("--outdir", "--workdir", "--dest")


def missing_inputs(found):
    """Files that commands read and neither the repository nor one before them has.

    Those of the reader's are in capitals.
    """
    made, missing = [], []
    for command in found:
        words = [w for word in command.words for w in word.split("=")]
        named = dict(itertools.pairwise(words))
        outputs = [named[flag] for flag in OUTPUTS if flag in named]
        if command.program == "stylegan_jax.convert":
            outputs.append(words.pop(1))
        inputs = {
            word
            for before, word in zip(["", *words], words, strict=False)
            if before in ("--data.path", "--directions", "--file", "--codes")
            or (
                before not in OUTPUTS
                and re.search(r"/|\.(safetensors|np[yz]|pkl|png|zip)$", word)
            )
        }
        if command.program == "stylegan_jax.train":
            data = recipe_files.load_recipe(*recipe_files.find_recipe(words[0])).data
            inputs |= {named.get("--data.path", data.path)} - {None}
        if command.program == "stylegan_jax.invert":
            inputs.add(words[0])
        missing += [
            word
            for word in inputs
            if word.partition(":")[0] not in ("seed", "portrait")
            and not re.fullmatch(r"[A-Z_]+", word)
            and not (pages.ROOT / word.partition(":")[0]).exists()
            and not any(f"{word}/".startswith(f"{place}/") for place in made)
        ]
        made += outputs
    return missing


def test_what_the_readmes_commands_read_is_there_or_made_before():
    found = [c for c in pages.commands(pages.ROOT / "README.md") if ours(c)]
    assert len(found) > 10
    assert not missing_inputs(found)


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("python -m stylegan_jax.edit scale n c.npz --directions d", ["c.npz", "d"]),
        ("python -m stylegan_jax.train ffhq256 --workdir runs/x", ["data/ffhq256"]),
        ("python -m stylegan_jax.invert photos --outdir x", ["photos"]),
        ("python -m stylegan_jax.sample runs/x --outdir runs/x", ["runs/x"]),
        ("python -m stylegan_jax.invert PHOTOS --outdir x\n"
         "python -m stylegan_jax.edit scale n x/a.safetensors --outdir y", []),
    ],
)  # fmt: skip
def test_inputs_that_nothing_makes_are_found(text, missing):
    assert sorted(missing_inputs(pages.commands_in(text))) == missing


def test_what_is_not_understood_is_found(only_parse):
    text = (
        "python -m stylegan_jax.sample ffhq --seed 3 --outdir x\n"
        "for x in a f; do\n"
        "    python -m stylegan_jax.train configs/ablation32.py:$x --workdir runs/$x\n"
        "done; python -m stylegan_jax.train configs/quickstart.py --model.q 3 # no\n"
        "python -m stylegan_jax.edit mix ffhq --content seed:1 \\\n"
        "    --style seed:2 --outdir x && python -m stylegan_jax.edit mux ffhq\n"
        "python -m benchmarks.sample --no-walk"
    )
    found = list(pages.commands_in(text))
    assert [c.program.split(".")[1] for c in found] == [
        "sample",
        "train",
        "train",
        "edit",
        "sample",
    ]
    assert [only_parse(c) is None for c in found] == [False, True, False, True, False]


def test_the_pages_have_commands():
    found = [c for path in pages.PAGES for c in pages.commands(path) if ours(c)]
    assert len(found) > 80
