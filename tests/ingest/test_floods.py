"""A stream may say what it likes as often as it likes: it costs in proportion, and what it leads to is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from trio.testing import wait_all_tasks_blocked

from actors.ingest.stats import REPORT_MAX_BYTES, report
from actors.ingest.stream.limits import LOG_LINES_BURST
from actors.ingest.stream.stream import STARTS_BURST
from patchbay.audio.marks import MARKS_MAX, Mark, Marks
from patchbay.bus.batcher import BATCH_MAX_BYTES
from patchbay.bus.sockets import MAX_MESSAGE_BYTES
from patchbay.process.identity import Identity
from patchbay.protocol import batches
from patchbay.protocol.telnyx import EVENT_MAX_BYTES, MESSAGE_MAX_BYTES
from tests.fakes.telnyx import FakeIngest, media, peer_of, start, stop
from tests.fakes.work import assert_linear

if TYPE_CHECKING:
    from collections.abc import Callable

    import trio
    from trio.testing import MockClock

KINDS = {
    "stream.mark": orjson.dumps({"event": "mark", "mark": {"name": "m"}}),
    "stream.dtmf": orjson.dumps({"event": "dtmf", "dtmf": {"digit": "1"}}),
    "stream.error": orjson.dumps({"event": "error", "payload": {"code": 100003, "title": "t", "detail": "d"}}),
}


async def closing(ingest: FakeIngest, nursery: trio.Nursery) -> None:
    """Let those end that are given up."""
    nursery.start_soon(ingest.streams.closer.run)
    await wait_all_tasks_blocked()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", KINDS)
async def test_events_of_a_stream_are_so_many_and_the_rest_is_one_event(
    kind: str, caplog: pytest.LogCaptureFixture, mock_clock: MockClock
) -> None:
    """What was not recorded is counted, by type, and told with the next second, or with the end."""
    ingest = FakeIngest(PATCHBAY_INGEST__EVENTS_PER_S="5", PATCHBAY_INGEST__EVENTS_BURST="10")
    ingest.fanout(0)
    stream = ingest.stream(7, start())
    ingest.entries()
    for _ in range(19_000):
        stream.on_text(KINDS[kind])
    assert [told for told, _ in ingest.told()].count(kind) == 10
    assert len(ingest.entries()) <= 10
    ingest.streams.on_second()
    ingest.streams.on_second()
    [lost] = [payload for told, payload in ingest.told() if told == "events.lost"]
    assert lost["lost"] == {kind: 18_990}
    assert lost["call_control_id"] == "v3:call"
    assert ingest.streams.counters["events_unrecorded"] == 18_990
    assert len(caplog.records) < 20
    ingest.now += 1
    for _ in range(100):
        stream.on_text(KINDS[kind])
    assert [told for told, _ in ingest.told()].count(kind) == 15
    stream.on_text(stop())
    assert [payload["lost"] for told, payload in ingest.told() if told == "events.lost"][1:] == [{kind: 95}]


@pytest.mark.parametrize("kind", KINDS)
async def test_events_cost_in_proportion(kind: str, mock_clock: MockClock) -> None:
    ingest = FakeIngest(PATCHBAY_INGEST__EVENTS_BURST="100000")
    streams = iter([ingest.stream(7, start("v3:a")), ingest.stream(8, start("v3:b"))])

    def flood(count: int) -> Callable[[], object]:
        stream = next(streams)
        return lambda: [stream.on_text(KINDS[kind]) for _ in range(count)]

    assert_linear(flood, 2000)


def test_marks_that_come_back_cost_the_same_however_many_wait() -> None:
    """In whatever order, and of those of one name the oldest first."""

    def backwards(count: int) -> Callable[[], object]:
        marks = Marks()
        for number in range(count):
            assert marks.expect(Mark(str(number), number, 0))
        return lambda: [marks.take(str(number)) for number in reversed(range(count))]

    assert_linear(backwards, MARKS_MAX // 2)
    marks = Marks()
    given = [Mark("same" if number % 2 else str(number), number, 0) for number in range(6)]
    for mark in given:
        marks.expect(mark)
    assert marks.sent(given[4:]) == given[:4]
    assert [marks.take("same") for _ in range(4)] == [given[1], given[3], given[5], None]
    assert marks.take("nobody's") is None
    assert [mark.talker for mark in marks.sent([])] == [0, 2, 4]


@pytest.mark.parametrize("starts", [[start()], [start(encoding="PCMU"), start(encoding="PCMA")], [start(), stop()]])
async def test_start_frames_of_a_stream_are_so_many(starts: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    """Repeated, changing, or with stops between: enough is enough, and the stream is told."""
    ingest = FakeIngest()
    ingest.fanout(0)
    stream = ingest.stream(7)
    for number in range(1000):
        stream.on_text(starts[number % len(starts)])
    assert stream.is_closing
    assert len(ingest.entries()) < 3 * STARTS_BURST
    assert len(ingest.dealer.sent) < 3 * STARTS_BURST
    assert len(caplog.records) < 5 * STARTS_BURST


async def test_half_of_what_comes_is_unreadable(caplog: pytest.LogCaptureFixture) -> None:
    """Counted, and a few lines in the log."""
    ingest = FakeIngest()
    stream = ingest.stream(7, start())
    for chunk in range(500):
        stream.on_text(b"{")
        stream.on_text(media(chunk))
    assert stream.malformed.total == 500
    assert [record for record in caplog.records if "unreadable" in record.message][LOG_LINES_BURST:] == []


@pytest.mark.parametrize("size", [EVENT_MAX_BYTES + 1, 100_000, MESSAGE_MAX_BYTES + 1, 1_000_000])
async def test_a_long_start_frame_is_refused_with_a_word(size: int, nursery: trio.Nursery) -> None:
    """Nobody is told of it, and nothing of it is kept."""
    ingest = FakeIngest()
    ingest.fanout(0)
    stream = ingest.stream(7, start(custom="x" * size))
    assert stream.start is None
    assert stream.malformed.total == 1
    assert ingest.kinds() == [batches.LIVE]
    await closing(ingest, nursery)
    [(code, reason)] = peer_of(stream).closed_with
    assert code == 1008
    assert "bytes" in reason


async def test_a_long_frame_on_a_live_stream_costs_itself() -> None:
    ingest = FakeIngest()
    ingest.fanout(0, "v3:call")
    stream = ingest.stream(7, start())
    for frame in (start(custom="x" * EVENT_MAX_BYTES), stop("x" * EVENT_MAX_BYTES), media(0, bytes(MESSAGE_MAX_BYTES))):
        stream.on_text(frame)
    stream.on_text(media(1))
    assert stream.malformed.total == 3
    assert not stream.is_closing
    assert batches.AUDIO in ingest.kinds()


async def test_the_longest_start_frame_outlives_a_crash() -> None:
    ingest = FakeIngest()
    frame = start(custom="")
    stream = ingest.stream(7, start(custom="x" * (EVENT_MAX_BYTES - len(frame))))
    assert stream.start is not None
    assert len(stream.start.raw) == EVENT_MAX_BYTES
    assert stream.start.raw in peer_of(stream).handed.state


async def test_all_calls_are_told_in_messages_that_the_bus_takes() -> None:
    """Whatever their start frames are; and in each, a fan-out finds whole entries, none lost, and in order."""
    ingest = FakeIngest()
    ingest.fanout(1)
    for number in range(200):
        ingest.stream(number + 1, start(f"v3:{number}", custom="x" * 15_000))
    ingest.streams.batcher.flush()
    ingest.publisher.sent.clear()
    ingest.fanout(0)
    ingest.streams.batcher.flush()
    messages = [message for message in ingest.publisher.sent if message.startswith(batches.batch_topic(0))]
    assert len(messages) > 1
    assert max(map(len, messages)) <= BATCH_MAX_BYTES + 100 < MAX_MESSAGE_BYTES
    sequences = [batches.unpack_batch(message)[0].sequence for message in messages]
    assert sequences == list(range(sequences[0], sequences[0] + len(messages)))
    entries = ingest.entries()
    assert [entry.stream for entry in entries if entry.kind == batches.START] == list(range(1, 201))
    assert [entry.kind for entry in entries][-1] == batches.LIVE


async def test_reports_are_bounded() -> None:
    """Ids are as long as peers write them."""
    ingest = FakeIngest()
    stream = ingest.stream(7, start("\x01" * 500, **{"from": "\x01" * 500, "to": "\x01" * 500}))
    told = report(Identity("ingest", 0, 0, epoch=1), [(stream, None)] * 2000, {"a": 1})
    assert len(told) <= REPORT_MAX_BYTES + 1
    assert orjson.loads(told[1:])["counters"] == {"a": 1}


async def test_a_stream_that_carries_no_call_is_closed(nursery: trio.Nursery) -> None:
    """From its beginning, and after a call's end; one that has a call is not."""
    ingest = FakeIngest(PATCHBAY_INGEST__START_TIMEOUT_S="10")
    silent, over, live = ingest.stream(1, media(1)), ingest.stream(2, start("v3:b")), ingest.stream(3, start("v3:c"))
    ingest.now += 9.9
    over.on_text(stop("v3:b"))
    for stream in (silent, over, live):
        ingest.streams.close_if_idle(stream)
    assert not any(stream.is_closing for stream in (silent, over, live))
    ingest.now += 0.2
    for stream in (silent, over, live):
        ingest.streams.close_if_idle(stream)
    assert silent.is_closing
    assert not any(stream.is_closing for stream in (over, live))
    ingest.now += 10
    for stream in (silent, over, live):
        ingest.streams.close_if_idle(stream)
    assert over.is_closing
    assert not live.is_closing
    assert ingest.streams.counters["closed_without_start"] == 2
    await closing(ingest, nursery)
    assert peer_of(silent).closed_with == [(1008, "no start frame within 10 s")]


async def test_what_there_is_is_not_said_with_each_change() -> None:
    """All streams are in it each time, so the more there are the seldomer; but what has changed is said soon."""
    ingest = FakeIngest()

    def said() -> list[bytes]:
        return [message for message in ingest.publisher.sent if message.startswith(batches.STATS_TOPIC)]

    for number in range(300):
        ingest.stream(number + 1, start(f"v3:{number}"))
        ingest.now += 0.001
        ingest.streams.ticker.tick()
        if number == 9:
            assert len(said()) == 10
    assert len(said()) <= 100
    ingest.now += 0.1
    assert ingest.streams.ticker.tick() is None
    assert len(orjson.loads(said()[-1][1:])["calls"]) == 300
