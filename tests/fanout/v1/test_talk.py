"""Talking on a `patchbay.v1` connection: the floor first, and an end that is told."""

from __future__ import annotations

import pytest

from actors.fanout.v1.talk import ANSWER_TIMEOUT_S
from patchbay.audio.g711 import ulaw_to_alaw
from patchbay.protocol import batches
from patchbay.protocol.v1 import frames
from tests.fakes.listening import entry, started
from tests.fakes.telnyx import start
from tests.fanout.v1.v1_room import CALL, Room, floor

ME = 5
PIECE = bytes(range(160))


@pytest.fixture
def room() -> Room:
    room = Room()
    room.fanout.hears(started())
    return room


def talks(room: Room, sequence: int, *, talk: int = 1, codec: int = 0, payload: bytes = PIECE) -> None:
    header = frames.HEADER.pack(frames.TALK, 0, codec, 0, 1, 0, talk, sequence, sequence * 20)
    room.connection.on_binary(header + payload, room.fanout.now)


def begin(room: Room) -> None:
    room.asks("talk.start", call_control_id=CALL, id=3)
    room.fanout.hears(floor(ME))
    room.told()
    room.said.clear()


def test_the_floor_is_asked_for(room: Room) -> None:
    """And the answer comes of ingest's."""
    told = room.asks("talk.start", call_control_id=CALL, id=3)
    assert [each["type"] for each in told] == ["stream", "floor"]  # of a call that it did not know so far
    assert [(talk.kind, talk.talker) for talk in room.said] == [(batches.TALK_CLAIM, ME)]
    room.fanout.hears(floor(ME))
    answer, news = room.told()
    assert answer == {
        "type": "talk.started", "id": 3, "call": 1, "call_control_id": CALL, "talk": 1, "codec": "PCMU",
    }  # fmt: skip
    assert news["holder"] == {"you": True}


def test_frames_go_to_the_call(room: Room) -> None:
    """In its codec; those of another talk, and those that come again, do not."""
    begin(room)
    talks(room, 0)
    talks(room, 0)
    talks(room, 1, talk=2)
    talks(room, 2, codec=1, payload=ulaw_to_alaw(PIECE))
    assert [talk.kind for talk in room.said] == [batches.TALK, batches.TALK]
    assert room.said[0].payload == PIECE
    assert room.connection.talk.ignored == 2
    room.said.clear()
    room.asks("talk.stop", call=1)
    talks(room, 3)
    assert [talk.kind for talk in room.said] == [batches.TALK_STOP]


def test_an_alaw_call() -> None:
    """Wants A-law."""
    room = Room()
    room.fanout.hears(started(raw=start(encoding="PCMA")))
    begin(room)
    talks(room, 0)
    assert room.said[0].payload == ulaw_to_alaw(PIECE)


@pytest.mark.parametrize(("title", "code"), [("floor_taken", 200005), ("call_gone", 200006)])
def test_the_floor_is_refused(room: Room, title: str, code: int) -> None:
    """To whoever asked."""
    room.asks("talk.start", call_control_id=CALL, id=3)
    room.connection.on_refused(title, "why")
    [told] = [each for each in room.told() if each["type"] == "error"]
    assert told == {"type": "error", "id": 3, "call": 1, "code": code, "title": title, "detail": "why"}
    talks(room, 0)
    assert [talk.kind for talk in room.said] == [batches.TALK_CLAIM]


def test_no_answer_comes(room: Room) -> None:
    """For so long that it is not waited for any more."""
    room.asks("talk.start", call_control_id=CALL, id=3)
    room.connection.tick(room.fanout.now + ANSWER_TIMEOUT_S - 0.1, 0)
    assert [each for each in room.told() if each["type"] == "error"] == []
    room.connection.tick(room.fanout.now + ANSWER_TIMEOUT_S, 0)
    assert room.told()[-1]["code"] == 200004


@pytest.mark.parametrize(
    ("news", "reason"),
    [
        (floor(None), "silent"),
        (floor(6), "pre_empted"),
        (entry(batches.GONE), "call_gone"),
        (entry(batches.STOP, payload=b"{}"), "call_gone"),
    ],
    ids=["silent", "pre-empted", "gone", "stopped"],
)
def test_the_floor_is_lost(room: Room, news: bytes, reason: str) -> None:
    """Which is told, and then nothing more is passed on."""
    begin(room)
    room.fanout.hears(news)
    [ended] = [each for each in room.told() if each["type"] == "talk.ended"]
    assert ended == {"type": "talk.ended", "call": 1, "talk": 1, "reason": reason}
    talks(room, 0)
    assert room.said == []


