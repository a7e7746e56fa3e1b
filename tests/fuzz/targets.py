"""Everything that reads what a peer sends, each as a function of some bytes.

A target returns whatever the bytes are. It raises when something comes out that its module does not document, or when
two ways of reading the same bytes disagree.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

import msgspec
import trio
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage
from wsproto.utilities import RemoteProtocolError

from actors.call_events import events
from actors.call_events.place import LostPlace, decode_place
from actors.call_events.query import wish
from actors.call_events.signature import BadSignature
from actors.call_events.signature import Verifier as SignatureVerifier
from actors.gateway.access import Access, find_token
from actors.gateway.addresses import client_address, networks_of
from actors.ingest.skim import Skimmer
from actors.wire import browser, bus, float32, g711, handoff, rtp, telnyx, v1, v1_control
from actors.wire.lenient import Malformed
from actors.wire.query import BadQuery
from actors.wire.request import BadRequest, call_ids, parse_head, parse_known_head, route
from actors.wire.tokens import BadToken, Verifier, covers, granted_calls
from actors.wire.websocket import BINARY, NOT_MASKED, TEXT, cannot_be_text, find_frames, unmask
from config import load
from tests.fakes.telnyx import FakeIngest
from tests.fakes.websockets import masked
from tests.fuzz import seeds

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_800_000_000.0
LONGEST = 32 * 1024
PLAIN = frozenset({TEXT, BINARY})
SETTINGS = {
    "PATCHBAY_AUTH__ENABLED": "true",
    "PATCHBAY_AUTH__JWT_SECRET": "PyOmnDUJYsHRqJxz0o4yt1ABCW9Nn0xY",
    "PATCHBAY_AUTH__ALLOWED_ORIGINS": "https://a.example",
    "PATCHBAY_TELNYX__STREAM_TOKEN": "Zq7-stream-token-W4xk",
}
KEY = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="  # RFC 8032, test 1


@dataclass(frozen=True)
class Target:
    """Attributes: run: the function. seeds: what its mutations begin with."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


def head(data: bytes) -> None:
    """A request head: parsed, routed, judged."""
    with suppress(BadRequest):
        parsed = parse_head(data + b"\r\n\r\n")
        assert parse_known_head(data + b"\r\n\r\n") == parsed
        client_address(ip_address("127.0.0.1"), parsed.every("x-forwarded-for"), proxies=2, proxy_networks=_proxies())
        call_ids(parsed)
        find_token(parsed)
        with suppress(BadQuery):
            wish(parsed.query, None)
        with suppress(BadQuery):
            browser.ListenQuery.parse(parsed.query)
        _access().decide(parsed, route(parsed), ip_address("192.0.2.1"), NOW)


def frames(data: bytes) -> None:
    """WebSocket frames: those found at once are those found in two looks, and their messages are wsproto's."""
    found, need = find_frames(data, 0, len(data), LONGEST)
    assert need >= NOT_MASKED
    half = len(data) // 2
    first, _ = find_frames(data, 0, half, LONGEST)
    at = first[-1][3] if first else 0
    assert first + find_frames(data, at, len(data), LONGEST)[0] == found
    if (end := found[-1][3] if found else 0) < len(data):
        cannot_be_text(data, end, len(data))
    plain = []
    for frame in found:
        if frame[0] not in PLAIN:
            break
        plain.append(frame)
    if plain:
        _same_as_wsproto(data, plain)


def _same_as_wsproto(data: bytes, plain: list[tuple[int, int, int, int]]) -> None:
    reference = Connection(ConnectionType.SERVER)
    heard: list[str | bytes] = []
    with suppress(RemoteProtocolError):
        reference.receive_data(data[: plain[-1][3]])
        heard = [
            event.data if isinstance(event, TextMessage) else bytes(event.data)
            for event in reference.events()
            if isinstance(event, TextMessage | BytesMessage) and event.message_finished
        ]
    for message, (first, _, payload, end) in zip(heard, plain, strict=False):
        ours = unmask(data, payload, end)
        assert message == (ours.decode() if first == TEXT else ours)


def telnyx_message(data: bytes) -> None:
    """One message of Telnyx."""
    with suppress(Malformed):
        telnyx.decode(data)


def telnyx_stream(data: bytes) -> None:
    """A whole stream: a message each line. It never raises, but for text that is none."""
    trio.run(_telnyx_stream, data)


async def _telnyx_stream(data: bytes) -> None:
    ingest = FakeIngest()
    ingest.fanout(everything=True)
    stream = ingest.stream()
    for number, message in enumerate(data.split(b"\n")):
        with suppress(UnicodeDecodeError):
            stream.on_text(message)
        if number % 7 == 6:
            stream.on_binary(message)
            ingest.now += 0.05
            stream.expire(ingest.now)
    for entry in ingest.entries():
        assert entry.kind in (bus.LIVE, bus.HEEDED) or entry.stream == stream.number
    stream.counters()


