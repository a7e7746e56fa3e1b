"""Which stream is its call's, who is told, and that nothing is left of one that has ended."""

from __future__ import annotations

import orjson
import trio

from actors.ingest.admission import Admission
from actors.ingest.notifier import ENDS_KEPT_S
from patchbay.protocol import batches
from tests.fakes.telnyx import FakeIngest, media, peer_of, start, stop


def live(ingest: FakeIngest) -> set[int]:
    """The streams that are live."""
    return {stream.number for stream in ingest.streams.registry.live}


async def test_a_call_from_start_to_stop() -> None:
    """Fan-outs and call events are told; nothing stays."""
    ingest = FakeIngest()
    ingest.fanout(0, "v3:call")
    ingest.entries()
    stream = ingest.stream(7, start(), media(1), media(2))
    entries = ingest.entries()
    assert [entry.kind for entry in entries] == [batches.START, batches.AUDIO, batches.AUDIO]
    assert {entry.stream for entry in entries} == {7}
    assert entries[0].payload == start()
    assert live(ingest) == {7}
    assert peer_of(stream).handed.claimed == batches.digest("v3:call")
    stream.on_text(stop())
    assert [(entry.kind, entry.payload) for entry in ingest.entries()] == [(batches.STOP, stop())]
    assert live(ingest) == set()
    assert peer_of(stream).handed.state == b""
    assert [kind for kind, _ in ingest.told()] == ["stream.started", "stream.stopped"]
    assert ingest.told()[1][1]["frames"] == 2
    ingest.streams.on_lost(stream)
    assert ingest.kinds() == []


async def test_lost_without_a_stop() -> None:
    """It is said that it has gone, once."""
    ingest = FakeIngest()
    ingest.fanout(0)
    stream = ingest.stream(7, start())
    ingest.entries()
    ingest.streams.on_lost(stream)
    ingest.streams.on_lost(stream)
    assert ingest.kinds() == [batches.GONE]
    assert [kind for kind, _ in ingest.told()] == ["stream.started", "stream.failed"]


async def test_a_fanout_that_was_away_is_told_what_has_ended() -> None:
    """Its predecessor may not have passed it on. Not for ever."""
    ingest = FakeIngest()
    now = 100.0
    ingest.clock = lambda: now
    ingest.stream(7, start("a")).on_text(stop())
    ingest.streams.on_lost(ingest.stream(8, start("b")))
    ingest.stream(9, start("c"))
    ingest.fanout(3)
    told = ingest.entries(3)
    assert [(entry.kind, entry.stream) for entry in told[:3]] == [
        (batches.STOP, 7),
        (batches.GONE, 8),
        (batches.START, 9),
    ]
    assert told[0].payload == stop()
    now += ENDS_KEPT_S
    ingest.fanout(4)
    assert ingest.kinds(4) == [batches.START, batches.LIVE]


async def test_every_fanout_hears_the_news_and_only_the_interested_the_audio() -> None:
    """A call that nobody wants costs nothing; who wants all calls gets all."""
    ingest = FakeIngest()
    ingest.fanout(0, "v3:call")
    ingest.fanout(1, "another")
    ingest.fanout(2, everything=True)
    ingest.stream(7, start(), media(1))
    assert batches.AUDIO in ingest.kinds(0)
    assert batches.AUDIO not in (kinds := ingest.kinds(1))
    assert batches.START in kinds
    assert batches.AUDIO in ingest.kinds(2)


async def test_a_fanout_that_comes_is_told_all_calls() -> None:
    """And again when a second generation of it comes."""
    ingest = FakeIngest()
    ingest.stream(7, start("a"))
    ingest.stream(8, start("b"))
    for _ in range(2):
        ingest.fanout(3)
        assert ingest.kinds(3) == [batches.START, batches.START, batches.LIVE]
    ingest.streams.batcher.on_subscription(b"\x00" + batches.batch_topic(3))
    ingest.stream(9, start("c"))
    assert ingest.kinds(3) == []


