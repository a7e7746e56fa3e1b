"""Addresses behind proxies, rates, and how connections are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.gateway.addresses import client_address, counted_as, networks_of, parse_address
from actors.gateway.buckets import MAX_KEYS, Buckets
from actors.gateway.reception import Reception
from actors.gateway.room import RESERVED, fitted
from actors.gateway.table import Held, Table
from actors.wire.request import BadRequest, parse_head, route
from config.settings import AuthSettings, GatewaySettings, Settings

if TYPE_CHECKING:
    import ipaddress

    from actors.gateway.reception import Admission

NOW, WALL = 100.0, 1_800_000_000.0
PROXIES = networks_of(("127.0.0.0/8", "10.0.0.0/8"))


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = parse_address(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("direct", "forwarded", "proxies", "client"),
    [
        ("198.51.100.1", ["203.0.113.9"], 1, "198.51.100.1"),  # nobody we trust says so
        ("127.0.0.1", ["203.0.113.9"], 0, "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.9"], 1, "203.0.113.9"),
        ("127.0.0.1", ["6.6.6.6, 203.0.113.9"], 1, "203.0.113.9"),  # the first is the client's invention
        ("127.0.0.1", ["6.6.6.6", "203.0.113.9"], 1, "203.0.113.9"),  # in two lines
        ("10.1.1.1", ["6.6.6.6, 203.0.113.9, 10.2.2.2"], 2, "203.0.113.9"),
        ("127.0.0.1", ["203.0.113.9"], 2, "203.0.113.9"),
        ("127.0.0.1", [], 1, "127.0.0.1"),
        ("127.0.0.1", ["unknown"], 1, "127.0.0.1"),
        ("127.0.0.1", [" , 203.0.113.9:4711"], 1, "203.0.113.9"),
        ("127.0.0.1", ["[2001:db8::7]:4711"], 1, "2001:db8::7"),
        ("127.0.0.1", ["::ffff:203.0.113.9"], 1, "203.0.113.9"),
    ],
)
def test_the_clients_address(direct: str, forwarded: list[str], proxies: int, client: str) -> None:
    """Only what trusted proxies have added counts."""
    found = client_address(address(direct), forwarded, proxies=proxies, proxy_networks=PROXIES)
    assert found == address(client)


@given(st.text(), st.lists(st.text(), max_size=5), st.integers(0, 3))
def test_any_text_for_an_address(text: str, forwarded: list[str], proxies: int) -> None:
    """Never raises."""
    parse_address(text)
    client_address(address("127.0.0.1"), forwarded, proxies=proxies, proxy_networks=PROXIES)


def test_what_counts_as_one() -> None:
    """An IPv6 network of one customer is one; this machine is not counted."""
    assert counted_as(address("203.0.113.9")) == "203.0.113.9"
    assert counted_as(address("2001:db8::1")) == counted_as(address("2001:db8::2:3")) == "2001:db8::/64"
    assert counted_as(address("127.0.0.1")) is None
    assert counted_as(address("::1")) is None


def test_buckets() -> None:
    """So much at once, then as time brings it; keys do not share."""
    buckets = Buckets(2.0, 3)
    assert [buckets.take("a", NOW) for _ in range(4)] == [True, True, True, False]
    assert buckets.take("b", NOW)
    assert not buckets.take("a", NOW + 0.4)
    assert buckets.take("a", NOW + 0.6)
    assert [buckets.take("a", NOW + 100) for _ in range(4)] == [True, True, True, False]


def test_buckets_are_bounded() -> None:
    """Whoever has many addresses can't fill our memory."""
    buckets = Buckets(1.0, 1)
    for number in range(MAX_KEYS + 10):
        assert buckets.take(str(number), NOW)
    assert len(buckets) == MAX_KEYS


@given(st.floats(0.1, 1000), st.integers(1, 100), st.lists(st.floats(0, 10), max_size=200))
def test_a_bucket_never_gives_more_than_it_may(per_s: float, burst: int, waits: list[float]) -> None:
    """At most the burst and what time brought."""
    buckets, now, taken = Buckets(per_s, burst), NOW, 0
    for wait in waits:
        now += wait
        taken += buckets.take("a", now)
    assert taken <= burst + (now - NOW) * per_s + 1e-6


