"""The smaller readers, each alone: what stands behind a limit in a whole message is reached here at once."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs

import jwt
import msgspec

from actors.call_events.calls.call_state import merge, of_event, view
from actors.call_events.clients.filter import parse_filter
from actors.call_events.entry import entry_of
from actors.call_events.events import MalformedEvent, parse_inside
from config import load
from patchbay.audio import amr_wb, float32, g711, media_format
from patchbay.auth import tokens
from patchbay.auth.access import find_token
from patchbay.auth.origins import Origins
from patchbay.http.head import MAX_QUERY_FIELDS, RequestHead
from patchbay.net.addresses import limit_keys, parse_address
from patchbay.process import sd_notify
from patchbay.protocol import batches as bus
from patchbay.protocol import handover, legacy, lenient_json, rtp, telnyx, times
from patchbay.protocol.query import BadQuery, calls_of, names_of
from patchbay.websocket.assembler import Assembler, Close, Fault
from tests.fakes.listening import FakeFanout, listener
from tests.fuzz.seeds import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_800_000_000.0
CODECS: tuple[g711.Codec, ...] = ("PCMU", "PCMA")
WRITTEN = "2026-01-01T00:00:00Z"


def rtp_packets(data: bytes) -> None:
    """A talker's messages, one a line: packets or bare audio, none lost but what is no audio."""
    talker = rtp.Depacketizer()
    said = [line for line in data.split(b"\n") if line]
    decided = [each for line in said for each in talker.take(line)] + talker.release()
    assert [message for message, _ in decided] == said
    for message, is_packet in decided:
        if is_packet:
            with suppress(lenient_json.Malformed):
                assert rtp.unpack(message).payload