async def test_the_newer_stream_of_a_call_wins() -> None:
    """The older is closed once, however often it is told; it is forgotten, its talk too."""
    ingest = FakeIngest()
    ingest.fanout(0, "v3:call")
    old = ingest.stream(7, start(stream_id="old"))
    ingest.streams.receive_talk([batches.pack_talk(batches.TALK, 0, 99, batches.digest("v3:call"), b"\x00" * 800)])
    new = ingest.stream(8, start(stream_id="new"))
    ingest.streams.on_superseded(old)
    old.on_text(media(1))
    assert live(ingest) == {8}
    assert ingest.streams.counters["streams_superseded"] == 1
    assert list(ingest.streams.talk_router.conversations) == []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ingest.streams.closer.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [code for code, _ in peer_of(old).closed_with] == [1000]
    assert peer_of(new).closed_with == []
    ingest.streams.on_lost(old)
    new.on_text(media(1))
    audio = [entry.stream for entry in ingest.entries() if entry.kind == batches.AUDIO]
    assert audio == [8]
    assert live(ingest) == {8}


async def test_an_older_connection_that_starts_later_loses() -> None:
    """The newer connection is the call's, whichever says so first; else both would be closed."""
    ingest = FakeIngest()
    ingest.fanout(0)
    new = ingest.stream(8, start())
    old = ingest.stream(7, start())
    ingest.streams.on_superseded(old)
    assert live(ingest) == {8}
    assert new.start is not None
    assert not new.is_closing
    assert old.is_closing


async def test_streams_that_resume_in_any_order() -> None:
    """After a crash: the newer one is the call's, and stays it when the older is told that it is superseded."""
    ingest = FakeIngest()
    ingest.fanout(0)
    first = FakeIngest()
    state = first.stream(1, start()).state()
    for order in ((7, 8), (8, 7)):
        streams = []
        for number in order:
            stream = ingest.stream(number)
            stream.resume(state)
            ingest.streams.on_resume(stream)
            streams.append(stream)
        ingest.streams.on_superseded(min(streams, key=lambda each: each.number))
        assert live(ingest) == {8}
        ingest.streams.on_lost(max(streams, key=lambda each: each.number))
    assert ingest.kinds().count(batches.GONE) == 2


async def test_a_connection_that_begins_another_call() -> None:
    """The first call is over; nothing of it stays."""
    ingest = FakeIngest()
    ingest.fanout(0)
    stream = ingest.stream(7, start("a"))
    ingest.entries()
    stream.on_text(start("b"))
    entries = ingest.entries()
    assert [(entry.kind, entry.call) for entry in entries] == [
        (batches.GONE, batches.digest("a")),
        (batches.START, batches.digest("b")),
    ]
    stream.on_text(stop("b"))
    assert live(ingest) == set()


async def test_a_parked_stream_is_not_over() -> None:
    """Its successor says that it has it; here nothing is said."""
    ingest = FakeIngest()
    ingest.fanout(0)
    stream = ingest.stream(7, start())
    ingest.entries()
    ingest.streams.on_parked(stream)
    assert ingest.kinds() == []
    assert live(ingest) == set()


async def test_a_resumed_stream_goes_on() -> None:
    """From its state: the same start frame, under the same number, no second event."""
    first, second = FakeIngest(), FakeIngest()
    state = peer_of(first.stream(7, start())).handed.state
    second.fanout(0, "v3:call")
    second.entries()
    stream = second.stream(7)
    stream.resume(state)
    second.streams.on_resume(stream)
    stream.on_text(media(500))
    entries = [entry for entry in second.entries() if entry.kind != batches.LIVE]
    assert [(entry.kind, entry.chunk) for entry in entries] == [(batches.START, 0), (batches.AUDIO, 500)]
    assert second.told() == []


async def test_what_a_predecessor_has_dealt_with_is_marked() -> None:
    """For fan-outs that were not there then."""
    ingest = FakeIngest()
    ingest.fanout(0, "v3:call")
    stream = ingest.stream(7, start())
    ingest.entries()
    for again, chunks in ((True, (500, 501)), (False, (502, 503))):
        stream.audio.mark_repeated(again)
        for chunk in chunks:
            stream.on_text(media(chunk))
    assert [(entry.chunk, entry.flags) for entry in ingest.entries()] == [
        (500, batches.REPEATED | 1),
        (501, batches.REPEATED | 1),
        (502, 1),
        (503, 1),
    ]
    assert stream.audio.frames == [4, 0]


