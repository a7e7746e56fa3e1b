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
from actors.call_events.clients.cursor import LostCursor, decode_cursor
from actors.call_events.clients.filter import parse_filter
from actors.call_events.webhooks.signature import BadSignature
from actors.call_events.webhooks.signature import Verifier as SignatureVerifier
from actors.ingest.stream.idle_reader import IdleReader
from config import load
from patchbay.audio import float32, g711
from patchbay.auth.access import Access, find_token
from patchbay.auth.tokens import BadToken, Verifier, covers, granted_calls
from patchbay.http.head import BadRequest, call_ids, parse_head, parse_known_head, route
from patchbay.net.addresses import client_address, parse_networks
from patchbay.protocol import batches, handover, legacy, rtp, telnyx
from patchbay.protocol.lenient_json import Malformed
from patchbay.protocol.query import BadQuery
from patchbay.protocol.v1 import control
from patchbay.protocol.v1 import frames as v1
from patchbay.websocket.frames import BINARY, NOT_MASKED, TEXT, cannot_be_text, find_frames, unmask
from tests.fakes.telnyx import FakeIngest, media, start, stop
from tests.fakes.websockets import masked
from tests.fuzz import connections, parts, seeds

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
    """A reader.

    Attributes:
        run: reads, and compares where there are two ways.
        seeds: what mutations begin with.
        pieces: what is repeated to find out what a byte costs, besides the parts of the seeds (`tests.fuzz.cost`).
        longest: bytes that a peer can have it read at once.
        read: reads only; None: `run` does.
    """

    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    pieces: tuple[bytes, ...] = ()
    longest: int = LONGEST
    read: Callable[[bytes], object] | None = None

    @property
    def reader(self) -> Callable[[bytes], object]:
        """What is measured."""
        return self.read or self.run


def head(data: bytes) -> None:
    """A request head: parsed, routed, judged."""
    with suppress(BadRequest):
        parsed = parse_head(data + b"\r\n\r\n")
        assert parse_known_head(data + b"\r\n\r\n") == parsed
        client_address(ip_address("127.0.0.1"), parsed.every("x-forwarded-for"), proxies=2, proxy_networks=_proxies())
        call_ids(parsed)
        find_token(parsed)
        with suppress(BadQuery):
            parse_filter(parsed.query, None)
        with suppress(BadQuery):
            legacy.ListenQuery.parse(parsed.query)
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


def _found(data: bytes) -> None:
    """The frames, and their payloads."""
    for _, _, payload, end in find_frames(data, 0, len(data), LONGEST)[0]:
        unmask(data, payload, end)


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
            stream.audio.expire(ingest.now)
    for entry in ingest.entries():
        assert entry.kind in (batches.LIVE, batches.ACKNOWLEDGED) or entry.stream == stream.number
    stream.counters()


def read_idle(data: bytes) -> None:
    """What the idle reader takes are whole frames of text, all of them media."""
    wire = b"".join(masked(line) for line in data.split(b"\n")) if data[:1] != b"\x81" else data
    inbound, outbound, end = IdleReader(15, 0.0).take(memoryview(wire), 0, len(wire), 0.0)
    found, _ = find_frames(wire, 0, len(wire), LONGEST * 2)
    taken = [frame for frame in found if frame[3] <= end]
    assert len(taken) == inbound + outbound
    assert (taken[-1][3] if taken else 0) == end
    assert all(frame[0] == TEXT for frame in taken)


