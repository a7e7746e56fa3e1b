"""What is said reaches the one call it is for, in that call's codec; or the talker is told why not."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest
import trio

from actors.fanout.legacy.talker import Talker
from patchbay.audio.g711 import encode_float32, ulaw_to_alaw
from patchbay.net.rate_limit import RateLimit
from patchbay.protocol import batches, errors
from tests.fakes.listening import FakeFanout, heard, listener, started
from tests.fakes.telnyx import start

if TYPE_CHECKING:
    from trio.testing import MockClock

    from actors.fanout.calls.call import Call
    from actors.fanout.legacy.listener import Listener
    from actors.fanout.talk_sender import TalkSender

ULAW = bytes(range(160))


class Said:
    """The talk sender's side."""

    def __init__(self) -> None:
        self.pieces: list[batches.Talk] = []

    def send(self, call: Call, talker: Talker, packed: bytes) -> None:
        del talker
        [talk] = batches.unpack_talk(packed)
        assert talk.call == call.digest
        self.pieces.append(talk)

    def take(self) -> list[tuple[int, bytes]]:
        got = [(talk.kind, talk.payload) for talk in self.pieces]
        self.pieces.clear()
        return got


class Room:
    """A talker with its listener, in a fan-out."""

    def __init__(self, someone: Listener, rate_limit: RateLimit | None = None) -> None:
        self.fanout, self.said, self.listener = FakeFanout(), Said(), someone
        self.fanout.joins(someone)
        talk_sender = cast("TalkSender", self.said)
        self.talker = Talker(someone, self.fanout.calls, talk_sender, 0, rate_limit=rate_limit)

    def told(self) -> list[dict[str, Any]]:
        """The messages the talker got, but for starts."""
        got = [orjson.loads(message) for message in heard(self.listener) if message.startswith(b"{")]
        return [message for message in got if message.get("event") != "start"]

    def errors(self) -> list[int]:
        """Codes of the errors the talker got."""
        return [message["payload"]["code"] for message in self.told() if message["event"] == "error"]


def text(payload: bytes) -> bytes:
    return orjson.dumps({"event": "media", "media": {"payload": base64.b64encode(payload).decode()}})


def rtp(payload: bytes, payload_type: int) -> bytes:
    return struct.pack(">BBHII", 0x80, payload_type, 1, 2, 3) + payload


@pytest.mark.parametrize(
    ("encoding", "said", "heard_as"),
    [
        ("PCMU", ULAW, ULAW),
        ("PCMU", rtp(ULAW, 0), ULAW),
        ("PCMA", rtp(ULAW, 0), ulaw_to_alaw(ULAW)),
        ("PCMA", rtp(ULAW, 8), ULAW),
        ("L16", rtp(ULAW, 0), ULAW),
    ],
)
async def test_text_in_the_calls_codec(encoding: str, said: bytes, heard_as: bytes) -> None:
    """RTP headers are stripped, and another codec's payload is translated."""
    room = Room(listener(9))
    room.fanout.hears(started(raw=start(encoding=encoding)))
    room.talker.on_text(text(said))
    assert room.said.take() == [(batches.TALK, heard_as)]


async def test_floats_that_are_cut_anywhere() -> None:
    """Binary messages need not end between two samples."""
    room = Room(listener(9))
    room.fanout.hears(started())
    data = struct.pack("<160f", *[index / 160 for index in range(160)])
    room.talker.on_binary(data)
    [(_, whole)] = room.said.take()
    for at in range(0, len(data), 7):
        room.talker.on_binary(data[at : at + 7])
    assert b"".join(payload for _, payload in room.said.take()) == whole
    assert len(whole) == 160


async def test_the_end_is_told_once() -> None:
    """By the talker's stop, or its going; without a word before, there is nothing to end."""
    room = Room(listener(9))
    room.fanout.hears(started())
    room.talker.stop()
    assert room.said.take() == []
    room.talker.on_text(text(ULAW))
    room.talker.on_text(b'{"event":"stop"}')
    room.talker.stop()
    assert [kind for kind, _ in room.said.take()] == [batches.TALK, batches.TALK_STOP]


