"""What a head says of where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.http.head import BadRequest, parse_head
from patchbay.http.local_request import is_local_host, is_loopback_address, is_loopback_host, why_remote
from tests.fakes.work import assert_linear

if TYPE_CHECKING:
    from collections.abc import Callable


def said(*lines: str, host: str = "127.0.0.1:5006", target: str = "/calls") -> str | None:
    text = "".join(f"{line}\r\n" for line in lines)
    return why_remote(parse_head(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{text}\r\n".encode("latin-1")))


@pytest.mark.parametrize(
    "line",
    [
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-For: 127.0.0.1, 203.0.113.9",
        "X-Forwarded-For: 203.0.113.9, 127.0.0.1",
        "X-Forwarded-For: unknown",
        "X-Forwarded-For: 10.0.0.5",
        "X-Forwarded-For: 2001:db8::7",
        "X-Forwarded-For: [2001:db8::7]:4711",
        "X-Forwarded-For: ::ffff:203.0.113.9",
        "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-For: 203.0.113.9",
        "X-Real-IP: 203.0.113.9",
        "CF-Connecting-IP: 203.0.113.9",
        "Forwarded: for=203.0.113.9",
        'Forwarded: For="[2001:db8::7]:4711"',
        "Forwarded: for=127.0.0.1, for=203.0.113.9;proto=https",
        "Forwarded: proto=https;for=203.0.113.9",
        "Forwarded: for=unknown",
        "Forwarded: for=127.0.0.1;host=calls.example",
        "X-Forwarded-Host: calls.example",
    ],
)
def test_forwarded_from_elsewhere(line: str) -> None:
    """Whatever proxy says so, and wherever in the list."""
    told = said(line)
    assert told is not None
    assert told.split()[0] in line.lower()


@pytest.mark.parametrize(
    "line",
    [
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-For: 127.0.0.1:4711, ::1, [::1]:1",
        "X-Forwarded-For: ::ffff:127.0.0.1",
        "X-Forwarded-For: , ",
        "X-Forwarded-For: localhost",
        "X-Real-IP: ::1",
        'Forwarded: for="[::1]";host="localhost:3000";proto=http',
        "Forwarded: proto=http",
        "X-Forwarded-Host: localhost:3000",
        "X-Any: 203.0.113.9",
    ],
)
def test_forwarded_from_here(line: str) -> None:
    """A development server in front, say."""
    assert said(line) is None


@pytest.mark.parametrize(
    "host",
    [
        "calls.example", "calls.example:5006", "192.168.1.20", "192.168.1.20:5006", "[fd00::1]", "[fd00::1]:5006",
        "localhost.evil.example", "127.0.0.1.evil.example", "localhost:5006.evil.example", "127.0.0.1@evil.example",
        "evil.example@127.0.0.2.x", "0.0.0.0", "[::]", "a.b", "127.0.0.1.", "xn--e1afmkfd.xn--p1ai", "\x80.example", "[", "]:1",
    ],
)  # fmt: skip
def test_hosts_elsewhere(host: str) -> None:
    """Names that somebody's DNS may resolve to this machine, addresses of others, and what is no host."""
    assert (said(host=host) is None) == (host == "127.0.0.1.")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:1",
        "localhost.",
        "app.localhost:3000",
        "127.0.0.1",
        "127.8.9.1:80",
        "[::1]",
        "[::1]:5006",
        "",
    ],
)
def test_hosts_of_this_machine(host: str) -> None:
    """By name and by address."""
    assert said(host=host) is None
    assert is_loopback_host(host) or not host


def test_a_name_without_a_dot() -> None:
    """Is no domain's, so nobody has made it point here; yet it is no proof of loopback."""
    assert said(host="patchbay:5006") is None
    assert is_local_host("patchbay")
    assert not is_loopback_host("patchbay")


def test_the_target_is_a_host_too() -> None:
    """It wins over Host (RFC 9112 §3.2.2)."""
    assert said(target="http://calls.example/calls") is not None
    assert said(target="http://localhost:5006/calls") is None


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=200))
def test_any_text(text: str) -> None:
    """Never raises."""
    is_loopback_address(text)
    is_local_host(text)
    try:
        said(f"Forwarded: {text}", f"X-Forwarded-For: {text}", host=text)
    except BadRequest:
        return


@pytest.mark.parametrize("piece", ["127.0.0.1, ", ",", "for=127.0.0.1,", 'for="', "for=", '"', "for=;", ":", "["])
@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For"])
def test_a_long_list_takes_work_by_its_length(name: str, piece: str) -> None:
    """Whatever is repeated in it."""

    def work(count: int) -> Callable[[], object]:
        head = parse_head(f"GET / HTTP/1.1\r\nHost: localhost\r\n{name}: {piece * count}x\r\n\r\n".encode())
        return lambda: why_remote(head)

    assert_linear(work, 400)