def browser_message(data: bytes) -> None:
    """What a browser says, in any of its ways."""
    legacy.looks_like_telnyx(data)
    with suppress(Malformed):
        legacy.decode_talk(data)
    talker = rtp.Depacketizer()
    half = len(data) // 2
    for message, is_packet in [*talker.take(data[:half]), *talker.take(data[half:]), *talker.release()]:
        if is_packet:
            with suppress(Malformed):
                rtp.unpack(message)
    float32.is_plausible(data[: len(data) // 4 * 4])
    g711.encode_float32(data[: len(data) // 4 * 4], "PCMU")
    g711.encode_float32(data[: len(data) // 4 * 4], "PCMA")
    with suppress(control.BadRequest):
        control.decode(data)
    with suppress(Malformed):
        v1.unpack_talk(data)


def bus_frame(data: bytes) -> None:
    """What comes over the bus."""
    batches.parse_subscription(data)
    with suppress(batches.BusFormatError):
        batches.unpack_batch(data)
    with suppress(batches.BusFormatError):
        list(batches.unpack_talk(data))


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
    """Between gateway and actors, and the states that they keep for each other."""
    for decode in (handover.decode_to_actor, handover.decode_to_gateway):
        with suppress(*handover.UNREADABLE):
            message = decode(data)
            assert decode(handover.encode(message)) == message or _has_nan(data)
    with suppress(LostCursor):
        decode_cursor(data)


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


_proxies = cache(lambda: parse_networks(["127.0.0.0/8"]))

MESSAGE = 256 * 1024  # the longest that is mended; of many short ones, what a second brings
LINES = (b'{"event":"x"}\n', b"\n", b'{"event":"mark","mark":{"name":"n%d"}}\n', b'{"event":"media","media":{}}\n')
MEMBERS = (b'"k%d":1,', b"[", b'{"a":', b"\xff", b"\\ud800", b"1", b'"",', b"0.", b"\\")
TARGETS = {
    "head": Target(
        head,
        seeds.HEADS,
        (b"x%d: y\r\n", b"Cookie: a\r\n", b'\\"', b"%%41", b"&a%d=", b"\r\n", b"/.", b"calls_"),
        16_000,
    ),
    "frames": Target(frames, seeds.FRAMES, (masked(b""), masked(b"x", 0x00), masked(b"", 0x89)), read=_found),
    "connection": Target(
        connections.read,
        (*seeds.FRAMES, *seeds.IDLE[1:]),
        (masked(b'{"event":"x"}'), masked(b"", 0x89), masked(b"x", 0x00), masked(b"x", 0x01), masked(b"", 0x82)),
        128 * 1024,
    ),
    "telnyx": Target(telnyx_message, seeds.TELNYX, MEMBERS, MESSAGE),
    "stream": Target(telnyx_stream, (b"\n".join(seeds.TELNYX), *seeds.TELNYX), LINES),
    "idle_reader": Target(read_idle, (b"\n".join(seeds.TELNYX), *seeds.IDLE), LINES),
    "browser": Target(browser_message, seeds.BROWSER, MEMBERS),
    "bus": Target(bus_frame, seeds.BUS),
    "webhook": Target(webhook, seeds.WEBHOOKS, MEMBERS, MESSAGE),
    "handoff": Target(handoff_packet, seeds.PACKETS, longest=handover.MAX_PACKET_BYTES),
    "token": Target(token, seeds.TOKENS),
    "rtp": Target(parts.rtp_packets, seeds.RTP, (seeds.TALK + b"\n", b"\x80\n", b"\x80\xc8\0\0")),
    "float32": Target(parts.floats, seeds.FLOATS, (b"\0\0\0\0", b"\1\0\0\0", b"\xff\xff\xff\x7f"), MESSAGE),
    "json": Target(parts.any_json, seeds.JSON, MEMBERS, MESSAGE),
    "base64": Target(parts.base64, seeds.BASE64, (b"\n", b"=", b"A ", b"-"), MESSAGE),
    "query": Target(parts.query, seeds.QUERIES, (b"call_", b"&call_id=%d", b"_", b"[0]", b"aB"), 16_000),
    "times": Target(parts.moments, seeds.TIMES),
    "origin": Target(parts.origins, seeds.ORIGINS, (b"a.", b":", b"["), 16_000),
    "address": Target(parts.addresses, seeds.ADDRESSES, (b":", b"[", b"%%", b"0"), 16_000),
    "cookie": Target(parts.cookies, seeds.COOKIES, (b'\\"', b'"', b"a=%d;", b";", b"=", b" ", b"\\1", b"a"), 16_000),
    "authorization": Target(parts.authorization, seeds.AUTHORIZATION, (b",", b" ", b"patchbay.token.,"), 16_000),
    "claims": Target(parts.claims, seeds.CLAIMS, (*MEMBERS, b'"c%d",'), 8_000),
    "fragments": Target(parts.fragments, seeds.FRAGMENTS, (b"\0\0", b"\0\1\xc3", b"\x89\0", b"\x81\0")),
    "amr_wb": Target(parts.amr_wb_frames, seeds.AMR_WB, (b"\xff", b"\xf4"), MESSAGE),
    "media_format": Target(parts.formats, seeds.FORMATS, MEMBERS),
    "batch": Target(parts.batches, seeds.BATCHES, (media(1) + b"\n", start() + b"\n", stop() + b"\n")),
    "journal": Target(
        parts.journal_entries, seeds.JOURNAL, (b'{"type":"stream.started","payload":{"call_control_id":"a"}}\n',)
    ),
    "notify": Target(parts.notifications, seeds.NOTIFICATIONS, (b"A%d=\n", b"\n", b"="), 4096),
}
