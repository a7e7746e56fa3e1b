"""Addresses behind proxies, rates, and how connections are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jwt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.gateway.admission import Admission, TooMany, kind_of
from actors.gateway.fd_limits import RESERVED, fitted
from actors.gateway.table import HeldConnection, Table
from config.settings import AuthSettings, GatewaySettings, Settings, TelnyxSettings
from patchbay.http.head import BadRequest, Route, parse_head, route
from patchbay.net.addresses import client_address, limit_keys, parse_address, parse_networks

if TYPE_CHECKING:
    import ipaddress

    from actors.gateway.admission import Admitted

NOW, WALL = 100.0, 1_800_000_000.0
PAGE, STREAM = Route("console", "http"), Route("ingest", "ws")
SECRET, STREAM_TOKEN = "PyOmnDUJYsHRqJxz0o4yt1ABCW9Nn0xY", "Zq7-stream-token-W4xk"
PROXIES = parse_networks(("127.0.0.0/8", "10.0.0.0/8"))


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
    assert limit_keys(address("203.0.113.9")) == {"203.0.113.9": 1}
    mine = {"2001:db8::/64": 1, "2001:db8::/48": 4}
    assert limit_keys(address("2001:db8::1")) == limit_keys(address("2001:db8::2:3")) == mine
    assert limit_keys(address("2001:db8:0:1::1")) == {"2001:db8:0:1::/64": 1, "2001:db8::/48": 4}
    assert limit_keys(address("127.0.0.1")) == {}
    assert limit_keys(address("::1")) == {}


def test_many_networks_of_one() -> None:
    """Whoever has a /48 has 65,536 networks, and four times as much as one of them."""
    by = admission(handshakes_per_s=1.0, handshakes_burst=2, connections_per_address=3)
    admitted = [receive(by, f"[2001:db8:0:{number:x}::1]:1") for number in range(8)]
    assert admitted[0].counted["connections from 2001:db8::/48"] == 12
    with pytest.raises(TooMany):
        receive(by, "[2001:db8:0:ff::1]:1")
    receive(by, "[2001:db8:1::1]:1")


def admission(**gateway: object) -> Admission:
    return Admission(Settings(gateway=GatewaySettings(**gateway)))  # type: ignore[arg-type]


def receive(by: Admission, peer: str, *lines: str, target: str = "/healthz", upgrade: bool = False) -> Admitted:
    extra = "".join(f"{line}\r\n" for line in lines)
    if upgrade:
        extra += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    head = parse_head(f"GET {target} HTTP/1.1\r\nHost: x\r\n{extra}\r\n".encode())
    return by.receive(peer, head, route(head), now=NOW, wall=WALL)


def test_who_a_request_is_from() -> None:
    """Both ends are told where a proxy is between; the connection's own comes back for its next request."""
    by = admission()
    first = receive(by, "127.0.0.1:40", "X-Forwarded-For: 203.0.113.9")
    assert first.peer == "203.0.113.9 via 127.0.0.1:40"
    assert receive(by, first.peer, "X-Forwarded-For: 203.0.113.10").peer == "203.0.113.10 via 127.0.0.1:40"
    assert receive(by, first.peer).peer == "127.0.0.1:40"
    assert receive(by, "2001:db8::1:443").peer == "2001:db8::1:443"


def test_too_many_requests() -> None:
    """429 for the address, counted; others are not concerned, nor is this machine."""
    by = admission(handshakes_per_s=1.0, handshakes_burst=2)
    for _ in range(2):
        receive(by, "203.0.113.9:1")
    with pytest.raises(BadRequest) as caught:
        receive(by, "203.0.113.9:2")
    assert caught.value.status == 429
    assert by.counters == {"refused_429": 1, "too_often_by_address": 1}
    for _ in range(5):
        receive(by, "127.0.0.1:1")
    receive(by, "203.0.113.10:1")


def test_how_connections_count() -> None:
    """By address, all together, and media streams for themselves; a later gateway counts them alike."""
    by = admission(max_connections=10, max_streams=5, connections_per_address=2)
    page = receive(by, "203.0.113.9:1")
    assert page.counted == {"connections": 10, "connections from 203.0.113.9": 2}
    assert receive(by, "127.0.0.1:1").counted == {"connections": 10}
    assert by.count_again(page.peer, PAGE, page.claims) == page.counted
    behind = receive(by, "127.0.0.1:1", "X-Forwarded-For: 203.0.113.9")
    assert by.count_again(behind.peer, PAGE, behind.claims) == page.counted
    stream = receive(by, "203.0.113.9:1", target="/audio-stream?role=telnyx", upgrade=True)
    assert stream.counted == {"media streams": 5}
    assert by.count_again("203.0.113.9:1", PAGE, {"sub": "me"})["connections with tokens of me"] == 500


def guarded(**gateway: object) -> Admission:
    auth = AuthSettings(enabled=True, jwt_secret=SECRET)
    telnyx = TelnyxSettings(stream_token=STREAM_TOKEN)
    return Admission(Settings(auth=auth, telnyx=telnyx, gateway=GatewaySettings(**gateway)))  # type: ignore[arg-type]


def signed(sub: str, *can: str) -> str:
    return jwt.encode({"sub": sub, "exp": WALL + 60, "calls": "*", "can": list(can)}, SECRET, algorithm="HS256")


