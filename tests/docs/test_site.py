"""The site is built without a warning, has every page, and asks no other host."""

import os
import re
import subprocess
import sys

import pytest

from tests.docs import pages

INDEX = pages.DOCS / "index.md"


def test_the_menu_has_every_page_once():
    text = INDEX.read_text()
    menus = re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL)
    entries = [
        re.sub(r".*<(.*)>", r"\1", line)
        for menu in menus
        for line in menu.splitlines()
        if line and not line.startswith(":")
    ]
    expected = {path.stem for path in pages.DOCS.glob("*.md")} - {"index"}
    assert sorted(entries) == sorted(expected)


def test_the_first_page_links_to_every_page():
    linked = {link.removesuffix(".md") for link in pages.links(INDEX)}
    assert {path.stem for path in pages.DOCS.glob("*.md")} - {"index"} <= linked


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("myst_parser", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    words = ["-m", "sphinx", "-q", "-W", "--keep-going", "docs", str(folder)]
    result = subprocess.run(
        [sys.executable, *words],
        cwd=pages.ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return folder


def test_the_site_is_built_without_a_warning(site):
    built = {path.stem for path in site.glob("*.html")}
    assert built >= {path.stem for path in pages.DOCS.glob("*.md")}


def test_the_reference_has_docstrings(site):
    text = (site / "api.html").read_text()
    assert "unit normal" in text  # of Generator.map
    assert text.count('<dt class="sig') > 35


def test_a_reader_asks_no_other_host(site):
    loads = re.compile(
        r"""<(?:script|img|iframe|video|source)[^>]*\ssrc=["'](?:https?:)?//"""
        r"""|<link[^>]*rel=["']stylesheet[^>]*href=["'](?:https?:)?//"""
        r"""|@import|url\(["']?(?:https?:)?//"""
    )
    for path in [*site.glob("*.html"), *site.rglob("*.css")]:
        assert not loads.search(path.read_text()), path
