"""Talk goes out in whole frames; who has the floor is told to all, however it was lost."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import orjson
import pytest

from actors.ingest.actor import forwarder
from patchbay.audio.marks import MARKS_MAX
from patchbay.protocol import batches
from tests.fakes.connections import FakeSendQueue
from tests.fakes.telnyx import FakeIngest, peer_of, start, stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.ingest.stream.stream import Stream

CALL = batches.digest("v3:call")
LOUD, SILENT = b"\x00" * 160, b"\xff" * 160


def say(ingest: FakeIngest, talker: int = 99, payload: bytes = LOUD, kind: int = batches.TALK) -> None:
    ingest.streams.receive_talk([batches.pack_talk(kind, 0, talker, CALL, payload)])


def heard(stream: Stream) -> list[bytes]:
    """What Telnyx got to play; b"clear" where it was told to forget, and a mark's name."""
    got = []
    for frame in peer_of(stream).written:
        message = orjson.loads(frame[frame.index(b"{") :])
        if message["event"] == "media":
            got.append(base64.b64decode(message["media"]["payload"]))
        else:
            got.append(message["mark"]["name"].encode() if message["event"] == "mark" else b"clear")
    peer_of(stream).written.clear()
    return got


def play(ingest: FakeIngest, for_s: float = 60.0) -> None:
    """Let time pass, with its ticks."""
    until = ingest.now + for_s
    while ingest.now < until:
        ingest.now += 0.02
        ingest.streams.ticker.tick()


def news(ingest: FakeIngest, kind: int) -> list[dict[str, object]]:
    """What talkers were told."""
    return [orjson.loads(entry.payload) for entry in ingest.entries() if entry.kind == kind]


def floors(ingest: FakeIngest) -> list[int | None]:
    """What fan-outs were told of the floor."""
    return [orjson.loads(entry.payload)["talker"] for entry in ingest.entries() if entry.kind == batches.FLOOR]


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
    refusals = [orjson.loads(entry.payload) for entry in entries if entry.kind == batches.REFUSED]
    assert [(refusal["talker"], refusal["title"]) for refusal in refusals] == [(2, "floor_taken")]
    ingest.now += 1
    say(ingest, 1)
    say(ingest, 2)
    assert batches.REFUSED in ingest.kinds()


async def test_talk_of_the_holder_goes_out_whole_and_in_real_time(ingest: FakeIngest) -> None:
    """What comes faster than it can be spoken waits; what is no whole frame waits for its rest."""
    stream = ingest.stream(7, start())
    for _ in range(50):
        say(ingest, 1)
    assert 0 < len(heard(stream)) < 25
    while ingest.streams.talk_router.send_due(ingest.now):
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
    say(ingest, 1, b"s" * len(LOUD), batches.TALK_CLAIM)  # who it is, and as long as a frame
    assert heard(stream) == []


async def test_the_floor_is_told_when_it_changes(ingest: FakeIngest) -> None:
    """Taken, released, taken by another."""
    ingest.stream(7, start())
    say(ingest, 1)
    say(ingest, 1)
    assert floors(ingest) == [1]
    say(ingest, 1, b"", batches.TALK_STOP)
    assert floors(ingest) == [None]
    say(ingest, 2)
    assert floors(ingest) == [2]
    assert ingest.streams.talk_router.holder(next(iter(ingest.streams.registry.live))) == 2


async def test_a_floor_that_falls_free_by_silence_is_told(ingest: FakeIngest) -> None:
    """A talker's process died: nothing more comes, so nothing but time says it."""
    stream = ingest.stream(7, start())
    say(ingest, 1)
    assert floors(ingest) == [1]
    ingest.now += 0.9
    ingest.streams.talk_router.poll(ingest.now)
    assert floors(ingest) == []
    ingest.now += 0.2
    ingest.streams.talk_router.poll(ingest.now)
    ingest.streams.talk_router.poll(ingest.now)
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
        ingest.streams.on_lost(stream)
    else:
        ingest.stream(8, start())
    kinds = ingest.entries()
    assert [entry.kind for entry in kinds if entry.stream == 7][:1] == [batches.FLOOR]
    assert ingest.streams.talk_router.conversations == {}
    heard(stream)
    ingest.now += 1
    ingest.streams.talk_router.send_due(ingest.now)
    assert heard(stream) == []