def floats(data: bytes) -> None:
    """Samples in floats."""
    samples = data[: len(data) // 4 * 4]
    float32.is_plausible(samples)
    for codec in CODECS:
        assert len(g711.encode_float32(samples, codec)) == len(samples) // 4


def any_json(data: bytes) -> None:
    """Whatever is written as JSON: what is accepted can be written again, and is then read as the same."""
    mended: list[str] = []
    with suppress(lenient_json.Malformed):
        value = lenient_json.decode_any(data, mended)
        assert lenient_json.decode_any(lenient_json.encode_any(value), []) == value
        assert lenient_json.clean(data) is data or mended


def base64(data: bytes) -> None:
    """Base64 of any form."""
    with suppress(lenient_json.Malformed):
        assert len(lenient_json.decode_base64(data.decode("latin-1"), "it")) <= len(data)


def query(data: bytes) -> None:
    """The query of a URL."""
    try:
        parsed = parse_qs(data.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError:
        return
    for read in (calls_of, names_of, legacy.ListenQuery.parse, lambda asked: parse_filter(asked, None)):
        with suppress(BadQuery):
            cast("Callable[[object], object]", read)(parsed)


def moments(data: bytes) -> None:
    """Times: what is accepted can be written, and read again."""
    text = data.decode("utf-8", "replace")
    mended: list[str] = []
    told = times.occurred_at(text, WRITTEN, mended)
    assert times.microseconds(times.timestamp(times.microseconds(told))) == times.microseconds(told)
    assert (told == text) != bool(mended) or text == WRITTEN


def origins(data: bytes) -> None:
    """The Origin of a page."""
    text = data.decode("latin-1")
    for rules in _origins():
        rules.allow(text)


def addresses(data: bytes) -> None:
    """An address in X-Forwarded-For."""
    if (address := parse_address(data.decode("latin-1"))) is not None:
        limit_keys(address)


def cookies(data: bytes) -> None:
    """Cookies of a browser, ours and those of others under the same name."""
    head = RequestHead("GET", "/", "/", {}, [(b"cookie", data), (b"cookie", b"patchbay_token=x.y.z")])
    found = find_token(head)
    assert found is None or isinstance(found, str)


def authorization(data: bytes) -> None:
    """Where else a token may stand."""
    head = RequestHead("GET", "/", "/", {}, [(b"authorization", data), (b"sec-websocket-protocol", data)])
    find_token(head)
    tokens.answered_subprotocol(head.subprotocols)


def claims(data: bytes) -> None:
    """What somebody has signed: what is accepted can be carried, logged, and compared."""
    try:
        token = jwt.api_jws.encode(data, SECRET, algorithm="HS256")
        granted = _verifier().verify(token, NOW)
    except tokens.BadToken:
        return
    granted["sub"].encode()
    carried = handover.Renewed(id=1, claims=granted)
    assert handover.decode_to_gateway(handover.encode(carried)) == carried
    assert tokens.covers(granted, tokens.granted_calls(granted))
    for call in tokens.granted_calls(granted) or ():
        bus.digest(call)


def fragments(data: bytes) -> None:
    """Frames of a message, each as its first byte, a length, and so much."""
    for is_strict in (True, False):
        joined = Assembler(64 * 1024, is_strict=is_strict)
        at, size = 0, 0
        with suppress(Fault):
            while at + 2 <= len(data):
                payload = data[at + 2 : at + 2 + data[at + 1]]
                message = joined.take(data[at], payload)
                at += 2 + data[at + 1]
                if message is not None and not isinstance(message, Close):
                    size += len(message.payload)
        assert size <= len(data)


def amr_wb_frames(data: bytes) -> None:
    """A payload of AMR-WB."""
    with suppress(ValueError):
        assert len(amr_wb.unpack(data)) <= amr_wb.FRAMES_MAX


def formats(data: bytes) -> None:
    """The format that a stream says it has: one that it can have."""
    with suppress(lenient_json.Malformed):
        told = media_format.read_media_format(lenient_json.decode_object(data), [])
        assert told.sample_rate >= 8000
        assert told.channels in (1, 2)
    media_format.normalise_encoding(data.decode("latin-1"))


def batches(data: bytes) -> None:
    """What fan-out does with entries of the bus, the payloads of which are a peer's."""
    fanout = FakeFanout()
    fanout.joins(listener(track="both"))
    fanout.hears(*(telnyx_entry(line) for line in data.split(b"\n")))


def telnyx_entry(message: bytes) -> bytes:
    """An entry as ingest makes it of a message, if it is one."""
    with suppress(lenient_json.Malformed):
        frame = telnyx.decode(message)
        call = bus.digest("v3:call")
        if isinstance(frame, telnyx.Media):
            number = bus.NO_NUMBER if frame.chunk is None else frame.chunk & bus.NUMBER_MASK
            track = bus.TRACKS.index(frame.track)
            sizes = number, number, number, len(frame.payload), 0, 7, call
            return bus.pack_entry(bus.AUDIO, track, 1, *sizes) + frame.payload
        kinds = {telnyx.Start: bus.START, telnyx.Stop: bus.STOP, telnyx.StreamError: bus.ERROR}
        if type(frame) in kinds:
            return bus.news_entry(kinds[type(frame)], 7, call, frame.raw)  # type: ignore[union-attr]
    return b""


def journal_entries(data: bytes) -> None:
    """Events, one a line, as the journal reads them again: what clients get of each, and what is known of its call."""
    known = None
    for offset, body in enumerate(data.split(b"\n")):
        with suppress(MalformedEvent):
            event = parse_inside(body, received_at=WRITTEN)
            msgspec.json.decode(entry_of(event, offset, "e").text)
            state = of_event(event)
            if state is not None:
                known = state if known is None else merge(known, state)
                view(known)


def notifications(data: bytes) -> None:
    """What an actor says of itself."""
    assert all(sd_notify.parse(data))


@cache
def _origins() -> tuple[Origins, ...]:
    return Origins(["https://a.example"], loopback=False), Origins([], loopback=True), Origins(["*"], loopback=False)


@cache
def _verifier() -> tokens.Verifier:
    settings = {"PATCHBAY_AUTH__JWT_SECRET": SECRET, "PATCHBAY_RUN_DIR": "/nonexistent"}
    return tokens.Verifier(load(settings).auth)
