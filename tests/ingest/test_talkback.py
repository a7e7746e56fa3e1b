"""Talk goes out in whole frames; who has the floor is told to all, however it was lost."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import orjson
import pytest

from actors.ingest.actor import passes_on
from actors.wire import bus as wire
from tests.fakes.telnyx import FakeIngest, peer_of, start, stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.ingest.stream import Stream

CALL = wire.digest("v3:call")
LOUD, SILENT = b"\x00" * 160, b"\xff" * 160


def say(ingest: FakeIngest, talker: int = 99, payload: bytes = LOUD, kind: int = wire.TALK) -> None:
    ingest.hub.talk([wire.pack_talk(kind, 0, talker, CALL, payload)])


def heard(stream: Stream) -> list[bytes]:
    """What Telnyx got to play; b"clear" where it was told to forget."""
    got = []
    for frame in peer_of(stream).written:
        message = orjson.loads(frame[frame.index(b"{") :])
        got.append(base64.b64decode(message["media"]["payload"]) if message["event"] == "media" else b"clear")
    peer_of(stream).written.clear()
    return got


def floors(ingest: FakeIngest) -> list[int | None]:
    """What fan-outs were told of the floor."""
    return [orjson.loads(entry.payload)["talker"] for entry in ingest.entries() if entry.kind == wire.FLOOR]


@pytest.fixture
async def ingest() -> FakeIngest:
    made = FakeIngest()
    made.fanout(0)
    return made


async def test_first_come(ingest: FakeIngest) -> None:
    """One talks; another is told, not more than once a second, and not heard."""
    stream = ingest.stream(7, start())
    say(ingest, 1)
    say(ingest, 2)
    say(ingest, 2)
    assert heard(stream) == [LOUD]
    entries = ingest.entries()
    refusals = [orjson.loads(entry.payload) for entry in entries if entry.kind == wire.REFUSED]
    assert [(refusal["talker"], refusal["title"]) for refusal in refusals] == [(2, "floor_taken")]
    ingest.now += 1
    say(ingest, 1)
    say(ingest, 2)
    assert wire.REFUSED in ingest.kinds()


async def test_talk_of_the_holder_goes_out_whole_and_in_real_time(ingest: FakeIngest) -> None:
    """What comes faster than it can be spoken waits; what is no whole frame waits for its rest."""
    stream = ingest.stream(7, start())
    for _ in range(50):
        say(ingest, 1)
    assert 0 < len(heard(stream)) < 25
    while ingest.hub.talkback.due(ingest.now):
        ingest.now += 0.02
    heard(stream)
    ingest.now += 0.5
    say(ingest, 1)
    say(ingest, 1, LOUD[:80])
    assert heard(stream) == [LOUD]
    ingest.now += 0.02
    say(ingest, 1, LOUD[:80])
    assert heard(stream) == [LOUD]
    ingest.now += 0.5
    say(ingest, 1, b"s" * len(LOUD), wire.TALK_CLAIM)  # who it is, and as long as a frame
    assert heard(stream) == []


async def test_the_floor_is_told_when_it_changes(ingest: FakeIngest) -> None:
    """Taken, released, taken by another."""
    ingest.stream(7, start())
    say(ingest, 1)
    say(ingest, 1)
    assert floors(ingest) == [1]
    say(ingest, 1, b"", wire.TALK_STOP)
    assert floors(ingest) == [None]
    say(ingest, 2)
    assert floors(ingest) == [2]
    assert ingest.hub.talkback.holder(next(iter(ingest.hub._streams.values()))) == 2


async def test_a_floor_that_falls_free_by_silence_is_told(ingest: FakeIngest) -> None:
    """A talker's process died: nothing more comes, so nothing but time says it."""
    stream = ingest.stream(7, start())
    say(ingest, 1)
    assert floors(ingest) == [1]
    ingest.now += 0.9
    ingest.hub.talkback.look(ingest.now)
    assert floors(ingest) == []
    ingest.now += 0.2
    ingest.hub.talkback.look(ingest.now)
    ingest.hub.talkback.look(ingest.now)
    assert floors(ingest) == [None]
    assert stream.talker is None


@pytest.mark.parametrize("how", ["stop", "gone", "superseded"])
async def test_a_floor_ends_with_its_stream(ingest: FakeIngest, how: str) -> None:
    """Before the end is told, or nobody would know whose floor it was. No talk is kept."""
    stream = ingest.stream(7, start())
    say(ingest, 1, LOUD * 50)
    ingest.entries()
    if how == "stop":
        stream.on_text(stop())
    elif how == "gone":
        ingest.hub.gone(stream)
    else:
        ingest.stream(8, start())
    kinds = ingest.entries()
    assert [entry.kind for entry in kinds if entry.stream == 7][:1] == [wire.FLOOR]
    assert ingest.hub.talkback.conversations == {}
    heard(stream)
    ingest.now += 1
    ingest.hub.talkback.due(ingest.now)
    assert heard(stream) == []