async def test_the_floor_moves_with_its_stream(ingest: FakeIngest) -> None:
    """The successor knows who has it, tells nobody anew, and lets it fall free in time."""
    stream = ingest.stream(7, start())
    say(ingest, 1)
    ingest.streams.on_parked(stream)
    assert floors(ingest) == [1]
    successor = FakeIngest()
    successor.fanout(0)
    moved = successor.stream(7)
    moved.resume(peer_of(stream).handed.state)
    successor.streams.on_resume(moved)
    say(successor, 2)
    assert heard(moved) == []
    assert floors(successor) == []
    successor.now += 1.1
    successor.streams.talk_router.poll(successor.now)
    assert floors(successor) == [None]


async def test_pre_empted(ingest: FakeIngest) -> None:
    """An administrator speaks at once: what Telnyx has not played of the other is cleared."""
    stream = ingest.stream(7, start())
    say(ingest, 1, LOUD * 20)
    assert heard(stream)
    say(ingest, 2, b"\x01" * 160, batches.TALK_PREEMPT)
    assert heard(stream) == [b"clear", b"\x01" * 160]
    assert not ingest.streams.talk_router.send_due(ingest.now)
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
        ingest.streams.talk_router.send_due(ingest.now)
    assert first + heard(stream) == [bytes([index]) * 160 for index in range(10)]
    assert not ingest.streams.talk_router.send_due(ingest.now)


async def test_the_last_piece_is_padded(ingest: FakeIngest) -> None:
    """With silence in the call's codec, when the talker stops."""
    stream = ingest.stream(7, start(encoding="PCMA"))
    say(ingest, 1, b"\x01" * 100)
    assert heard(stream) == []
    say(ingest, 1, b"", batches.TALK_STOP)
    assert heard(stream) == [(b"\x01" * 100).ljust(160, b"\xd5")]


NUMBERED = [bytes([number, 1]) * 80 for number in range(40)]


def moved(ingest: FakeIngest, stream: Stream, successor: FakeIngest) -> Stream:
    """The stream goes on in a successor."""

    def pass_on(message: bytes) -> bool:
        successor.streams.receive_talk([message])
        return True

    ingest.streams.talk_receiver.forward = pass_on
    ingest.streams.talk_receiver.hand_over(stream)
    ingest.streams.on_leave(stream)
    ingest.streams.on_parked(stream)
    again = successor.stream(7)
    again.resume(peer_of(stream).handed.state)
    successor.streams.on_resume(again)
    return again


async def test_what_waits_moves_with_its_stream(ingest: FakeIngest) -> None:
    """At its pace, with its floor and its marks; and nothing is padded where it was cut."""
    successor = FakeIngest()
    successor.fanout(0)
    stream = ingest.stream(7, start())
    say(ingest, 1, b"", batches.TALK_CLAIM_PREEMPT)
    say(ingest, 1, b"first", batches.TALK_MARK)
    say(ingest, 1, b"".join(NUMBERED[:30]), batches.TALK_PREEMPT)
    say(ingest, 1, b"second", batches.TALK_MARK)
    say(ingest, 1, NUMBERED[30][:100], batches.TALK_PREEMPT)
    before = heard(stream)
    again = moved(ingest, stream, successor)
    assert 1 < len(before + heard(stream)) < 10
    say(ingest, 1, NUMBERED[30][100:], batches.TALK_PREEMPT)  # too late for the predecessor
    say(successor, 1, b"", batches.TALK_STOP)
    assert 1 < len(heard(again)) < 10
    say(successor, 2)
    play(successor, 0.1)
    assert again.talker == 1
    for name in (b"first", b"second", b"first"):
        again.on_text(orjson.dumps({"event": "mark", "mark": {"name": name.decode()}}))
    assert [each["name"] for each in news(successor, batches.MARKED)] == ["first", "second"]
    play(successor, 2)
    assert again.talker is None


