"""Which pages may connect: exactly those of this machine and those listed."""

from __future__ import annotations

import pytest

from patchbay.auth.origins import Origins, is_loopback, normalised


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost", "http://localhost:3000", "https://localhost:8443", "HTTP://LocalHost:5006", "http://127.0.0.1:5006",
        "http://127.1.2.3", "http://127.255.255.254:1", "http://[::1]", "https://[::1]:5006", "http://[0:0:0:0:0:0:0:1]:80",
    ],
)  # fmt: skip
def test_pages_of_this_machine(origin: str) -> None:
    assert is_loopback(origin)
    assert Origins((), loopback=True).allow(origin)
    assert not Origins((), loopback=False).allow(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "", "null", "http://evil.example", "http://localhost.evil.example", "http://127.0.0.1.evil.example",
        "http://evil.example/localhost", "http://localhost@evil.example", "http://localhost:80@evil.example",
        "http://evil.example#localhost", "http://evil.example?http://localhost", "http://notlocalhost", "http://localhost.",
        "http://localhos", "http://128.0.0.1", "http://0.0.0.0:5006", "http://10.0.0.1", "http://[::]", "http://[fe80::1]",
        "http://2130706433", "http://127.1", "http://0x7f.0.0.1", "http://127.0.0.256", "http://[::1", "http://::1",
        "ftp://localhost", "file://", "file://localhost", "chrome-extension://localhost", "localhost", "//localhost",
        "http://localhost http://evil.example", "http://localhost, http://evil.example", "http://localhost\n", " http://localhost",
        "http://localhost:", "http://localhost:x", "http://localhost:123456", "http://localhost/", "*",
    ],
)  # fmt: skip
def test_pages_of_others(origin: str) -> None:
    assert not is_loopback(origin)
    assert not Origins(("https://app.example",), loopback=True).allow(origin)


def test_those_that_are_listed() -> None:
    """However they are written."""
    origins = Origins(("https://App.example/", "http://a.example:80", "http://b.example:8080"), loopback=False)
    for origin in ("https://app.example", "https://app.example:443", "http://a.example", "http://b.example:8080"):
        assert origins.allow(origin)
    for origin in ("http://app.example", "https://app.example:444", "http://b.example", "https://a.example", "null"):
        assert not origins.allow(origin)
    assert Origins(("*",), loopback=False).allow("null")
    assert normalised("null") == "null"


def test_an_empty_list() -> None:
    """Of a Patchbay with tokens: then these protect, and anybody may try. Of one without: this machine is on it."""
    assert Origins((), loopback=False).is_empty
    assert not Origins((), loopback=True).is_empty
    assert not Origins(("*",), loopback=False).is_empty
