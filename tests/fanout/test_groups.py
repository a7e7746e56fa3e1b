"""Each form of a call's audio: what the existing frontend plays, and what new clients ask for."""

from __future__ import annotations

import base64

import orjson
import pytest

from actors.fanout.groups import GroupKey, make_group
from actors.wire.bus import AUDIO, NO_NUMBER, NO_TIMESTAMP, Entry, pack_entry
from actors.wire.g711 import alaw_to_ulaw
from actors.wire.media_format import MediaFormat
from tests.fakes.listening import browser_of, heard, listener, messages

PCMU = MediaFormat()


def piece(payload: bytes, track: int = 0, chunk: int = 3, timestamp: int = 60) -> Entry:
    return Entry(AUDIO, track, 0, chunk, chunk, 9, len(payload), timestamp, 7, bytes(16), payload)


def encoded(key: GroupKey, payload: bytes, media_format: MediaFormat = PCMU, **given: int) -> list[tuple[int, bytes]]:
    group = make_group(key, media_format, "a stream")
    entry = piece(payload, **given)
    batch = b"before" + pack_entry(*entry[:-1]) + payload
    frames = group.encode_at(batch, 6, len(batch), 0.0) + group._flush()
    again = make_group(key, media_format, "a stream")
    assert again.encoder.replay([entry], 0.0) + again._flush() == frames
    return list(messages(frames))


@pytest.mark.parametrize("size", [1, 100, 160, 161, 320, 500])
@pytest.mark.parametrize("track", ["inbound", "both"])
def test_binary_is_ulaw_20_ms_at_a_time(size: int, track: str) -> None:
    """Whatever Telnyx put into one frame; nothing is lost and nothing is longer."""
    payload = bytes(index % 250 for index in range(size))
    got = encoded(("binary", "both" if track == "both" else "inbound"), payload)
    assert {first for first, _ in got} == {0x82}
    assert b"".join(data for _, data in got) == payload
    assert all(0 < len(data) <= 160 for _, data in got)


def test_nothing_of_nothing() -> None:
    """An empty piece is no frame: the frontend would play it."""
    assert encoded(("binary", "inbound"), b"") == []
    assert encoded(("binary", "both"), b"") == []


def test_other_codecs_become_ulaw() -> None:
    """The frontend decodes every binary message as PCMU."""
    alaw = bytes(range(160))
    assert encoded(("binary", "inbound"), alaw, MediaFormat("PCMA")) == [(0x82, alaw_to_ulaw(alaw))]


def test_json_is_in_the_calls_own_codec_with_what_telnyx_said() -> None:
    """Numbers as text, as Telnyx has them; absent ones are empty."""
    [(first, message)] = encoded(("json", "outbound"), b"\x01\x02", MediaFormat("PCMA"), track=1)
    assert first == 0x81
    assert orjson.loads(message) == {
        "event": "media",
        "sequence_number": "9",
        "stream_id": "a stream",
        "media": {
            "track": "outbound",
            "chunk": "3",
            "timestamp": "60",
            "payload": base64.b64encode(b"\x01\x02").decode(),
            "format": "PCMA",
        },
    }
    [(_, message)] = encoded(("json", "inbound"), b"\x01", chunk=NO_NUMBER, timestamp=NO_TIMESTAMP)
    assert orjson.loads(message)["media"]["chunk"] == ""
    assert orjson.loads(message)["media"]["timestamp"] == ""


def test_who_is_in_it() -> None:
    """The hot path's writers are the members', always; the end is written to each."""
    group = make_group(("binary", "both"), PCMU, None)
    first, second = listener(1), listener(2)
    group.join(first)
    group.join(second)
    group.join(second)
    assert group.outboxes == (first.outbox, second.outbox)
    group.encoder.encode(piece(b"\xff" * 160, track=1), 0.0)
    group.encoder.encode(piece(b"\x55" * 160), 0.0)
    group.end()
    group.end()
    assert heard(first) == heard(second) == [b"\x55" * 160]
    assert not group.leave(first)
    assert group.leave(second)
    assert not group.outboxes


def test_one_connection_twice() -> None:
    """While one of its subscriptions takes the other's place, it gets each frame once, and goes on getting them."""
    group = make_group(("binary", "inbound"), PCMU, None)
    first, second = listener(1), listener(2)
    second.outbox, second.peer.outbox = first.outbox, browser_of(first).outbox  # type: ignore[assignment]
    group.join(first)
    group.join(second)
    assert group.deliver(b"") == 1
    assert not group.leave(first)
    assert group.outboxes == (second.outbox,)
    group.disband()
    assert not group.outboxes
    assert not group.members
