"""Python in the pages: it needs one import, and the functions it names exist."""

import ast
import contextlib
import dataclasses
import functools
import importlib
import re

import pytest

from stylegan_jax.training.config import Config
from tests.docs import pages

FILE = re.compile(r"\.(pyi?|md|sh|pkl|png|json|jsonl|safetensors)$")


def blocks(path):
    """The syntax trees of blocks of Python."""
    for token in pages.tokens(path):
        if token.type == "fence" and token.info.split()[:1] == ["python"]:
            yield ast.parse(token.content)


def dotted(node):
    """`sg.rooms.name` of an attribute, "" of anything else."""
    words = []
    while isinstance(node, ast.Attribute):
        words.append(node.attr)
        node = node.value
    return ".".join([node.id, *words[::-1]]) if isinstance(node, ast.Name) else ""


def resolves(dotted):
    """Whether `module.module.name.attribute` is something."""
    words = dotted.split(".")
    # First without imports: that of `stylegan_jax.train` would put what starts the
    # command in the place of the function.
    with contextlib.suppress(AttributeError):
        functools.reduce(getattr, words[1:], importlib.import_module(words[0]))
        return True
    for count in range(len(words), 0, -1):
        try:
            module = importlib.import_module(".".join(words[:count]))
            functools.reduce(getattr, words[count:], module)
        except ModuleNotFoundError:
            continue
        except AttributeError:
            return False
        return True
    return False


@pytest.mark.parametrize("path", pages.PAGES, ids=pages.NAMES)
def test_one_import_has_all_that_blocks_of_python_use(path):
    for tree in blocks(path):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert not node.module.startswith("stylegan_jax"), node.module
            if isinstance(node, ast.Import):
                names = {alias.name: alias.asname for alias in node.names}
                assert names.get("stylegan_jax", "sg") == "sg"
            name = dotted(node)
            if name.startswith("sg."):
                assert resolves(f"stylegan_jax.{name[len('sg.') :]}"), name


def is_setting(dotted):
    """Whether `section.field` is of a configuration."""
    try:
        functools.reduce(getattr, dotted.split("."), Config())
    except AttributeError:
        return False
    return True


@pytest.mark.parametrize("path", pages.PAGES, ids=pages.NAMES)
def test_functions_and_settings_in_sentences_exist(path):
    places = {item.stem for item in (pages.ROOT / "stylegan_jax").iterdir()}
    places |= {field.name for field in dataclasses.fields(Config)}
    missing = []
    # The first columns of that page are what others have.
    spans = pages.code_spans(path, first_column=path.name != "from_official.md")
    for span in spans:
        match = re.match(r"(?:stylegan_jax\.)?((\w+)(?:\.\w+)+)(?:\(|$)", span)
        if match is None or match[2] not in places or FILE.search(span):
            continue
        if not (resolves(f"stylegan_jax.{match[1]}") or is_setting(match[1])):
            missing.append(span)
    assert not missing


def test_what_does_not_exist_is_found():
    assert resolves("stylegan_jax.inversion.code.load")
    assert not resolves("stylegan_jax.inversion.code.lode")
    assert not resolves("stylegan_jax.inversion.kode")
    assert is_setting("schedule.batch_size") and not is_setting("schedule.batch")
