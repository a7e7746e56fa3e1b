"""The page's cookie: when it is set, and how."""

from __future__ import annotations

import pytest

from actors.console.page_rights import session
from patchbay.auth.page_cookie import setting_cookie
from patchbay.http.message import Request, Response

CLAIMS = {"sub": "ann", "exp": 1060.0, "calls": "*", "can": ["admin"]}
PAGE = Response(200, b"<p>", "text/html; charset=utf-8")


def cookie(headers: dict[str, str] | None = None, *, is_tls: bool = False, page: Response = PAGE) -> str | None:
    lines = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    request = Request("GET", "/", {"token": ["a.b.c"]}, lines, b"", "192.0.2.7:1", CLAIMS)
    response = setting_cookie(lambda _: page, lambda: 1000.0, is_tls=is_tls)(request)
    assert response is not None
    return response.headers.get("set-cookie")


@pytest.mark.parametrize(
    ("headers", "is_tls", "is_secure"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"x-forwarded-proto": "https"}, False, True),
        ({"x-forwarded-proto": "http"}, True, True),
    ],
)
def test_it_goes_over_tls_alone_where_there_is_tls(headers: dict[str, str], is_tls: bool, is_secure: bool) -> None:
    """Ours, or that of a proxy."""
    found = cookie(headers, is_tls=is_tls)
    assert found is not None
    assert found.startswith("patchbay_token=a.b.c; Path=/; Max-Age=60; HttpOnly; SameSite=Strict")
    assert found.endswith("; Secure") == is_secure


def test_only_a_page_sets_it() -> None:
    """What a page loads does not."""
    assert cookie(page=Response(200, b"", "text/javascript")) is None


def test_a_page_is_told_of_those_who_need_no_token() -> None:
    """Where there are any."""
    assert session(CLAIMS, ("192.0.2.0/24",))["anonymous_networks"] == ["192.0.2.0/24"]
    assert "anonymous_networks" not in session(CLAIMS)
