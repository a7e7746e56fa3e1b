"""Frames that wait for the decoder: turns, bounds, and what becomes of them when it ends."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from actors.fanout.calls.encoder import IngestClock
from actors.fanout.decoder import queue
from actors.fanout.decoder.messages import (
    DECODED,
    FAILED,
    REQUEST_BYTES_MAX,
    REQUEST_FRAMES_MAX,
    UNDECODABLE,
    Answer,
    BadMessage,
    pack_answer,
    read_requests,
)
from actors.fanout.decoder.queue import STREAM_BYTES_MAX, STREAM_FRAMES_MAX, WAIT_MAX_S, DecodingQueue
from actors.fanout.decoder.stream import STRIKES_MAX, Decoding
from patchbay.audio.media_format import MediaFormat
from patchbay.audio.transcode import PAYLOAD_MAX_BYTES
from patchbay.protocol.batches import AUDIO, Entry

if TYPE_CHECKING:
    from actors.fanout.decoder.messages import Outcome

SILENCE = b"\xff" * 160


class Scene:
    """A queue, and a decoder that makes the first byte of a payload a frame."""

    def __init__(self) -> None:
        self.queue = DecodingQueue()
        self.silenced: Counter[str] = Counter()
        self.now = 100.0

    def stream(self, name: str, strikes: int = 0) -> Decoding:
        return Decoding(
            self.queue,
            name.encode(),
            MediaFormat("L16", 16_000),
            IngestClock(),
            [-1, -1],
            strikes=strikes,
            log_fields={"name": name},
            on_undecodable=lambda: self.silenced.update([name]),
        )

    def send(self, stream: Decoding, payload: bytes, count: int = 1) -> None:
        for _ in range(count):
            stream.add(Entry(AUDIO, 0, 0, 1, 1, 1, len(payload), 0, 7, bytes(16), payload), self.now, self.now)

    def asked(self) -> list[tuple[int, bytes]]:
        """What is sent to the decoder now: serials and first bytes."""
        return [(each.serial, each.payload[:1]) for each in read_requests(self.queue.next_request())]

    def answer(self, asked: list[tuple[int, bytes]], outcome: Outcome = DECODED) -> None:
        for serial, first in asked:
            self.queue.receive(pack_answer(Answer(serial, outcome, first * 160)))

    def all_done(self) -> None:
        while asked := self.asked():
            self.answer(asked)
        assert (self.queue.frames, self.queue.bytes, self.queue.is_waiting) == (0, 0, False)


@pytest.fixture
def on() -> Scene:
    return Scene()


def heard(stream: Decoding) -> bytes:
    """The first byte of each frame that it hands out."""
    return bytes(frame.ulaw[0] for frame in stream.take_finished())


def test_streams_take_turns(on: Scene) -> None:
    """However much one has waiting; each in its own order; one message at a time."""
    first, second = on.stream("first"), on.stream("second")
    on.send(first, b"1", 200)
    on.send(second, b"2")
    asked = on.asked()
    assert len(asked) == REQUEST_FRAMES_MAX
    assert [first for _, first in asked[:3]] == [b"1", b"2", b"1"]
    assert on.asked() == []
    on.answer(asked[:1])
    assert heard(first) == b"1"
    assert heard(second) == b""
    on.answer(asked[1:])
    assert heard(second) == b"2"
    on.all_done()
    assert len(heard(first)) == 199


def test_a_request_is_no_more_than_one_payload_may_be(on: Scene) -> None:
    """Since the decoder's time has a limit."""
    stream = on.stream("long")
    on.send(stream, bytes(REQUEST_BYTES_MAX), 2)
    on.send(stream, bytes(PAYLOAD_MAX_BYTES + 1))
    assert on.silenced["long"] == 1
    assert [len(on.queue.next_request()) > 0, len(on.asked())] == [True, 0]


@pytest.mark.parametrize("outcome", [DECODED, UNDECODABLE])
def test_silence_is_counted(on: Scene, outcome: Outcome) -> None:
    stream = on.stream("a")
    on.send(stream, b"1")
    on.answer(on.asked(), outcome)
    assert heard(stream) == b"1"
    assert on.silenced["a"] == (outcome != DECODED)


def test_a_format_that_nothing_decodes(on: Scene) -> None:
    """Is told once for the stream; its frames go on as silence that nobody counts."""
    stream = on.stream("a")
    on.send(stream, b"1", 3)
    asked = on.asked()
    on.queue.receive(pack_answer(Answer(asked[0][0], FAILED, b"no library")))
    on.answer(asked[1:])
    on.send(stream, b"2")
    assert stream.failure == "no library"
    assert heard(stream) == b"\xff" * 4
    assert not on.silenced
    on.all_done()