async def test_all_of_it_arrives_once_over_a_move(ingest: FakeIngest) -> None:
    successor = FakeIngest()
    successor.fanout(0)
    stream = ingest.stream(7, start())
    say(ingest, 1, b"".join(NUMBERED[:30]) + NUMBERED[30][:100])
    before = heard(stream)
    again = moved(ingest, stream, successor)
    say(ingest, 1, NUMBERED[30][100:])
    play(successor, 3)
    assert before + heard(again) == NUMBERED[:31]
    assert heard(stream) == []


async def test_flushed_where_nobody_takes_over(ingest: FakeIngest) -> None:
    """All that waits goes to Telnyx, whatever the pace; or, if that does not read, as much as can be moved."""
    stream = ingest.stream(7, start())
    say(ingest, 1, LOUD * 30 + LOUD[:100])
    ingest.streams.talk_receiver.hand_over(stream)
    assert heard(stream) == [LOUD] * 30 + [LOUD[:100].ljust(160, b"\xff")]
    say(ingest, 1, LOUD * 30)
    peer_of(stream).send_queue.behind = True
    ingest.entries()
    ingest.streams.talk_receiver.hand_over(stream)
    [told] = news(ingest, batches.DROPPED)
    assert told["title"] == "talk_late"
    assert len(heard(stream)) * 20 + int(str(told["dropped_ms"])) == 600


async def test_more_than_can_wait(ingest: FakeIngest) -> None:
    """The beginning is kept, and the talker told how much is not."""
    stream = ingest.stream(7, start())
    say(ingest, 1, LOUD * 2000)
    say(ingest, 1, LOUD)
    told = news(ingest, batches.DROPPED)
    assert [each["talker"] for each in told] == [1, 1]
    assert sum(int(str(each["dropped_ms"])) for each in told) == ingest.streams.talk_router.notifier.dropped_ms
    play(ingest)
    assert len(heard(stream)) * 20 == 2001 * 20 - ingest.streams.talk_router.notifier.dropped_ms == 30_080


async def test_late_at_telnyx_is_told(ingest: FakeIngest) -> None:
    """What it did not take in time."""
    stream = ingest.stream(7, start())
    say(ingest, 1)
    ingest.entries()
    send_queue = peer_of(stream).send_queue
    assert isinstance(send_queue, FakeSendQueue)
    send_queue.dropped = 7
    for _ in range(2):
        ingest.streams.talk_router.poll(ingest.now)
    assert news(ingest, batches.DROPPED) == [{"talker": 1, "title": "talk_late", "dropped_ms": 140}]


@pytest.mark.parametrize("frames", [10, 100])
@pytest.mark.parametrize("how", ["stop", "gone", "superseded"])
async def test_what_waits_when_the_stream_ends_is_told(ingest: FakeIngest, how: str, frames: int) -> None:
    """Where it is more than a live talker says in that moment."""
    stream = ingest.stream(7, start())
    say(ingest, 1, LOUD * frames)
    sent = len(heard(stream))
    if how == "stop":
        stream.on_text(stop())
    elif how == "gone":
        ingest.streams.on_lost(stream)
    else:
        ingest.stream(8, start())
    told = [each["dropped_ms"] for each in news(ingest, batches.DROPPED)]
    assert told == ([] if frames == 10 else [(frames - sent) * 20])


@pytest.mark.parametrize("stops", [False, True])
async def test_the_floor_is_kept_while_talk_waits(ingest: FakeIngest, stops: bool) -> None:
    """Nobody else is heard in the middle of a sentence that was sent ahead, whether its talker has finished or not."""
    stream = ingest.stream(7, start())
    say(ingest, 1, SILENT + LOUD * 198 + SILENT)
    if stops:
        say(ingest, 1, b"", batches.TALK_STOP)
    for _ in range(3):
        play(ingest, 1.2)
        ingest.streams.talk_router.poll(ingest.now)
        say(ingest, 2)
    assert floors(ingest) == [1]
    play(ingest, 0.5)
    assert floors(ingest) == ([None] if stops else [])
    play(ingest, 1.0)
    ingest.streams.talk_router.poll(ingest.now)
    assert floors(ingest) == ([] if stops else [None])
    say(ingest, 2)
    assert heard(stream) == [SILENT, *[LOUD] * 198, SILENT, LOUD]


