"""Opens a file on the web: what may be fetched, and what the failures mean.

Answers that are web pages are no files: Google Drive's request for a click is
followed, all others are errors that say what the page said.
"""

import contextlib
import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping

from stylegan_jax.errors import UserError
from stylegan_jax.io.web_page import WebPage, is_web_page, one_line, read_web_page

TIMEOUT = 30.0  # seconds without a byte

_PAGE_BYTES = 1 << 20  # of a web page, more than any that matters
_MAX_PAGES = 3
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # statuses that may pass
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_HEADERS = {
    "Accept-Encoding": "identity",  # counts and ranges are of the file's own bytes
    "Accept-Language": "en",  # pages are read for what they say
    "User-Agent": "Mozilla/5.0 (compatible; stylegan_jax)",
}


class UnavailableError(UserError):
    """This address does not give the file; another one might."""


class Setback(Exception):
    """A failure that may pass: worth another attempt, then an `UnavailableError`."""


class Offline(Setback):
    """There is no connection at all; it may have been lost for a moment."""


class Changed(Setback):
    """What was fetched before is no part of the file that is there now."""


def check_url(url: str, origin: str | None = None) -> None:
    """Refuses addresses that are not safe to fetch from.

    Args:
        url: the address.
        origin: what led to it. What came over https does not lead out of it.

    Raises:
        UnavailableError: neither https nor http of this machine itself.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    from_here = origin is None or urllib.parse.urlsplit(origin).scheme == "http"
    if parts.scheme == "http" and parts.hostname in _LOOPBACK and from_here:
        return
    by = "" if origin is None else f"{origin} leads to "
    raise UnavailableError(f"{by}{url}: refused, since only https is fetched")


def open_file(url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
    """Requests a file, past pages that want a click.

    Proxies are those of the environment (`https_proxy`).

    Args:
        url: https; http only of this machine itself.
        headers: to send with the request, such as a range.

    Returns:
        A response of status 200 or 206 that is not a web page.

    Raises:
        Setback: no connection, or a failure of the server's that may pass.
        UnavailableError: the server refuses, or answers with a web page.
    """
    opener = urllib.request.build_opener(
        _CheckedRedirects(), urllib.request.HTTPCookieProcessor()
    )
    place, origin = url, None
    for _ in range(_MAX_PAGES):
        check_url(place, origin)
        request = urllib.request.Request(place, headers=_HEADERS | dict(headers))
        with network_errors(url):
            response = opener.open(request, timeout=TIMEOUT)
            head = b"" if response.status == 206 else response.peek(64)
            if not is_web_page(response.headers.get_content_type(), head):
                return response
            with response:
                page = read_web_page(response.read(_PAGE_BYTES), response.url)
        if page.download_url is None or page.quota_exceeded:
            raise _page_error(url, page)
        place, origin = page.download_url, response.url
    raise UnavailableError(f"{url}: one page leads to another, none to the file")


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        check_url(newurl, req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _page_error(url: str, page: WebPage) -> UnavailableError:
    if page.quota_exceeded:
        return UnavailableError(
            f"{url}: quota exceeded, too many people downloaded it lately; it is "
            "given out again within a day or so"
        )
    title = f' titled "{page.title}"' if page.title else ""
    return UnavailableError(f"{url}: answered with a web page{title}, not the file")


@contextlib.contextmanager
def network_errors(url: str) -> Iterator[None]:
    """Turns what urllib raises into a `Setback` or an `UnavailableError`."""
    try:
        yield
    except urllib.error.HTTPError as error:
        with error:
            raise _status_error(url, error) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)  # what a URLError wraps
        text = str(reason) or type(reason).__name__
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise UnavailableError(
                f"{url}: the server's certificate is not trusted ({text})"
            ) from error
        passing = (TimeoutError, ConnectionResetError, http.client.HTTPException)
        if isinstance(reason, passing):
            raise Setback(f"{url}: the connection failed ({text})") from error
        raise Offline(f"{url} cannot be reached ({text})") from error


def _status_error(url: str, error: urllib.error.HTTPError) -> Exception:
    status = one_line(f"{error.code} {error.reason}")
    if error.code == 416:  # what is here is more than the server has
        return Changed(f"{url}: the file there changed; starting over")
    content = b""
    with contextlib.suppress(OSError, http.client.HTTPException):
        content = error.read(_PAGE_BYTES)
    page = read_web_page(content, url)
    if page.quota_exceeded:
        return _page_error(url, page)
    if error.code in _PASSING:
        return Setback(f"{url}: the server answered {status}")
    if error.code in (404, 410):
        return UnavailableError(f"{url}: the server has no such file ({status})")
    return UnavailableError(f"{url}: the server refused ({status})")
