"""Calls whose audio is decoded elsewhere: listeners hear exactly what they would hear if that took no time."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.fanout.calls import in_order
from actors.fanout.calls.encodings import EncodedGroup
from actors.fanout.calls.publisher_handover import PATIENCE_S
from actors.fanout.calls.registry import FORGET_AFTER_S
from actors.fanout.decoder.messages import DECODED, FAILED, PROGRESS_BYTES, Answer, Request, pack_answer, read_requests
from actors.fanout.decoder.process import Decoder
from actors.fanout.decoder.queue import WAIT_MAX_S
from patchbay.protocol import batches
from tests.fakes.listening import FakeFanout, browser_of, entry, heard, listener, spoken, started
from tests.fakes.telnyx import start, stop
from tests.fanout.v1.v1_room import CALL, Room

if TYPE_CHECKING:
    from actors.fanout.legacy.listener import Listener

SILENCE = b"\xff" * 160
ERROR = b'{"event":"error"}'
OTHER = "v3:other"
FORMS: dict[str, dict[str, str]] = {"binary": {}, "mixed": {"track": "both"}, "json": {"format": "json"}}


class Identity(Decoder):
    """Decodes a payload to itself."""

    def __init__(self) -> None:
        super().__init__(bytearray(PROGRESS_BYTES))

    def _decode(self, request: Request) -> Answer:
        return Answer(request.serial, DECODED, request.payload)


def in_opus(call: str = "v3:call") -> bytes:
    return start(call, encoding="OPUS")


class Place:
    """A fan-out whose decoder takes its time, and what it has been asked."""

    def __init__(self, *, decodes: bool) -> None:
        self.fanout = FakeFanout()
        self.fanout.decodes = decodes
        self.fanout.decoder = Identity()
        self.asked: list[Request] = []
        self.listeners: dict[str, Listener] = {}
        self.told: dict[str, list[bytes]] = {}

    def join(self, form: str, call: str = "v3:call") -> None:
        name = f"{form} {call}"
        if name not in self.listeners:
            number = len(self.told) + 1
            self.listeners[name] = self.fanout.joins(listener(number, None, call_control_id=call, **FORMS[form]))
            self.told.setdefault(name, [])

    def leave(self, form: str) -> None:
        if (someone := self.listeners.pop(f"{form} v3:call", None)) is not None:
            self.read()
            self.told[f"{form} v3:call"] += heard(someone)
            self.fanout.calls.remove(someone)

    def read(self) -> None:
        for name, someone in self.listeners.items():
            self.told[name] += heard(someone)

    def answer(self, count: int) -> None:
        """The decoder has decoded so many frames."""
        for _ in range(count):
            if not self.asked:
                self.asked = list(read_requests(self.fanout.queue.next_request()))
            if not self.asked:
                break
            self.fanout.queue.receive(pack_answer(self.fanout.decoder._decode(self.asked.pop(0))))
            self.fanout.calls.resume(self.fanout.now)

    def die(self, at: int) -> None:
        """The decoder ends, at a frame or at none."""
        if not self.asked:
            self.asked = list(read_requests(self.fanout.queue.next_request()))
        self.fanout.queue.on_exit(self.asked[at].serial if at < len(self.asked) else 0)
        self.asked = []
        self.fanout.calls.resume(self.fanout.now)


Step = tuple[str, int]
WORDS = ["hear", "start", "stream", "stop", "error", "move", "left", "die", "late", "join", "leave"]
STEPS = st.tuples(
    st.sampled_from([*["say"] * 4, *["answer"] * 2, *WORDS]),
    st.integers(0, 5),
)


class Script:
    """Plays the same to two fan-outs, one of which decodes at once."""

    def __init__(self) -> None:
        self.at_once, self.later = self.both = Place(decodes=True), Place(decodes=False)
        self.stream, self.epoch, self.said, self.is_harmed = 7, 1, 0, False
        self.left = True
        for place in self.both:
            place.join("binary", OTHER)
            place.fanout.hears(started(OTHER, stream=5, raw=start(OTHER)))

    def hears(self, *entries: bytes, epoch: int | None = None) -> None:
        for place in self.both:
            place.fanout.hears(*entries, epoch=epoch or self.epoch, slot="ab"[(epoch or self.epoch) % 2])

    def play(self, step: Step) -> None:
        what, count = step
        if what == "say":
            self.hears(*[self._frame(track % 2) for track in range(count)])
        elif what == "hear":
            self.hears(spoken(self._next(), OTHER, stream=5))
        elif what in ("start", "stream"):
            self.stream += what == "stream"
            encoding = ("OPUS", "PCMU", "AMR-WB")[count % 3]
            self.hears(started(stream=self.stream, raw=start(encoding=encoding, session=self._next())))
        elif what == "stop":
            self.hears(entry(batches.STOP, stream=self.stream, payload=stop()))
            self.stream += 1
        elif what == "error":
            self.hears(entry(batches.ERROR, stream=self.stream, payload=ERROR))
        elif what == "move":
            self._move()
        elif what == "left":
            self._leave()
        elif what in ("join", "leave") and not self.later.fanout.calls._held:
            form = list(FORMS)[count % len(FORMS)]
            for place in self.both:
                if what == "join":
                    place.join(form)
                elif not self.later.fanout.queue.frames:
                    place.leave(form)
        elif what == "answer":
            self.later.answer(count)
        elif what == "die":
            self.later.die(count)
            self.is_harmed = True
        elif what == "late":
            self.later.fanout.queue.expire(self.later.fanout.now + WAIT_MAX_S)
            self.later.fanout.calls.resume(self.later.fanout.now)
            self.is_harmed = True

    def _next(self) -> int:
        self.said += 1
        return self.said

    def _frame(self, track: int) -> bytes:
        number = self._next()
        return spoken(number, stream=self.stream, track=track, payload=number.to_bytes(2, "big") * 80)

    def _move(self) -> None:
        """The stream goes to another process of ingest, whose frames overtake the last ones of the first."""
        if self.left:
            self.left = False
            self.epoch += 1
            raw = [call.start.raw for call in self.at_once.fanout.calls.live.values() if call.number == self.stream]
            for each in raw:
                self.hears(started(stream=self.stream, raw=each, flags=batches.IN_ORDER))

    def _leave(self) -> None:
        if not self.left:
            self.left = True
            self.hears(self._frame(0), epoch=self.epoch - 1)
            self.hears(entry(batches.LEFT, stream=self.stream), epoch=self.epoch - 1)

    def compare(self, *names: str) -> None:
        for place in self.both:
            place.read()
        for name in names or self.at_once.told:
            expected, told = self.at_once.told[name], self.later.told[name]
            if not self.is_harmed or name.startswith("json"):
                assert told == expected, name
                continue
            assert len(told) == len(expected), name
            if not name.startswith("mixed"):
                assert all(mine in (other, SILENCE) for mine, other in zip(told, expected, strict=True)), name


@given(st.lists(STEPS, max_size=40))
def test_the_order_is_as_if_decoding_took_no_time(steps: list[Step]) -> None:
    """Whatever comes behind a frame, and whatever becomes of the decoder. Another call waits for nothing."""
    script = Script()
    script.hears(started(raw=in_opus()))
    for step in steps:
        script.play(step)
        script.compare(f"binary {OTHER}")
    script.later.answer(10_000)
    script.compare()
    fanout = script.later.fanout
    assert fanout.calls._held == {}
    assert (fanout.queue.frames, fanout.queue.bytes) == (0, 0)
    assert {call.number: call.last_positions for call in fanout.calls.live.values()} == {
        call.number: call.last_positions for call in script.at_once.fanout.calls.live.values()
    }


def opus(place: Place, *chunks: int) -> None:
    place.fanout.hears(*[spoken(chunk, payload=bytes([chunk]) * 160) for chunk in chunks])


def frames(*chunks: int) -> list[bytes]:
    return [bytes([chunk]) * 160 for chunk in chunks]


@pytest.fixture
def place() -> Place:
    made = Place(decodes=False)
    made.fanout.hears(started(raw=in_opus()))
    return made


def test_nothing_is_decoded_for_those_who_take_it_as_it_is(place: Place) -> None:
    """Only from when somebody wants it; and then each frame once, whoever hears it in how many forms."""
    place.join("json")
    opus(place, 1, 2)
    assert place.fanout.queue.frames == 0
    for form in FORMS:
        place.join(form)
    opus(place, 3)
    place.answer(100)
    place.read()
    assert place.fanout.queue._serial == 3
    assert place.told["binary v3:call"][1:] == frames(1, 2, 3)
    audio = [b64decode(orjson.loads(text)["media"]["payload"]) for text in place.told["json v3:call"][1:]]
    assert audio == frames(1, 2, 3)
    place.fanout.now += 0.1
    late = place.fanout.joins(listener(9))
    assert heard(late)[1:] == frames(1, 2, 3)
    assert place.fanout.queue._serial == 3


@pytest.mark.parametrize("when", ["decoding", "decoded"])
def test_a_successor_goes_on_with_the_very_next_frame(place: Place, when: str) -> None:
    """What is still being decoded in a roll is the successor's: it has had the same batches."""
    successor = Place(decodes=False)
    successor.fanout.hears(started(raw=in_opus()))
    place.join("binary")
    for each in (place, successor):
        opus(each, 1, 2, 3, 4)
    place.answer(2 if when == "decoding" else 4)
    someone = place.listeners["binary v3:call"]
    place.read()
    someone.save_state()
    opus(place, 5)
    next_one = listener(1, None, call_control_id="v3:call")
    next_one.resume(browser_of(someone).handed.state)
    successor.fanout.joins(next_one)
    opus(successor, 5)
    assert heard(next_one) == []
    successor.answer(100)
    assert place.told["binary v3:call"][1:] + heard(next_one) == frames(1, 2, 3, 4, 5)


