"""What is said reaches the one call it is for, in that call's codec; or the talker is told why not."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, cast

import orjson
import pytest
import trio

from actors.fanout import talker as codes
from actors.fanout.talker import Talker
from actors.runtime.allowance import Allowance
from actors.wire import bus as wire
from actors.wire.g711 import ulaw_to_alaw
from tests.fakes.listening import FakeFanout, heard, listener, started
from tests.fakes.telnyx import start

if TYPE_CHECKING:
    from trio.testing import MockClock

    from actors.fanout.call import Call
    from actors.fanout.links import IngestLinks
    from actors.fanout.listener import Listener

ULAW = bytes(range(160))


class Said:
    """The links' side."""

    def __init__(self) -> None:
        self.pieces: list[wire.Talk] = []

    def say(self, call: Call, talker: Talker, packed: bytes) -> None:
        del talker
        [talk] = wire.unpack_talk(packed)
        assert talk.call == call.digest
        self.pieces.append(talk)

    def take(self) -> list[tuple[int, bytes]]:
        got = [(talk.kind, talk.payload) for talk in self.pieces]
        self.pieces.clear()
        return got


class Room:
    """A talker with its listener, in a fan-out."""

    def __init__(self, someone: Listener, allowance: Allowance | None = None) -> None:
        self.fanout, self.said, self.listener = FakeFanout(), Said(), someone
        self.fanout.joins(someone)
        links = cast("IngestLinks", self.said)
        self.talker = Talker(someone, self.fanout.calls, links, 0, allowance=allowance)

    def errors(self) -> list[int]:
        """Codes of the errors the talker got."""
        got = [orjson.loads(message) for message in heard(self.listener) if message.startswith(b"{")]
        return [message["payload"]["code"] for message in got if message["event"] == "error"]


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
    assert room.said.take() == [(wire.TALK, heard_as)]


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
    assert [kind for kind, _ in room.said.take()] == [wire.TALK, wire.TALK_STOP]


async def test_no_call_and_several_calls(autojump_clock: MockClock) -> None:
    """Nothing is sent to any; the talker hears why, once a second for each reason."""
    room = Room(listener(9))
    for _ in range(3):
        room.talker.on_text(text(ULAW))
    assert room.errors() == [codes.NO_CALL[0]]
    room.fanout.hears(started("a", stream=1), started("b", stream=2))
    room.talker.on_text(text(ULAW))
    room.talker.on_text(text(ULAW))
    assert room.errors() == [codes.SEVERAL_CALLS[0]]
    await trio.sleep(1)
    room.talker.on_text(text(ULAW))
    assert room.errors() == [codes.SEVERAL_CALLS[0]]
    assert room.said.take() == []


async def test_only_into_the_call_it_named() -> None:
    """However many others are live."""
    room = Room(listener(9, call_control_id="b"))
    room.fanout.hears(started("a", stream=1))
    room.talker.on_text(text(ULAW))
    assert room.errors() == [codes.NO_CALL[0]]
    room.fanout.hears(started("b", stream=2))
    room.talker.on_text(text(ULAW))
    assert [talk.call for talk in room.said.pieces] == [wire.digest("b")]


async def test_what_is_no_talk() -> None:
    """Is told; other events are ignored; text that is not UTF-8 is the WebSocket's business."""
    room = Room(listener(9))
    room.fanout.hears(started())
    room.talker.on_text(b"rubbish")
    room.talker.on_text(b'{"event":"ping"}')
    assert room.errors() == [codes.BAD_TALK[0]]
    with pytest.raises(UnicodeDecodeError):
        room.talker.on_text(b"\xff")
    assert room.said.take() == []


async def test_faster_than_it_can_be_spoken() -> None:
    """Some of it is lost, and the talker is told."""
    room = Room(listener(9), Allowance(8000, 320))
    room.fanout.hears(started())
    for _ in range(5):
        room.talker.on_text(text(ULAW))
    assert len(room.said.take()) == 2
    assert room.errors() == [codes.TOO_FAST[0]]


async def test_refusals_are_passed_on() -> None:
    """Of the ingest, and of the way there."""
    room = Room(listener(9))
    room.talker.refused("floor_taken", "x")
    room.talker.refused("call_gone", "x")
    room.talker.not_reached()
    assert room.errors() == [codes.REFUSALS["floor_taken"], codes.REFUSALS["call_gone"], codes.UNREACHABLE[0]]