async def test_who_goes_on_after_a_stop_keeps_the_floor(ingest: FakeIngest) -> None:
    stream = ingest.stream(7, start())
    say(ingest, 1, LOUD * 50)
    say(ingest, 1, b"", batches.TALK_STOP)
    say(ingest, 1, LOUD * 10)
    play(ingest, 1.5)
    assert stream.talker == 1
    assert floors(ingest) == [1]


async def test_a_tail_is_the_talkers_own(ingest: FakeIngest) -> None:
    """Another one's talk does not begin within its frame."""
    stream = ingest.stream(7, start())
    say(ingest, 1, LOUD[:100])
    ingest.now += 1.0
    say(ingest, 2, b"\x01" * 160)
    assert heard(stream) == [LOUD[:100].ljust(160, b"\xff"), b"\x01" * 160]


@pytest.mark.parametrize("chunk", [1, 100, 763, 1000, 164])
async def test_pieces_at_the_pace_of_speech(ingest: FakeIngest, chunk: int) -> None:
    """Nothing is put in between them."""
    stream = ingest.stream(7, start())
    whole = bytes(number % 60 for number in range(4000))
    for at in range(0, 4000, chunk):
        say(ingest, 1, whole[at : at + chunk])
        play(ingest, chunk / 8000)
    play(ingest, 1.1)
    assert b"".join(heard(stream)) == whole


async def test_clear_empties_the_queue(ingest: FakeIngest) -> None:
    """Ours and Telnyx's; the floor stays, marks come back, and the talk that follows is played at once."""
    stream = ingest.stream(7, start())
    say(ingest, 1, LOUD * 30)
    say(ingest, 1, b"a", batches.TALK_MARK)
    say(ingest, 1, LOUD * 30)
    say(ingest, 1, b"b", batches.TALK_MARK)
    heard(stream)
    say(ingest, 1, b"", batches.TALK_CLEAR)
    assert heard(stream) == [b"clear", b"a", b"b"]
    say(ingest, 1, NUMBERED[0])
    assert heard(stream) == [NUMBERED[0]]
    assert floors(ingest) == [1]


async def test_a_finished_talk_that_is_cleared_gives_the_floor_back(ingest: FakeIngest) -> None:
    ingest.stream(7, start())
    say(ingest, 1, LOUD * 30)
    say(ingest, 1, b"", batches.TALK_STOP)
    say(ingest, 1, b"", batches.TALK_CLEAR)
    assert floors(ingest) == [1, None]


@pytest.mark.parametrize("kind", [batches.TALK_CLEAR, batches.TALK_MARK])
async def test_only_the_holder_may_ask(ingest: FakeIngest, kind: int) -> None:
    """Whoever else is told; when nobody has the floor anybody may, and does not get it by that."""
    stream = ingest.stream(7, start())
    say(ingest, 1)
    heard(stream)
    say(ingest, 2, b"x", kind)
    assert heard(stream) == []
    assert [each["title"] for each in news(ingest, batches.REFUSED)] == ["floor_taken"]
    ingest.now += 2
    ingest.streams.talk_router.poll(ingest.now)
    ingest.entries()
    say(ingest, 2, b"x", kind)
    assert heard(stream) == [b"clear" if kind == batches.TALK_CLEAR else b"x"]
    assert ingest.entries() == []


async def test_marks_come_back_to_who_asked(ingest: FakeIngest) -> None:
    """Each once, in the order of playing, also when two have the same name; the journal gets all."""
    ingest.fanout(1)
    stream = ingest.stream(7, start())
    ingest.streams.receive_talk([batches.pack_talk(batches.TALK_MARK, 1, 2, CALL, b"x")])
    say(ingest, 1, b"x", batches.TALK_MARK)
    for _ in range(3):
        stream.on_text(b'{"event":"mark","mark":{"name":"x"}}')
    assert [orjson.loads(each.payload)["talker"] for each in ingest.entries(1) if each.kind == batches.MARKED] == [2]
    assert news(ingest, batches.MARKED) == [{"talker": 1, "name": "x", "stream_id": "stream"}]
    assert [name for name, _ in ingest.told()].count("stream.mark") == 3