def reception(**gateway: object) -> Reception:
    return Reception(Settings(gateway=GatewaySettings(**gateway)))  # type: ignore[arg-type]


def receive(by: Reception, peer: str, *lines: str, target: str = "/healthz", upgrade: bool = False) -> Admission:
    extra = "".join(f"{line}\r\n" for line in lines)
    if upgrade:
        extra += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    head = parse_head(f"GET {target} HTTP/1.1\r\nHost: x\r\n{extra}\r\n".encode())
    return by.receive(peer, head, route(head), now=NOW, wall=WALL)


def test_who_a_request_is_from() -> None:
    """Both ends are told where a proxy is between; the connection's own comes back for its next request."""
    by = reception()
    first = receive(by, "127.0.0.1:40", "X-Forwarded-For: 203.0.113.9")
    assert first.peer == "203.0.113.9 via 127.0.0.1:40"
    assert receive(by, first.peer, "X-Forwarded-For: 203.0.113.10").peer == "203.0.113.10 via 127.0.0.1:40"
    assert receive(by, first.peer).peer == "127.0.0.1:40"
    assert receive(by, "2001:db8::1:443").peer == "2001:db8::1:443"


def test_too_many_requests() -> None:
    """429 for the address, counted; others are not concerned, nor is this machine."""
    by = reception(handshakes_per_s=1.0, handshakes_burst=2)
    for _ in range(2):
        receive(by, "203.0.113.9:1")
    with pytest.raises(BadRequest) as caught:
        receive(by, "203.0.113.9:2")
    assert caught.value.status == 429
    assert by.counters == {"refused_429": 1}
    for _ in range(5):
        receive(by, "127.0.0.1:1")
    receive(by, "203.0.113.10:1")


def test_how_connections_count() -> None:
    """By address, all together, and media streams for themselves; a later gateway counts them alike."""
    by = reception(max_connections=10, max_streams=5, connections_per_address=2)
    page = receive(by, "203.0.113.9:1")
    assert page.counted == {"connections": 10, "connections from 203.0.113.9": 2}
    assert receive(by, "127.0.0.1:1").counted == {"connections": 10}
    assert by.counted_again(page.peer, "console", page.claims) == page.counted
    behind = receive(by, "127.0.0.1:1", "X-Forwarded-For: 203.0.113.9")
    assert by.counted_again(behind.peer, "console", behind.claims) == page.counted
    stream = receive(by, "203.0.113.9:1", target="/audio-stream?role=telnyx", upgrade=True)
    assert stream.counted == {"media streams": 5}
    assert by.counted_again("203.0.113.9:1", "console", {"sub": "me"})["connections with tokens of me"] == 500


def test_authentication_without_a_key() -> None:
    """Is not a Reception at all."""
    with pytest.raises(ValueError, match=r"auth\.jwt_secret"):
        Reception(Settings(auth=AuthSettings(enabled=True)))


def test_limits_that_descriptors_allow() -> None:
    """Enough: as they are. Too few: less of everything, in proportion, and some are left for us."""
    wanted = GatewaySettings(max_connections=800, max_streams=200, max_heads=100)
    assert fitted(wanted, 100_000, tls=False) == wanted
    for tls in (False, True):
        given = fitted(wanted, 1024, tls=tls)
        used = (given.max_connections + given.max_streams) * (3 if tls else 1)
        assert used + given.max_heads + RESERVED <= 1024 + 3
        assert given.max_connections > given.max_streams > 0
    assert msgspec.structs.asdict(fitted(wanted, 8, tls=True))["max_streams"] >= 1


def test_a_table_counts_what_it_holds() -> None:
    """Under each of a connection's names, for as long as it is there."""
    table: Table[object] = Table()
    for number, names in enumerate((("all", "a"), ("all", "b"), ("all", "a"))):
        held = Held(number, object(), "ws", "fanout", b"", "", counted=names)
        table.add(held, NOW)
    assert table.counts == {"all": 3, "a": 2, "b": 1}
    table.remove(1)
    table.remove(1)
    assert table.counts == {"all": 2, "a": 2}
    assert "b" not in table.counts
