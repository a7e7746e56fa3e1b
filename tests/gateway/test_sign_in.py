"""The page for people without a token: theirs alone, and good for nothing but showing one."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from actors.gateway import sign_in
from patchbay.http.answers import html_answer
from patchbay.http.head import RequestHead, parse_head

BROWSER = "Accept: text/html,application/xhtml+xml"


def head(*lines: str, target: str = "/", method: str = "GET") -> RequestHead:
    return parse_head("\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *lines, "", ""]).encode())


@pytest.mark.parametrize("status", [401, 403])
def test_who_opens_the_page_may_show_a_token(status: int) -> None:
    """The form leads back to where it is, so that a proxy's prefix stays."""
    page = sign_in.page(head(BROWSER), status)
    assert page is not None
    text = page.decode()
    assert 'name="token" type="password"' in text
    assert "action=" not in text
    assert "<script" not in text


def test_its_style_is_the_one_that_its_policy_allows() -> None:
    page = (sign_in.page(head(BROWSER), 401) or b"").decode()
    style = re.search("<style>(.*)</style>", page, re.DOTALL)
    allowed = re.search("style-src 'sha256-([^']+)'", sign_in.HEADERS)
    assert style
    assert allowed
    assert base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode() == allowed[1]


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("", "en"), ("fr-CA,fr;q=0.9,en;q=0.5", "fr"), ("de, en;q=0.8, fr;q=0.1", "en"), ("de", "en"), (";;,,", "en")],
)
def test_in_the_language_of_the_browser(accepted: str, language: str) -> None:
    page = sign_in.page(head(BROWSER, f"Accept-Language: {accepted}"), 401) or b""
    assert f'<html lang="{language}">' in page.decode()
    assert sign_in.WORDS[language][401] in page.decode()


def test_programs_get_their_line_of_text() -> None:
    """And so does everything but the page itself."""
    assert sign_in.page(None, 401) is None
    assert sign_in.page(head(), 401) is None
    assert sign_in.page(head("Accept: */*"), 401) is None
    assert sign_in.page(head(BROWSER), 429) is None
    assert sign_in.page(head(BROWSER, target="/api/calls"), 401) is None
    assert sign_in.page(head(BROWSER, method="HEAD"), 401) is None


def test_as_an_answer() -> None:
    answer = html_answer(401, b"<p>", sign_in.HEADERS).decode()
    top, _, body = answer.partition("\r\n\r\n")
    assert body == "<p>"
    assert top.startswith("HTTP/1.1 401 Unauthorized\r\n")
    for line in ("Content-Type: text/html", "Content-Length: 3", "WWW-Authenticate: Bearer", "Connection: close"):
        assert f"\r\n{line}" in top