def test_an_answer_to_nothing(on: Scene) -> None:
    with pytest.raises(BadMessage):
        on.answer([(7, b"x")])


@pytest.mark.parametrize(
    ("payload", "count"), [(b"1", STREAM_FRAMES_MAX), (bytes(PAYLOAD_MAX_BYTES), STREAM_BYTES_MAX // PAYLOAD_MAX_BYTES)]
)
def test_too_much_of_one_stream_is_silence(on: Scene, payload: bytes, count: int) -> None:
    """All that waits of it, so that it goes on; of no other. Late answers change nothing."""
    other, stream = on.stream("other"), on.stream("much")
    on.send(other, b"x")
    on.send(stream, payload, count)
    asked = on.asked()
    assert heard(stream) == b""
    on.send(stream, b"2")
    assert heard(stream) == b"\xff" * (count + 1)
    assert on.silenced == {"much": count + 1}
    on.answer(asked)
    assert heard(other) == b"x"
    on.all_done()


def test_too_much_of_all(on: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is whose frame is too much."""
    monkeypatch.setattr(queue, "FRAMES_MAX", 10)
    streams = [on.stream(str(number)) for number in range(12)]
    for stream in streams:
        on.send(stream, b"1")
    assert on.silenced == {"10": 1, "11": 1}
    assert on.queue.frames == 10


def test_what_waits_too_long_is_silence(on: Scene) -> None:
    """As long as the frame before."""
    stream = on.stream("a")
    on.send(stream, b"1")
    on.queue.receive(pack_answer(Answer(on.asked()[0][0], DECODED, bytes(240))))
    list(stream.take_finished())
    on.send(stream, b"1")
    asked = on.asked()
    on.now += WAIT_MAX_S - 1
    on.send(stream, b"2")
    on.now += 1
    on.queue.expire(on.now)
    assert [frame.ulaw for frame in stream.take_finished()] == [b"\xff" * 240]
    on.answer(asked)
    on.all_done()
    assert heard(stream) == b"2"


def test_a_decoder_that_ends(on: Scene) -> None:
    """The frame that it was at is silence; the others of its message are decoded by the next, in order."""
    guilty, other = on.stream("guilty"), on.stream("other")
    for payload in (b"1", b"2", b"3"):
        on.send(guilty, payload)
        on.send(other, payload)
    asked = on.asked()
    on.answer(asked[:1])
    assert on.queue.on_exit(asked[2][0]) is guilty
    assert heard(guilty) == b"1\xff"
    assert heard(other) == b""
    on.all_done()
    assert heard(guilty) == b"3"
    assert heard(other) == b"123"
    assert on.silenced == {"guilty": 1}


def test_a_decoder_that_ends_between_frames(on: Scene) -> None:
    """Nothing is lost, and nobody's fault."""
    stream = on.stream("a")
    on.send(stream, b"1", 5)
    on.asked()
    assert on.queue.on_exit(0) is None
    on.all_done()
    assert heard(stream) == b"1" * 5
    assert stream.strikes == 0


def test_a_call_that_ends_it_again_and_again(on: Scene) -> None:
    """Is silent from then on, and in its next stream."""
    stream = on.stream("guilty")
    for _ in range(STRIKES_MAX):
        on.send(stream, b"1", 2)
        on.queue.on_exit(on.asked()[0][0])
    on.send(stream, b"1")
    assert on.asked() == []
    assert set(heard(stream)) == {0xFF}
    again = on.stream("guilty", strikes=stream.strikes)
    on.send(again, b"1")
    assert heard(again) == b"\xff"
    on.all_done()


def test_without_a_decoder_for_a_while(on: Scene) -> None:
    """Nobody waits for it."""
    stream = on.stream("a")
    on.send(stream, b"1", 2)
    on.queue.turn_off()
    on.send(stream, b"1")
    assert heard(stream) == b"\xff" * 3
    on.queue.is_off = False
    on.send(stream, b"1")
    on.all_done()
    assert heard(stream) == b"1"


def test_a_stream_that_ends_leaves_nothing(on: Scene) -> None:
    """What the decoder has of it is answered in vain."""
    stream = on.stream("a")
    on.send(stream, b"1", 100)
    asked = on.asked()
    stream.close()
    assert not on.queue.changed
    assert not stream.is_busy
    on.answer(asked)
    on.all_done()
    on.send(other := on.stream("b"), b"2")
    on.queue.on_exit(on.asked()[0][0])
    other.close()
    on.all_done()
