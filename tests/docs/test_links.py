"""Links, anchors and pictures of the pages lead somewhere, on GitHub too."""

import pytest

from tests.docs import pages


@pytest.mark.parametrize("path", pages.PAGES, ids=pages.NAMES)
def test_links_lead_somewhere(path):
    assert not pages.broken_links(path)


def test_what_leads_nowhere_is_found(tmp_path):
    other = tmp_path / "other.md"
    other.write_text("# One\n\n# One\n\n## `evaluate`: a & b, of *R* px\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md#one-1) [b](other.md#evaluate-a--b-of-r-px) [c](#d)\n"
        "![p](no.png) <img src='no2.png'> [e](no.md) [f](other.md#one-2)\n"
        "[g](https://example.org/no) `[h](no3.md)` <!-- [i](no4.md) -->\n\n# D\n"
    )
    assert [line.split(":")[0] for line in pages.broken_links(page)] == [
        "no.png",
        "no2.png",
        "no.md",
        "other.md#one-2",
    ]


def test_the_pages_have_links():
    assert sum(1 for path in pages.PAGES for _ in pages.links(path)) > 120