async def test_the_floor_moves_with_its_stream(ingest: FakeIngest) -> None:
    """The successor knows who has it, tells nobody anew, and lets it fall free in time."""
    stream = ingest.stream(7, start())
    say(ingest, 1)
    ingest.hub.parked(stream)
    assert floors(ingest) == [1]
    successor = FakeIngest()
    successor.fanout(0)
    moved = successor.stream(7)
    moved.resume(peer_of(stream).handed.note)
    successor.hub.resumed(moved)
    say(successor, 2)
    assert heard(moved) == []
    assert floors(successor) == []
    successor.now += 1.1
    successor.hub.talkback.look(successor.now)
    assert floors(successor) == [None]


async def test_pre_empted(ingest: FakeIngest) -> None:
    """An administrator speaks at once: what Telnyx has not played of the other is cleared."""
    stream = ingest.stream(7, start())
    say(ingest, 1, LOUD * 20)
    assert heard(stream)
    say(ingest, 2, b"\x01" * 160, wire.TALK_PREEMPT)
    assert heard(stream) == [b"clear", b"\x01" * 160]
    assert not ingest.hub.talkback.due(ingest.now)
    say(ingest, 1)
    assert heard(stream) == []


async def test_talk_is_paced(ingest: FakeIngest) -> None:
    """What comes faster than real time waits for its time; nothing waits for ever."""
    stream = ingest.stream(7, start())
    say(ingest, 1, b"".join(bytes([index]) * 160 for index in range(10)))
    first = heard(stream)
    assert 1 <= len(first) < 10
    for _ in range(20):
        ingest.now += 0.02
        ingest.hub.talkback.due(ingest.now)
    assert first + heard(stream) == [bytes([index]) * 160 for index in range(10)]
    assert not ingest.hub.talkback.due(ingest.now)


async def test_the_last_piece_is_padded(ingest: FakeIngest) -> None:
    """With silence in the call's codec, when the talker stops."""
    stream = ingest.stream(7, start(encoding="PCMA"))
    say(ingest, 1, b"\x01" * 100)
    assert heard(stream) == []
    say(ingest, 1, b"", wire.TALK_STOP)
    assert heard(stream) == [(b"\x01" * 100).ljust(160, b"\xd5")]


async def test_flushed_before_a_move(ingest: FakeIngest) -> None:
    """All that waits goes out, whatever the pace."""
    stream = ingest.stream(7, start())
    say(ingest, 1, LOUD * 30)
    ingest.hub.talkback.flush(stream)
    assert len(heard(stream)) == 30


async def test_the_stream_id_on_request() -> None:
    """Some set-ups are said to want it."""
    ingest = FakeIngest(PATCHBAY_TELNYX__INCLUDE_STREAM_ID="true")
    stream = ingest.stream(7, start(stream_id="abc"))
    say(ingest, 1)
    assert b'"stream_id":"abc"' in peer_of(stream).written[0]


async def test_talk_is_passed_on_to_whoever_has_the_stream() -> None:
    """The next process of this index; without one all others, of whom only the one that has the stream says a word of it."""
    talk = wire.pack_talk(wire.TALK, 3, 99, CALL, LOUD)
    sent: dict[str, list[bytes]] = {"successor": [], "b": [], "c": []}

    def way(name: str, *, is_there: bool) -> Callable[[bytes], bool]:
        return lambda message: is_there and not sent[name].append(message)  # type: ignore[func-returns-value]

    assert passes_on(way("successor", is_there=True), [way("b", is_there=True)])(talk)
    assert sent == {"successor": [talk], "b": [], "c": []}
    assert passes_on(way("successor", is_there=False), [way("b", is_there=False), way("c", is_there=True)])(talk)
    [copy] = sent["c"]
    assert list(wire.unpack_talk(copy)) == [wire.Talk(wire.TALK, wire.NOBODY, 99, CALL, LOUD)]
    assert not passes_on(way("successor", is_there=False), [])(talk)
    ingest = FakeIngest()
    ingest.hub.talk([copy])
    ingest.now += 1
    ingest.hub.talk_switch.due(ingest.now)
    assert [entry for entry in ingest.entries() if entry.kind == wire.REFUSED] == []