@pytest.mark.parametrize("message", [5, 1000])
def test_a_decoder_that_takes_long_to_start(place: Place, message: int) -> None:
    """However much comes meanwhile, one that was handed over gets all that it missed; a newcomer no more than the
    replay buffer."""
    opus(place, *range(1, 11))
    next_one = listener(1, None, call_control_id="v3:call")
    next_one._known, next_one._delivered = {7: 0}, {7: [2, -1]}
    place.fanout.joins(next_one)
    place.join("binary")
    for chunk in range(11, 111):
        place.fanout.now += 0.02
        opus(place, chunk)
        if not place.asked:
            place.asked = list(read_requests(place.fanout.queue.next_request()))
    while place.asked:
        for request in place.asked[:message]:
            place.fanout.queue.receive(pack_answer(place.fanout.decoder._decode(request)))
        del place.asked[:message]
        place.fanout.calls.resume(place.fanout.now)
        place.fanout.now += 0.7
        opus(place)  # a batch of other calls
        place.asked = place.asked or list(read_requests(place.fanout.queue.next_request()))
    assert heard(next_one) == frames(*range(3, 111))
    assert place.told["binary v3:call"] == []
    place.read()
    assert place.told["binary v3:call"][1:] == frames(*range(11, 111))


def test_a_newcomer_hears_what_comes_while_it_waits(place: Place) -> None:
    """For its replay buffer to be decoded."""
    opus(place, 1)
    place.join("binary")
    place.fanout.hears(entry(batches.ERROR, payload=ERROR))
    place.answer(1)
    place.read()
    assert place.told["binary v3:call"] == [in_opus(), *frames(1), ERROR]


