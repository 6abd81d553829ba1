"""What a web page says that came in place of a file.

Google Drive answers with pages: one that asks to confirm the download of files too
large for its virus scanner, and one for files that were downloaded too often.
"""

import dataclasses
import html.parser
import urllib.parse

_FORMS = {"download-form", "downloadForm"}  # Drive's confirmation, now and before
_LINK = "uc-download-link"  # a link, in still older pages
_QUOTA = ("quota exceeded", "too many users have viewed or downloaded")


@dataclasses.dataclass(frozen=True, kw_only=True)
class WebPage:
    """What matters of a page.

    Attributes:
        title: for people; may be empty.
        quota_exceeded: whether it says that the file was downloaded too often.
        download_url: where Drive's confirmation leads, None on all other pages.
    """

    title: str
    quota_exceeded: bool
    download_url: str | None


def is_web_page(content_type: str, head: bytes) -> bool:
    """Whether a response is a page, by its type or by its first bytes."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:15].lower()
    return content_type in ("text/html", "application/xhtml+xml") or start.startswith(
        (b"<!doctype html", b"<html")
    )


def read_web_page(content: bytes, url: str) -> WebPage:
    """Reads a page that came from `url`."""
    parser = _Parser()
    parser.feed(content.decode("utf-8", "replace"))
    parser.close()
    text = " ".join(f"{parser.title} {parser.text}".split()).lower()
    return WebPage(
        title=one_line(parser.title),
        quota_exceeded=any(sign in text for sign in _QUOTA),
        download_url=_download_url(parser, url),
    )


def one_line(text: str) -> str:
    """Foreign text, made fit for a message: short, without control characters."""
    words = " ".join(text.split())
    return "".join(letter for letter in words if letter.isprintable())[:100]


def _download_url(parser: "_Parser", url: str) -> str | None:
    if parser.action is None:
        return None
    parts = urllib.parse.urlsplit(urllib.parse.urljoin(url, parser.action))
    # A later field of the same name replaces what the address had.
    fields = dict(urllib.parse.parse_qsl(parts.query)) | parser.fields
    return parts._replace(query=urllib.parse.urlencode(fields)).geturl()


class _Parser(html.parser.HTMLParser):
    """Collects the title, the text, and Drive's form or link."""

    def __init__(self) -> None:
        super().__init__()
        self.title = self.text = ""
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._inside = ""  # "title", "form", or a tag whose text nobody reads

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in ("title", "script", "style"):
            self._inside = tag
        elif tag == "form" and values.get("id") in _FORMS:
            self._inside, self.action = tag, values.get("action", "")
        elif tag == "input" and self._inside == "form" and values.get("name"):
            self.fields[values["name"]] = values.get("value", "")
        elif tag == "a" and values.get("id") == _LINK and self.action is None:
            self.action = values.get("href", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "title":
            self.title += data
        elif self._inside not in ("script", "style"):
            self.text += data
