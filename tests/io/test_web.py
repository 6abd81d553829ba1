import pytest

from stylegan_jax.io import web
from stylegan_jax.io.web import UnavailableError
from stylegan_jax.io.web_page import is_web_page, read_web_page

HTML = {"Content-Type": "text/html; charset=utf-8"}
QUOTA = b"""<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title>
<style>.x{}</style></head><body><p class="uc-error-subcaption">Too many users have
viewed or downloaded this file recently.</p></body></html>"""


def opened(site):
    with web.open_file(site.url, {}) as response:
        return response.read()


def confirmation(action, fields=()):
    inputs = "".join(f'<input type="hidden" name="{k}" value="{v}">' for k, v in fields)
    return (
        "<html><head><title>Google Drive - Virus scan warning</title></head><body>"
        f'<form id="download-form" action="{action}" method="get">'
        f'<input type="submit" value="Download anyway"/>{inputs}</form>'
        '<input name="search" value="no"></body></html>'
    ).encode()


def test_the_drive_confirmation_is_followed_with_all_its_fields(site):
    fields = {"id": "X_1", "export": "download", "confirm": "t", "uuid": "a&b"}
    site.answers = [(200, HTML, confirmation("/download", fields.items())), None]
    assert opened(site) == site.content
    asked = "/download?id=X_1&export=download&confirm=t&uuid=a%26b"
    assert [path for path, _ in site.requests] == ["/file.bin", asked]


@pytest.mark.parametrize(
    "tag", ["form id='downloadForm' action=", "a id='uc-download-link' href="]
)
def test_older_confirmations_are_followed_too(tag, site):
    page = f'<html><{tag}"/uc?export=download&amp;confirm=Ab1&amp;id=X">go</html>'
    site.answers = [(200, HTML, page.encode()), None]
    assert opened(site) == site.content
    assert site.requests[1][0] == "/uc?export=download&confirm=Ab1&id=X"


def test_confirmations_without_end_are_not_followed_for_ever(site):
    site.answers = [(200, HTML, confirmation("/again"))] * 9
    with pytest.raises(UnavailableError, match="one page leads to another"):
        opened(site)
    assert len(site.requests) == 3


@pytest.mark.parametrize("status", [200, 403, 429])
def test_a_used_up_quota_is_called_that(status, site):
    site.answers = [(status, HTML, QUOTA)]
    with pytest.raises(UnavailableError, match="quota exceeded"):
        opened(site)
    assert len(site.requests) == 1


def test_a_used_up_quota_is_not_asked_to_confirm(site):
    site.answers = [(200, HTML, QUOTA + confirmation("/again"))]
    with pytest.raises(UnavailableError, match="quota exceeded"):
        opened(site)
    assert len(site.requests) == 1


def test_redirects_in_a_circle_are_one_line(site):
    site.answers = [(302, {"Location": site.url}, b"")] * 20
    with pytest.raises(UnavailableError, match=r"refused \(302 The HTTP") as caught:
        opened(site)
    assert "\n" not in str(caught.value)
    assert len(site.requests) <= 11


@pytest.mark.parametrize("headers", [HTML, {}], ids=["by type", "by content"])
def test_any_other_page_is_no_file(headers, site):
    page = b"\n<!doctype HTML><title>Sign in\n - \x1bAccounts</title>"
    page += b"<script>quota exceeded</script>"
    site.answers = [(200, headers, page)]
    with pytest.raises(UnavailableError, match='page titled "Sign in - Accounts"'):
        opened(site)


def test_a_file_is_not_mistaken_for_a_page():
    assert not is_web_page("application/octet-stream", b"\x80\x03cdnnlib")
    assert not is_web_page("text/plain", b"<svg>")
    assert is_web_page("text/plain", b"\xef\xbb\xbf <!DOCTYPE html>")
    assert is_web_page("text/html", b"\x80\x03")


def test_a_page_that_is_not_html_after_all_does_no_harm():
    page = read_web_page(
        b"\x80\xff<a id=uc-download-link>" + b"<" * 1000, "https://x/y"
    )
    assert page.download_url == "https://x/y"
    assert read_web_page(b"", "https://x/").download_url is None


@pytest.mark.parametrize(
    "target", ["http://example.com/f", "ftp://127.0.0.1/f", "file:///etc/hosts"]
)
def test_neither_redirects_nor_pages_lead_out_of_https(target, site):
    site.answers = [(302, {"Location": target}, b"")]
    with pytest.raises(UnavailableError, match="refused"):
        opened(site)
    site.answers = [(200, HTML, confirmation(target))]
    with pytest.raises(UnavailableError, match=r"leads to .*only https is fetched"):
        opened(site)
    assert len(site.requests) == 2


@pytest.mark.parametrize(
    ("url", "origin", "allowed"),
    [
        ("https://example.com/f", None, True),
        ("https://example.com/f", "http://localhost/f", True),
        ("http://localhost:8/f", None, True),
        ("http://[::1]/f", "http://127.0.0.1/f", True),
        ("http://127.0.0.1/f", "https://example.com/f", False),
        ("http://127.0.0.1.example.com/f", None, False),
        ("http://example.com/f", None, False),
        ("https:///f", None, False),
        ("file:///etc/hosts", None, False),
    ],
)
def test_https_and_this_machine_are_all_that_is_fetched_from(url, origin, allowed):
    if allowed:
        web.check_url(url, origin)
    else:
        with pytest.raises(UnavailableError, match="only https"):
            web.check_url(url, origin)


def test_redirects_are_followed(site):
    site.answers = [(302, {"Location": "/other"}, b""), None]
    assert opened(site) == site.content
    assert [path for path, _ in site.requests] == ["/file.bin", "/other"]