def test_a_move_waits_for_what_its_old_process_has_sent(place: Place) -> None:
    """However long the patience with that has been over."""
    place.join("binary")
    place.fanout.hears(started(raw=in_opus(), flags=batches.IN_ORDER), epoch=2, slot="b")
    place.fanout.hears(spoken(3, payload=bytes([3]) * 160), epoch=2, slot="b")
    opus(place, 1)
    place.fanout.hears(entry(batches.ERROR, payload=ERROR))
    opus(place, 2)
    place.fanout.now += PATIENCE_S
    opus(place)
    place.answer(10)
    opus(place)
    place.answer(10)
    place.read()
    assert place.told["binary v3:call"][1:] == [*frames(1), ERROR, *frames(2, 3)]


def test_one_that_was_never_let_in_has_heard_nothing(place: Place) -> None:
    """Its successor's process gives it the replay buffer."""
    opus(place, 1, 2)
    place.join("binary")
    someone = place.listeners["binary v3:call"]
    someone.save_state()
    next_one = listener(1)
    next_one.resume(browser_of(someone).handed.state)
    assert next_one.delivered_before(7) == [-1, -1]


@pytest.mark.parametrize("late", [False, True])
def test_what_nothing_decodes_is_told(place: Place, late: bool) -> None:
    """Once the decoder has said so; to those who come later at once. As it is it can be heard all the time."""
    if late:
        opus(place, 1)
    for form in FORMS:
        place.join(form)
    if not late:
        opus(place, 1)
    request, *_ = read_requests(place.fanout.queue.next_request())
    place.fanout.queue.receive(pack_answer(Answer(request.serial, FAILED, b"ImportError: av")))
    place.fanout.calls.resume(place.fanout.now)
    opus(place, 2)
    place.read()
    for form in ("binary", "mixed"):
        told = place.told[f"{form} v3:call"]
        assert [orjson.loads(text)["event"] for text in told] == ["start", "error"]
    assert len(place.told["json v3:call"]) == 3
    again = heard(place.fanout.joins(listener(9)))
    assert orjson.loads(again[1])["payload"]["code"] == 200020
    assert place.fanout.calls.counters["frames_undecodable"] == 0


