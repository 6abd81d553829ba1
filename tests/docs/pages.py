"""What the pages hold, as a Markdown parser finds it: links, anchors, commands."""

import html.parser
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ROOT / "launch" / "README.md",
    *sorted(DOCS.glob("*.md")),
]
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]

_MARKDOWN = MarkdownIt("commonmark").enable("table")
_COMMENTS = re.compile(r"<!--.*?-->", re.DOTALL)
_END_OF_COMMAND = re.compile(r"[;&|<>()]+")


class Command(NamedTuple):
    """`python -m MODULE WORDS` or `bash FILE WORDS`, as written in a page."""

    program: str  # the module or the file
    words: list[str]


def tokens(path: Path) -> list[Token]:
    return _MARKDOWN.parse(path.read_text())


def links(path: Path) -> Iterator[str]:
    """Every target of a link or an image that is not on another host."""
    for token in _flat(tokens(path)):
        found = [token.attrGet(name) for name in ("href", "src")]
        if token.type in ("html_block", "html_inline"):
            found = _html_targets(_COMMENTS.sub("", token.content))
        for target in found:
            if target and not re.match(r"[a-z]+:", str(target)):
                yield unquote(str(target))


def anchors(path: Path) -> set[str]:
    """GitHub's names of a page's headings."""
    names: dict[str, int] = {}
    found = set()
    stream = tokens(path)
    for token, inline in itertools.pairwise(stream):
        if token.type == "heading_open":
            slug = slug_of(inline)
            count = names.get(slug, 0)
            names[slug] = count + 1
            found.add(f"{slug}-{count}" if count else slug)
    return found


def slug_of(inline: Token) -> str:
    """Small letters, blanks to dashes, punctuation left out."""
    children = inline.children or []
    text = "".join(child.content for child in children if child.type != "image")
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def broken_links(path: Path) -> list[str]:
    """What is wrong with the links of a page, one line each."""
    wrong = []
    for link in links(path):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists():
            wrong.append(f"{link}: no such file")
        elif anchor and anchor not in anchors(target):
            wrong.append(f"{link}: no such heading")
        elif path.parent == DOCS and target.suffix == ".md" and target.parent != DOCS:
            wrong.append(f"{link}: not a page of the site; give its name as code")
    return wrong


def commands(path: Path) -> Iterator[Command]:
    """The commands in blocks of shell code, and those between backticks."""
    for token in _flat(tokens(path)):
        shell = token.type == "fence" and token.info.split()[:1] == ["bash"]
        if shell or token.type == "code_inline":
            yield from commands_in(token.content)


def commands_in(text: str) -> Iterator[Command]:
    """The commands of a piece of shell code; variables have some value."""
    text = re.sub(r"\\\n\s*", " ", text)
    for match in re.finditer(r"(?:python3? -m|bash) [^\n]*", text):
        yield from _command(_values(match[0]))


def code_spans(path: Path, *, first_column: bool = True) -> Iterator[str]:
    """What stands between backticks, in tables only from the second column if so."""
    column = 0
    for token in _flat(tokens(path)):
        if token.type in ("tr_open", "table_close"):
            column = 0
        column += token.type == "td_open"
        if token.type == "code_inline" and (first_column or column != 1):
            yield token.content


def _command(line: str) -> Iterator[Command]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        for word in lexer:
            if _END_OF_COMMAND.fullmatch(word) or word.startswith("#"):
                break
            words.append(word)
    except ValueError:  # an open quotation: a sentence, not a command
        return
    words = words[1:] if words[0] == "bash" else words[2:]
    if words:
        yield Command(words[0], words[1:])


def _values(line: str) -> str:
    # `i` counts processes, `x` configurations, `member` is of the family of GANs; other
    # variables are words.
    values = {"i": "0", "x": "f", "member": "gan"}
    return re.sub(r"\$\{?(\w+)\}?", lambda m: values.get(m[1], "word"), line)


def _flat(stream: list[Token]) -> Iterator[Token]:
    for token in stream:
        yield token
        yield from _flat(token.children or [])


class _Targets(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src")]


def _html_targets(text: str) -> list[str | None]:
    parser = _Targets()
    parser.feed(text)
    return parser.found