def test_again_at_once(room: Room) -> None:
    """The end of the first talk is not taken for that of the second, whatever comes late."""
    begin(room)
    room.asks("talk.stop", call=1)
    room.asks("talk.start", call_control_id=CALL, id=4)
    room.fanout.hears(floor(None), floor(ME))
    told = [each for each in room.told() if each["type"].startswith("talk")]
    assert [(each["type"], each.get("talk")) for each in told] == [("talk.started", 2)]
    assert [talk.kind for talk in room.said] == [batches.TALK_STOP, batches.TALK_CLAIM]


def test_a_talk_outlives_a_restart(room: Room) -> None:
    """With its number; what was asked for in that moment is asked for again by the client."""
    begin(room)
    room.restart(started(), floor(ME, flags=batches.SNAPSHOT, sub="ann"))
    talks(room, 40)
    assert [talk.kind for talk in room.said] == [batches.TALK]
    room.asks("talk.stop", call=1)
    room.asks("talk.start", call_control_id=CALL)
    room.fanout.hears(floor(ME))
    assert [each["talk"] for each in room.told() if each["type"] == "talk.started"] == [2]


def test_leaving_gives_the_floor_back(room: Room) -> None:
    begin(room)
    room.connection.close()
    assert [talk.kind for talk in room.said] == [batches.TALK_STOP]


def test_nothing_more_of_a_call_that_is_talked_to(room: Room) -> None:
    """The talk goes on."""
    room.asks("subscribe", call_control_id=CALL, tracks=["inbound"])
    begin(room)
    room.asks("unsubscribe", call=1)
    talks(room, 0)
    assert [talk.kind for talk in room.said] == [batches.TALK]
    room.fanout.lets_go()
    assert room.fanout.topics == []


def test_faster_than_speech(room: Room) -> None:
    """More than a burst is dropped, and the client told how much, once a second."""
    begin(room)
    for sequence in range(600):
        talks(room, sequence)
    assert len(room.said) == 500
    [told] = room.told()
    assert (told["code"], told["call"], told["dropped_ms"]) == (200010, 1, 20)
    room.connection.on_dropped("talk_too_fast", 1000)
    room.connection.tick(room.fanout.now + 1, 0)
    assert [each["dropped_ms"] for each in room.told()] == [99 * 20 + 1000]


def test_marks_and_clear(room: Room) -> None:
    """While there is a talk; what comes back names it."""
    for kind in ("talk.clear", "talk.mark"):
        [told] = room.asks(kind, call=1, name="x", id=9)
        assert (told["code"], told["id"]) == (200017, 9)
    begin(room)
    talks(room, 0)
    room.asks("talk.mark", call=1, name="é")
    room.asks("talk.clear", call=1)
    assert [(talk.kind, talk.payload) for talk in room.said] == [
        (batches.TALK, PIECE), (batches.TALK_MARK, "é".encode()), (batches.TALK_CLEAR, b""),
    ]  # fmt: skip
    room.connection.on_mark("é", "stream")
    assert room.told() == [{"type": "talk.marked", "call": 1, "talk": 1, "name": "é"}]
    room.connection.on_refused("too_many_marks", "why")
    assert [each["code"] for each in room.told()] == [200016]
    talks(room, 1)
    assert [talk.kind for talk in room.said][-1] == batches.TALK
    [told] = room.asks("talk.mark", call=1, name="x" * 257)
    assert told["code"] == 200008


def test_talk_that_reaches_nobody_is_said(room: Room) -> None:
    """Once a second; the talk goes on."""
    begin(room)
    for tick in range(3):
        room.connection.talk.on_unreachable()
        room.connection.tick(room.fanout.now + tick / 2, 0)
    assert [each["code"] for each in room.told()] == [200004, 200004]
    talks(room, 0)
    assert [talk.kind for talk in room.said] == [batches.TALK]


def test_talk_that_can_not_be_read_is_said_once(room: Room) -> None:
    begin(room)
    for _ in range(3):
        talks(room, 0, payload=PIECE[:7])
    assert [each["code"] for each in room.told()] == [200003]


def test_who_has_the_floor() -> None:
    """Is named to those who may talk."""
    for can, named in (["listen", "talk"], True), (["listen"], False):
        room = Room({"sub": "bob", "calls": "*", "can": can, "exp": 2e9})
        room.fanout.hears(started(), floor(77, sub="ann"))
        told = room.asks("subscribe", call_control_id=CALL)
        assert told[-1]["holder"] == ({"you": False, "sub": "ann"} if named else {"you": False})


def test_signs_of_life(room: Room) -> None:
    """Are answered, whatever is in them."""
    [answer] = room.asks("ping", id=4)
    assert (answer["type"], answer["id"], "sent" in answer) == ("pong", 4, False)
    assert room.asks("ping", sent=7.5)[0]["sent"] == 7.5
    room.connection.on_text(b"ping", room.fanout.now)
    assert [each["type"] for each in room.told()] == ["pong"]
    assert room.asks("keepalive") == []
    assert room.fanout.calls.counters["requests_ignored"] == 1
