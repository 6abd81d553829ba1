"""HTTPS requests for files; web pages are errors, failures are classified.

Only Google Drive's page that confirms the download of large files is followed.
"""

import contextlib
import html
import http.client
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping

from stylegan_jax.errors import UserError

TIMEOUT = 30.0  # seconds without a byte

_PAGE_BYTES = 1 << 18  # of a web page, more than any that matters
_MAX_PAGES = 3
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # transient statuses
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_HEADERS = {
    "Accept-Encoding": "identity",  # counts and ranges are of the file's own bytes
    "Accept-Language": "en",  # the text of pages is parsed
    "User-Agent": "Mozilla/5.0 (compatible; stylegan_jax)",
}
_QUOTA = ("quota exceeded", "too many users have viewed or downloaded")


class UnavailableError(UserError):
    """This URL does not give the file; another one might."""


class Setback(Exception):
    """A transient failure: worth another attempt, then an `UnavailableError`."""


class Offline(Setback):
    """No connection at all, perhaps for a moment only."""


class Changed(Setback):
    """The file on the server is not the one downloaded in part."""


def check_url(url: str, origin: str | None = None) -> None:
    """Raises UnavailableError for other URLs than https, or http of this machine.

    `origin` is the URL that led to it; https does not lead to http.
    """
    parts = urllib.parse.urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if local and origin is not None:
        local = urllib.parse.urlsplit(origin).scheme == "http"
    if not local and not (parts.scheme == "https" and parts.hostname):
        by = "" if origin is None else f"{origin} leads to "
        raise UnavailableError(f"{by}{url}: refused, since only https is fetched")


def open_file(url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
    """Requests a file; the response has status 200 or 206 and is not a web page.

    Setback without a connection, or for a transient failure of the server;
    UnavailableError if it refuses. Proxies are the environment's (`https_proxy`).
    """
    cookies = urllib.request.HTTPCookieProcessor()
    opener = urllib.request.build_opener(_CheckedRedirects(), cookies)
    place, origin = url, None
    for _ in range(_MAX_PAGES):
        check_url(place, origin)
        request = urllib.request.Request(place, headers=_HEADERS | dict(headers))
        with network_errors(url):
            response = opener.open(request, timeout=TIMEOUT)
            head = b"" if response.status == 206 else response.peek(64)
            if not is_page(response.headers.get_content_type(), head):
                return response
            with response:
                page = _Page(response.read(_PAGE_BYTES))
        if page.quota or page.action is None:
            raise page.error(url)
        place, origin = page.target(response.url), response.url
    raise UnavailableError(f"{url}: one page leads to another, none to the file")


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        check_url(newurl, req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextlib.contextmanager
def network_errors(url: str) -> Iterator[None]:
    """Converts urllib's errors to `Setback` or `UnavailableError`."""
    try:
        yield
    except urllib.error.HTTPError as error:
        with error:
            raise _status_error(url, error) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)  # what a URLError wraps
        passing = (TimeoutError, ConnectionResetError, http.client.HTTPException)
        kind, what = Offline, "cannot be reached"
        if isinstance(reason, ssl.SSLCertVerificationError):
            kind, what = UnavailableError, "the server's certificate is not trusted"
        elif isinstance(reason, passing):
            kind, what = Setback, "the connection failed"
        text = str(reason) or type(reason).__name__
        raise kind(f"{url}: {what} ({text})") from error


def _status_error(url: str, error: urllib.error.HTTPError) -> Exception:
    if error.code == 416:  # the part file is longer than the server's file
        return Changed(f"{url}: the file there changed; starting over")
    content = b""
    with contextlib.suppress(OSError, http.client.HTTPException):
        content = error.read(_PAGE_BYTES)
    page = _Page(content)
    if page.quota:
        return page.error(url)
    status = _one_line(f"{error.code} {error.reason}")
    if error.code in _PASSING:
        return Setback(f"{url}: the server answered {status}")
    missing = error.code in (404, 410)
    what = "has no such file" if missing else "refused"
    return UnavailableError(f"{url}: the server {what} ({status})")


def is_page(content_type: str, head: bytes) -> bool:
    """Whether a response is a web page, by its type or by its first bytes."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:15].lower()
    return content_type in ("text/html", "application/xhtml+xml") or start.startswith(
        (b"<!doctype html", b"<html")
    )


class _Page:
    """A web page in place of a file."""

    def __init__(self, content: bytes) -> None:
        page = content.decode("utf-8", "replace")
        title = re.search(r"<title[^<>]*>([^<]*)", page, re.IGNORECASE)
        self._title = _one_line(html.unescape(title[1])) if title else ""
        form = re.search(
            r'<form[^<>]*\bid="download-?form"[^<>]*>', page, re.IGNORECASE
        )
        # Of Google Drive's form, None elsewhere.
        self.action = _attribute("action", form[0]) if form else None
        inside = page[form.end() :].split("</form")[0] if form else ""
        inputs = re.findall("<input[^<>]*>", inside)
        self._fields = {_attribute("name", x): _attribute("value", x) for x in inputs}
        text = re.sub(r"<(script|style)[^<>]*>[^<]*|<[^<>]*>", " ", page)
        # That the file was downloaded too often.
        self.quota = any(sign in " ".join(text.split()).lower() for sign in _QUOTA)

    def target(self, url: str) -> str:
        """URL that the form of a page from `url` requests."""
        parts = urllib.parse.urlsplit(urllib.parse.urljoin(url, self.action or ""))
        # A later field of the same name replaces what the address had.
        fields = dict(urllib.parse.parse_qsl(parts.query)) | self._fields
        fields.pop("", None)
        return parts._replace(query=urllib.parse.urlencode(fields)).geturl()

    def error(self, url: str) -> UnavailableError:
        if self.quota:
            return UnavailableError(
                f"{url}: quota exceeded, too many people downloaded it lately; it is "
                "given out again within a day or so"
            )
        title = f' titled "{self._title}"' if self._title else ""
        return UnavailableError(f"{url}: answered with a web page{title}, not the file")


def _attribute(name: str, tag: str) -> str:
    found = re.search(rf"""\b{name}=["']([^"']*)""", tag, re.IGNORECASE)
    return html.unescape(found[1]) if found else ""


def _one_line(text: str) -> str:
    """Untrusted text for a message: short, without control characters."""
    words = " ".join(text.split())
    return "".join(letter for letter in words if letter.isprintable())[:100]