async def test_too_much_rubbish_closes_once() -> None:
    """A peer that never made sense gets less patience."""
    ingest = FakeIngest(PATCHBAY_INGEST__RUBBISH_LIMIT="5")
    stream = ingest.stream(7, *[b"rubbish"] * 20)
    assert stream.is_closing
    assert ingest.streams.counters["closed_for_rubbish"] == 1
    patient = ingest.stream(8, start(), *[b"rubbish"] * 20)
    assert not patient.is_closing
    patient.on_text(media(1))
    for _ in range(60):
        patient.on_text(b"rubbish")
    assert patient.is_closing


async def test_ticks_let_go_of_held_frames(autojump_clock: trio.testing.MockClock) -> None:
    """A missing frame holds others up for the window and no longer; afterwards there are no ticks."""
    ingest = FakeIngest()
    ingest.clock = trio.current_time
    ingest.fanout(0, "v3:call")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ingest.streams.ticker.run)
        ingest.stream(7, start(), media(1), media(3))
        await trio.sleep(0.05)
        assert [entry.chunk for entry in ingest.entries() if entry.kind == batches.AUDIO] == [1]
        await trio.sleep(0.05)
        assert [entry.chunk for entry in ingest.entries() if entry.kind == batches.AUDIO] == [3]
        assert not ingest.streams._held
        nursery.cancel_scope.cancel()


async def test_statistics_are_published_soon_and_together(autojump_clock: trio.testing.MockClock) -> None:
    """A hundred calls that start at once make one report, not a hundred."""
    ingest = FakeIngest()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ingest.streams.ticker.run)
        for number in range(100):
            ingest.stream(number, start(f"call {number}"))
        await trio.sleep(0.02)
        reports = [frame for frame in ingest.publisher.sent if frame.startswith(b"s")]
        assert len(reports) == 1
        report = orjson.loads(reports[0][1:])
        assert len(report["calls"]) == 100
        assert report["calls"][0]["codec"] == "PCMU"
        nursery.cancel_scope.cancel()


async def test_live_streams_are_told_now_and_then(autojump_clock: trio.testing.MockClock) -> None:
    """So that nobody keeps a stale one."""
    ingest = FakeIngest()
    ingest.clock = trio.current_time
    ingest.fanout(0)
    ingest.stream(7, start())
    ingest.entries()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ingest.streams.run_seconds)
        await trio.sleep(4.1)
        nursery.cancel_scope.cancel()
    assert 2 <= ingest.kinds().count(batches.LIVE) <= 3


async def test_talk_for_no_call_is_answered(autojump_clock: trio.testing.MockClock) -> None:
    """Not at once, since the call may be on its way here; and not never."""
    ingest = FakeIngest()
    ingest.clock = trio.current_time
    ingest.fanout(0)
    ingest.entries()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ingest.streams.ticker.run)
        ingest.streams.receive_talk([batches.pack_talk(batches.TALK, 0, 99, batches.digest("nobody"), b"x")])
        ingest.streams.receive_talk([b"rubbish"])
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    [refusal] = [entry for entry in ingest.entries() if entry.kind == batches.REFUSED]
    assert orjson.loads(refusal.payload)["title"] == "call_gone"
    assert ingest.streams.counters["talk_without_call"] == 1


async def test_early_talk_waits_for_its_stream() -> None:
    """A stream moves here, and its talk was faster."""
    ingest = FakeIngest()
    state = FakeIngest().stream(7, start()).state()
    ingest.streams.receive_talk([batches.pack_talk(batches.TALK, 0, 99, batches.digest("v3:call"), b"\x01" * 160)])
    stream = ingest.stream(7)
    stream.resume(state)
    ingest.streams.on_resume(stream)
    assert len(peer_of(stream).written) == 1


async def test_what_is_noted_of_a_stream_that_may_not_begin_yet() -> None:
    """Its start frame, for a successor to ask again. A call that the connection carries meanwhile comes first."""
    ingest = FakeIngest()
    live, waiting = ingest.stream(1, start("v3:live")), ingest.stream(2)
    before = peer_of(live).handed.state
    ingest.streams.admission = Admission(is_needed=True)
    live.on_text(start("v3:next"))
    assert peer_of(live).handed.state == before
    waiting.on_text(start("v3:next"))
    assert waiting.start is None
    successor = FakeIngest()
    resumed = successor.stream(2)
    assert not resumed.resume(peer_of(waiting).handed.state)  # it begins there, and was not going on
    assert resumed.start is not None
    assert resumed.start.call_control_id == "v3:next"