async def test_no_call_and_several_calls(autojump_clock: MockClock) -> None:
    """Nothing is sent to any; the talker hears why, once a second for each reason."""
    room = Room(listener(9))
    for _ in range(3):
        room.talker.on_text(text(ULAW))
    assert room.errors() == [errors.NO_LIVE_CALL.code]
    room.fanout.hears(started("a", stream=1), started("b", stream=2))
    room.talker.on_text(text(ULAW))
    room.talker.on_text(text(ULAW))
    assert room.errors() == [errors.SEVERAL_LIVE_CALLS.code]
    await trio.sleep(1)
    room.talker.on_text(text(ULAW))
    assert room.errors() == [errors.SEVERAL_LIVE_CALLS.code]
    assert room.said.take() == []


async def test_only_into_the_call_it_named() -> None:
    """However many others are live."""
    room = Room(listener(9, call_control_id="b"))
    room.fanout.hears(started("a", stream=1))
    room.talker.on_text(text(ULAW))
    assert room.errors() == [errors.NO_LIVE_CALL.code]
    room.fanout.hears(started("b", stream=2))
    room.talker.on_text(text(ULAW))
    assert [talk.call for talk in room.said.pieces] == [batches.digest("b")]


async def test_what_is_no_talk() -> None:
    """Is told; other events are ignored; text that is not UTF-8 is the WebSocket's business."""
    room = Room(listener(9))
    room.fanout.hears(started())
    room.talker.on_text(b"rubbish")
    room.talker.on_text(b'{"event":"hello"}')
    assert room.errors() == [errors.MALFORMED_TALK.code]
    with pytest.raises(UnicodeDecodeError):
        room.talker.on_text(b"\xff")
    assert room.said.take() == []


async def test_faster_than_it_can_be_spoken(autojump_clock: MockClock) -> None:
    """Some of it is dropped; the talker is told how much, once a second, and in all to the last millisecond."""
    room = Room(listener(9), RateLimit(8000, 320))
    room.fanout.hears(started())
    for _ in range(5):
        room.talker.on_text(text(ULAW))
    room.talker.on_binary(bytes(640))
    room.talker.on_text(text(ULAW[:4]))
    room.talker.on_dropped("talk_too_fast", 100)
    room.talker.on_dropped("talk_late", 40)
    assert len(room.said.take()) == 2
    first, late = room.told()
    assert first["payload"] == {
        "code": 200010,
        "title": "talk_too_fast",
        "detail": "Talk comes faster than it can be spoken: 20 ms of it were dropped.",
        "dropped_ms": 20,
    }
    assert (late["payload"]["code"], late["payload"]["dropped_ms"]) == (200015, 40)
    room.talker.tick()
    assert room.told() == []
    await trio.sleep(1)
    room.talker.tick()
    [rest] = room.told()
    assert rest["payload"]["dropped_ms"] == 160  # of 160.5
    assert room.fanout.calls.counters["talk_too_fast"] == 5


async def test_what_is_cleared_may_be_said_anew() -> None:
    """Once a second: who is interrupted often has not run ahead."""
    room = Room(listener(9), RateLimit(8000, 320))
    room.fanout.hears(started())
    for _ in range(2):
        for _ in range(3):
            room.talker.on_text(text(ULAW))
        room.talker.on_text(b'{"event":"clear"}')
    room.talker.on_text(text(ULAW))
    kinds = [kind for kind, _ in room.said.take()]
    assert kinds == [batches.TALK, batches.TALK, batches.TALK_CLEAR, batches.TALK, batches.TALK, batches.TALK_CLEAR]


async def test_marks_are_asked_for_in_their_place() -> None:
    """And told when they come back."""
    room = Room(listener(9))
    room.fanout.hears(started())
    room.talker.on_text(text(ULAW))
    room.talker.on_text('{"event":"mark","mark":{"name":"é"}}'.encode())
    room.talker.on_text(text(ULAW))
    assert room.said.take() == [(batches.TALK, ULAW), (batches.TALK_MARK, "é".encode()), (batches.TALK, ULAW)]
    room.talker.on_mark("é", "stream")
    assert room.told()[-1] == {"event": "mark", "stream_id": "stream", "mark": {"name": "é"}}


@pytest.mark.parametrize("message", [b'{"event":"clear"}', b'{"event":"mark","mark":{"name":"x"}}'])
async def test_nothing_can_be_asked_of_no_call(message: bytes) -> None:
    room = Room(listener(9))
    room.talker.on_text(message)
    assert room.errors() == [errors.NO_LIVE_CALL.code]
    room.talker.on_text(b'{"event":"mark","mark":{}}')
    assert room.errors() == [errors.MALFORMED_TALK.code]