def stream(by: Admission, token: str, peer: str = "203.0.113.9:1") -> Admitted:
    return receive(
        by, peer, f"X-Telnyx-Streaming-Auth-Token: {token}", target="/audio-stream?role=telnyx", upgrade=True
    )


def test_streams_of_the_carrier_count_apart() -> None:
    """Telnyx's token is known by what no token can say; others can take their share of the slots only."""
    by = guarded(max_streams=10, carrier_share=0.7, streams_per_address=4, streams_per_token=2)
    telnyx = stream(by, STREAM_TOKEN)
    assert telnyx.counted == {"media streams": 10}
    assert by.count_again(telnyx.peer, STREAM, telnyx.claims) == telnyx.counted
    other = stream(by, signed("telnyx", "stream"))
    assert other.counted == {
        "media streams": 10,
        "media streams without Telnyx's token": 3,
        "media streams from 203.0.113.9": 4,
        "media streams with tokens of telnyx": 2,
    }
    assert by.count_again(other.peer, STREAM, other.claims) == other.counted


@pytest.mark.parametrize(("share", "others"), [(0.0, 10), (0.01, 9), (0.5, 5), (1.0, 0)])
def test_slots_kept_for_the_carrier(share: float, others: int) -> None:
    """Any share, rounded in its favour."""
    found = stream(guarded(max_streams=10, carrier_share=share), signed("a", "stream"))
    assert found.counted["media streams without Telnyx's token"] == others


def test_event_clients_count_for_themselves_too() -> None:
    """Of a token; requests for events don't."""
    by = guarded(event_clients_per_token=3)
    query = f"?token={signed('me', 'events')}"
    name = "event clients with tokens of me"
    assert receive(by, "127.0.0.1:1", target=f"/call-events{query}", upgrade=True).counted[name] == 3
    assert name not in receive(by, "127.0.0.1:1", target=f"/api/events{query}").counted


def test_a_token_that_is_shown_too_often() -> None:
    """429, from wherever; it is told, counted, and whose it was is known. Telnyx's own may come as often as calls
    do."""
    by = guarded(token_handshakes_per_s=1.0, token_handshakes_burst=2)
    query = f"?token={signed('me', 'listen')}"
    for number in range(2):
        receive(by, f"203.0.113.{number}:1", target=f"/audio-stream{query}", upgrade=True)
    with pytest.raises(TooMany, match="this `sub`") as caught:
        receive(by, "203.0.113.9:1", target=f"/audio-stream{query}", upgrade=True)
    assert (caught.value.status, caught.value.sub) == (429, "me")
    assert by.counters == {"too_often_by_token": 1, "refused_429": 1}
    receive(by, "203.0.113.9:1", target=f"/audio-stream?token={signed('you', 'listen')}", upgrade=True)
    for _ in range(5):
        stream(by, STREAM_TOKEN)


def test_a_token_is_not_asked_too_often_by_those_who_have_none() -> None:
    """Forged ones cost their owner nothing."""
    by = guarded(token_handshakes_per_s=0.001, token_handshakes_burst=1)
    forged = jwt.encode(
        {"sub": "me", "exp": WALL + 60, "calls": "*", "can": ["listen"]}, SECRET[::-1], algorithm="HS256"
    )
    for _ in range(3):
        with pytest.raises(BadRequest) as caught:
            receive(by, "203.0.113.9:1", target=f"/audio-stream?token={forged}", upgrade=True)
        assert caught.value.status == 401
    receive(by, "203.0.113.9:1", target=f"/audio-stream?token={signed('me', 'listen')}", upgrade=True)


def test_authentication_without_a_key() -> None:
    """Is not a Admission at all."""
    with pytest.raises(ValueError, match=r"auth\.jwt_secret"):
        Admission(Settings(auth=AuthSettings(enabled=True)))


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


def test_where_there_is_little_nobody_gets_all() -> None:
    """Of few descriptors, an address or a token gets half at most; of many, what is set."""
    given = fitted(GatewaySettings(), 1024, tls=True)
    for limit in (given.connections_per_address, given.connections_per_token, given.event_clients_per_token):
        assert 0 < limit <= (given.max_connections + 1) / 2
    for limit in (given.streams_per_address, given.streams_per_token):
        assert 0 < limit <= (given.max_streams + 1) / 2


def test_a_table_counts_what_it_holds() -> None:
    """Under each of a connection's names, for as long as it is there."""
    table: Table[object] = Table()
    for number, names in enumerate((("all", "a"), ("all", "b"), ("all", "a"))):
        held = HeldConnection(number, object(), "ws", "fanout", b"", "", counted=names)
        table.add(held, NOW)
    assert table.counts == {"all": 3, "a": 2, "b": 1}
    table.remove(1)
    table.remove(1)
    assert table.counts == {"all": 2, "a": 2}
    assert "b" not in table.counts


@pytest.mark.parametrize(
    ("name", "kind", "by"),
    [
        ("connections", "connections", ""),
        ("media streams", "media_streams", ""),
        ("media streams without Telnyx's token", "media_streams_without_telnyxs_token", ""),
        ("connections from 2001:db8::/64", "connections_by_address", "address"),
        ("event clients with tokens of me", "event_clients_by_token", "token"),
        ("connections with tokens of me from 7 with tokens of you", "connections_by_token", "token"),
    ],
)
def test_what_is_counted_of_refusals(name: str, kind: str, by: str) -> None:
    """No counter has a client's words in its name."""
    assert kind_of(name) == (kind, by)