def test_a_call_that_is_forgotten_takes_along_what_waits(place: Place) -> None:
    """Its listeners are let go, also one that was not let in yet."""
    opus(place, 1)
    place.join("binary")
    place.fanout.hears(entry(batches.ERROR, payload=b"{}"))
    place.fanout.now += FORGET_AFTER_S + 1
    place.fanout.calls.remove_unconfirmed(place.fanout.now)
    calls = place.fanout.calls
    assert (calls.live, calls._held, calls._waiting, place.fanout.queue.frames) == ({}, {}, {}, 0)
    assert place.listeners["binary v3:call"].calls == set()
    place.answer(100)


def test_too_many_entries_behind_a_frame(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are not kept: the frame is silence then."""
    monkeypatch.setattr(in_order, "HELD_MAX", 3)
    place.join("binary")
    opus(place, 1)
    for _ in range(4):
        place.fanout.hears(entry(batches.ERROR, payload=ERROR))
    place.read()
    assert place.told["binary v3:call"][1:] == [SILENCE, *[ERROR] * 4]
    assert place.fanout.calls.counters["frames_undecodable"] == 1


def test_a_fault_of_ours_stays_with_its_frame(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is behind it goes on."""
    place.join("binary")
    opus(place, 1)
    place.fanout.hears(entry(batches.STOP, payload=stop()))

    def fail(*_: object) -> Literal[0]:
        raise RuntimeError

    monkeypatch.setattr(EncodedGroup, "deliver", fail)
    place.answer(1)
    place.read()
    assert place.told["binary v3:call"][-1] == stop()
    assert place.fanout.calls.counters["entries_failed"] == 1


def test_v1_hears_it_as_pcmu_with_the_time_that_ingest_had_it() -> None:
    """Not when it was decoded; and peaks are measured of the same."""
    room = Room()
    room.fanout.decodes = False
    room.fanout.decoder = Identity()
    room.connection.open([CALL], ["inbound"], room.fanout.now)
    loud = bytes(160)
    raw = in_opus(CALL)
    room.fanout.hears(started(CALL, raw=raw))
    [call] = room.fanout.calls.live.values()
    sequence = 1
    batch = batches.Batch(0, "a", 1, 100, 1_000_000)
    room.fanout.calls.receive(batches.pack_batch(0, batch, [spoken(sequence, CALL, payload=loud)]), room.fanout.now)
    room.fanout.hears(spoken(2, CALL, payload=loud))
    room.fanout.decode()
    encoder = call.encoder(("v1", "inbound"))
    assert encoder.ingest_time_us(encoder._stream, 0, sequence) == 1_000_000  # type: ignore[union-attr]
    assert len(browser_frames(room)) == 2


def test_v1_that_hears_nothing_needs_nothing() -> None:
    """A call that a page only knows of is not decoded, nor is it said that it can't be."""
    room = Room()
    room.fanout.decodes = False
    room.connection.open([CALL], [], room.fanout.now)
    room.fanout.hears(started(CALL, raw=in_opus(CALL)), spoken(1, CALL))
    assert room.fanout.queue.frames == 0
    assert room.fanout.calls.counters["forms_failed"] == 0


def browser_frames(room: Room) -> list[bytes]:
    """The binary messages that the connection was sent."""
    return [frame for frame in room.browser.send_queue.frames if frame[0] == 0x82]