async def test_signs_of_life() -> None:
    """Are answered, or ignored and counted; never an error."""
    room = Room(listener(9))
    for message in (b"ping", b'{"type":"ping","n":1}', b'{"event":"ping"}'):
        room.talker.on_text(message)
    assert heard(room.listener) == [b'{"type":"pong"}', b'{"type":"pong","n":1}', b'{"event":"pong"}']
    for event in ("keepalive", "connected", "start", "unheard-of"):
        room.talker.on_text(orjson.dumps({"event": event}))
    assert heard(room.listener) == []
    assert room.fanout.calls.counters["talk_events_ignored"] == 4


async def test_packets_of_other_shapes(autojump_clock: MockClock) -> None:
    """Without their headers; what is no audio is dropped and said, once a second."""
    room = Room(listener(9))
    room.fanout.hears(started())
    for number in range(3):
        room.talker.on_text(text(struct.pack(">BBHII", 0x80, 0, number, 2, 3) + ULAW[:128]))
        for other in (101, 96, 13):
            room.talker.on_text(text(struct.pack(">BBHII", 0x80, other, number, 2, 3) + ULAW[:4]))
    room.talker.on_text(text(struct.pack(">BBHII", 0xA0, 0, 9, 2, 3) + b"\xff"))
    assert room.said.take() == [(batches.TALK, ULAW[:128])] * 3
    assert room.errors() == [errors.TALK_NOT_AUDIO.code, errors.MALFORMED_TALK.code]
    assert room.fanout.calls.counters["talk_not_audio"] == 9


@pytest.mark.parametrize("end", ["tick", "stop", "binary", "mark"])
async def test_what_is_held_back_is_not_lost(end: str) -> None:
    """A first message that might be a packet waits for the next one; without it, it is said as it is."""
    room = Room(listener(9))
    room.fanout.hears(started())
    like = b"\x84" * 100
    room.talker.on_text(text(like))
    assert room.said.take() == []
    if end == "tick":
        room.talker.tick()
    elif end == "stop":
        room.talker.stop()
    elif end == "binary":
        room.talker.on_binary(bytes(8))
    else:
        room.talker.on_text(b'{"event":"mark","mark":{"name":"x"}}')
    assert room.said.take()[0] == (batches.TALK, like)


async def test_a_successor_goes_on_in_the_middle_of_a_sample() -> None:
    """And knows whose packets come; nothing that was held back is lost."""
    room, successor = Room(listener(9)), Room(listener(9))
    samples = struct.pack("<160f", *[0.5 - index / 160 for index in range(160)])
    for each in (room, successor):
        each.fanout.hears(started())
    room.talker.on_text(text(rtp(ULAW, 0)))
    room.talker.on_binary(samples[:321])
    room.talker.on_text(text(b"\x84" * 100))
    successor.talker.resume(room.talker.hand_over())
    successor.talker.on_binary(samples[321:])
    successor.talker.on_text(text(rtp(ULAW[:128], 0)))
    said = b"".join(payload for _, payload in [*room.said.take(), *successor.said.take()])
    assert said == ULAW + encode_float32(samples, "PCMU")[:80] + b"\x84" * 100 + encode_float32(samples, "PCMU")[80:] + ULAW[:128]  # fmt: skip


@pytest.mark.parametrize("size", [160, 320, 763])
async def test_binary_that_is_no_float32(size: int, autojump_clock: MockClock) -> None:
    """Is refused and said; what is Float32 after it is taken."""
    room = Room(listener(9))
    room.fanout.hears(started())
    for _ in range(5):
        room.talker.on_binary(b"\xff\x7e\xfe" * 300 + b"\xff" * size)
    assert room.said.take() == []
    assert room.errors() == [errors.TALK_NOT_FLOAT32.code]
    assert room.fanout.calls.counters["talk_not_float32"] == 5
    room.talker.on_binary(bytes(640))
    assert room.said.take() == [(batches.TALK, b"\xff" * 160)]


async def test_refusals_are_passed_on() -> None:
    """Of the ingest, and of the way there."""
    room = Room(listener(9))
    room.talker.on_refused("floor_taken", "x")
    room.talker.on_refused("call_gone", "x")
    room.talker.on_unreachable()
    assert room.errors() == [errors.FLOOR_TAKEN.code, errors.CALL_GONE.code, errors.CALL_UNREACHABLE.code]