async def test_the_number_of_marks_is_bounded(ingest: FakeIngest) -> None:
    """One too many is refused; there is room again when one has come back."""
    stream = ingest.stream(7, start())
    for _ in range(MARKS_MAX + 1):
        say(ingest, 1, b"x", batches.TALK_MARK)
    assert [each["title"] for each in news(ingest, batches.REFUSED)] == ["too_many_marks"]
    stream.on_text(b'{"event":"mark","mark":{"name":"x"}}')
    say(ingest, 1, b"x", batches.TALK_MARK)
    assert news(ingest, batches.REFUSED) == []


async def test_what_is_not_known_is_not_played(ingest: FakeIngest) -> None:
    """By a process of a later version, say."""
    stream = ingest.stream(7, start())
    say(ingest, 1, LOUD, 77)
    assert heard(stream) == []


async def test_the_stream_id_on_request() -> None:
    """Some set-ups are said to want it."""
    ingest = FakeIngest(PATCHBAY_TELNYX__INCLUDE_STREAM_ID="true")
    stream = ingest.stream(7, start(stream_id="abc"))
    say(ingest, 1)
    assert b'"stream_id":"abc"' in peer_of(stream).written[0]


async def test_a_fault_in_one_piece_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever fails in us: its call loses the piece, and the others are spoken to."""
    ingest = FakeIngest()
    ingest.fanout(0)
    one, other = ingest.stream(7, start("one")), ingest.stream(8, start("other"))
    take = ingest.streams.talk_router.take

    def fail_for_one(stream: Stream, talk: batches.Talk, now: float) -> None:
        if stream is one:
            raise RuntimeError("a fault of ours")
        take(stream, talk, now)

    monkeypatch.setattr(ingest.streams.talk_router, "take", fail_for_one)
    pieces = [
        batches.pack_talk(batches.TALK, 0, number, batches.digest(call), b"\x10" * 160)
        for number, call in ((1, "one"), (2, "other"))
    ]
    ingest.streams.receive_talk([b"".join(pieces)])
    assert (len(peer_of(one).written), len(peer_of(other).written)) == (0, 1)
    assert ingest.streams.talk_receiver.failed == 1
    assert [record.__dict__["call_control_id"] for record in caplog.records if record.levelname == "ERROR"] == ["one"]


async def test_a_fault_in_c_is_done_without(caplog: pytest.LogCaptureFixture) -> None:
    """The message is lost, since a part of it may have been said; the next one is not."""
    ingest = FakeIngest()
    stream = ingest.stream(7, start())

    def fail(*_: object) -> int:
        raise MemoryError

    ingest.streams.talk_receiver._take_talk_in_c = fail
    for _ in range(2):
        ingest.streams.receive_talk([batches.pack_talk(batches.TALK, 0, 1, stream.call, b"\x10" * 160)])
    assert len(peer_of(stream).written) == 1
    assert ingest.streams.talk_receiver.failed == 1
    assert "in Python from now on" in caplog.text


async def test_talk_is_passed_on_to_whoever_has_the_stream() -> None:
    """The next process of this index; without one all others, of whom only the one that has the stream says a word of
    it."""
    talk = batches.pack_talk(batches.TALK, 3, 99, CALL, LOUD)
    sent: dict[str, list[bytes]] = {"successor": [], "b": [], "c": []}

    def way(name: str, *, is_there: bool) -> Callable[[bytes], bool]:
        return lambda message: is_there and not sent[name].append(message)  # type: ignore[func-returns-value]

    assert forwarder(way("successor", is_there=True), [way("b", is_there=True)])(talk)
    assert sent == {"successor": [talk], "b": [], "c": []}
    assert forwarder(way("successor", is_there=False), [way("b", is_there=False), way("c", is_there=True)])(talk)
    [copy] = sent["c"]
    assert list(batches.unpack_talk(copy)) == [batches.Talk(batches.TALK, batches.NOBODY, 99, CALL, LOUD)]
    assert not forwarder(way("successor", is_there=False), [])(talk)
    ingest = FakeIngest()
    ingest.streams.receive_talk([copy])
    ingest.now += 1
    ingest.streams.talk_receiver.send_due(ingest.now)
    assert [entry for entry in ingest.entries() if entry.kind == batches.REFUSED] == []