def skimmed(data: bytes) -> None:
    """What is skimmed off are whole frames of text, all of them media."""
    wire = b"".join(masked(line) for line in data.split(b"\n")) if data[:1] != b"\x81" else data
    inbound, outbound, end = Skimmer(15, 0.0).take(memoryview(wire), 0, len(wire), 0.0)
    found, _ = find_frames(wire, 0, len(wire), LONGEST * 2)
    taken = [frame for frame in found if frame[3] <= end]
    assert len(taken) == inbound + outbound
    assert (taken[-1][3] if taken else 0) == end
    assert all(frame[0] == TEXT for frame in taken)


def browser_message(data: bytes) -> None:
    """What a browser says, in any of its ways."""
    browser.looks_like_telnyx(data)
    with suppress(Malformed):
        browser.decode_talk(data)
    talker = rtp.Depacketizer()
    half = len(data) // 2
    for message, is_packet in [*talker.take(data[:half]), *talker.take(data[half:]), *talker.release()]:
        if is_packet:
            with suppress(Malformed):
                rtp.unpack(message)
    float32.is_plausible(data[: len(data) // 4 * 4])
    g711.encode_float32(data[: len(data) // 4 * 4], "PCMU")
    g711.encode_float32(data[: len(data) // 4 * 4], "PCMA")
    with suppress(v1_control.BadRequest):
        v1_control.decode(data)
    with suppress(Malformed):
        v1.unpack_talk(data)


def bus_frame(data: bytes) -> None:
    """What comes over the bus."""
    bus.parse_subscription(data)
    with suppress(bus.BusFormatError):
        bus.unpack_batch(data)
    with suppress(bus.BusFormatError):
        list(bus.unpack_talk(data))


def webhook(data: bytes) -> None:
    """A webhook's body, believed or not, and an event of another actor."""
    with suppress(BadSignature):
        signature, _, body = data.partition(b"\n")
        text = signature.decode("latin-1")
        _signatures().check(body, signature=text, timestamp=text[:10], now=NOW)
    for parse in (events.parse_webhook, events.parse_inside):
        with suppress(events.MalformedEvent):
            event = parse(data, received_at="2026-01-01T00:00:00Z")
            read = msgspec.json.decode(events.encode(event, offset=1, epoch="e"))
            assert read["id"] == event.id


def handoff_packet(data: bytes) -> None:
    """Between gateway and actors, and the notes that they keep for each other."""
    for decode in (handoff.decode_to_actor, handoff.decode_to_gateway):
        with suppress(*handoff.UNREADABLE):
            message = decode(data)
            assert decode(handoff.encode(message)) == message or _has_nan(data)
    with suppress(LostPlace):
        decode_place(data)


def token(data: bytes) -> None:
    """A token of any form, and claims that were signed all the same."""
    text = data.decode("latin-1")
    with suppress(BadToken):
        claims = _verifier().verify(text, NOW)
        covers(claims, granted_calls(claims))


def _has_nan(data: bytes) -> bool:
    return any(math.isnan(value) for value in _floats(msgspec.msgpack.decode(data)))


def _floats(value: object) -> list[float]:
    if isinstance(value, float):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [found for each in inner for found in _floats(each)]


@cache
def _access() -> Access:
    return Access(load({"PATCHBAY_RUN_DIR": "/nonexistent", **SETTINGS}))


@cache
def _verifier() -> Verifier:
    return Verifier(load({"PATCHBAY_RUN_DIR": "/nonexistent", **SETTINGS}).auth)


@cache
def _signatures() -> SignatureVerifier:
    return SignatureVerifier([KEY], tolerance_s=300)


_proxies = cache(lambda: networks_of(["127.0.0.0/8"]))

TARGETS = {
    "head": Target(head, seeds.HEADS),
    "frames": Target(frames, seeds.FRAMES),
    "telnyx": Target(telnyx_message, seeds.TELNYX),
    "stream": Target(telnyx_stream, (b"\n".join(seeds.TELNYX), *seeds.TELNYX)),
    "skim": Target(skimmed, (b"\n".join(seeds.TELNYX), *seeds.SKIMMED)),
    "browser": Target(browser_message, seeds.BROWSER),
    "bus": Target(bus_frame, seeds.BUS),
    "webhook": Target(webhook, seeds.WEBHOOKS),
    "handoff": Target(handoff_packet, seeds.PACKETS),
    "token": Target(token, seeds.TOKENS),
}
