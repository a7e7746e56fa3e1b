"""One stream's protocol: in order, each frame once, idle or not, whatever Telnyx leaves out."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import orjson
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from patchbay.protocol import batches
from tests.fakes.telnyx import FakeIngest, media, peer_of, start
from tests.fakes.websockets import masked

if TYPE_CHECKING:
    from actors.ingest.stream.stream import Stream


def audio(ingest: FakeIngest) -> list[tuple[int, int]]:
    """What a fan-out got: (track, chunk)."""
    return [(entry.track, entry.chunk) for entry in ingest.entries() if entry.kind == batches.AUDIO]


@pytest.fixture
async def ingest() -> FakeIngest:
    made = FakeIngest()
    made.fanout(0, "v3:call")
    return made


async def test_put_in_order_and_doubles_dropped(ingest: FakeIngest) -> None:
    """Each track by itself."""
    stream = ingest.stream(7, start())
    for chunk in (1, 3, 2, 2, 4):
        stream.on_text(media(chunk))
        stream.on_text(media(chunk, track="outbound"))
    got = audio(ingest)
    assert [chunk for track, chunk in got if track == 0] == [1, 2, 3, 4]
    assert [chunk for track, chunk in got if track == 1] == [1, 2, 3, 4]
    assert stream.audio.frames == [5, 5]
    assert stream.counters()["duplicates"] == 2
    assert stream.counters()["reordered"] == 2


async def test_what_goes_on_the_bus(ingest: FakeIngest) -> None:
    """The payload as it is, with what Telnyx said of it."""
    ingest.stream(7, start(), media(500, b"\x01\x02\x03", "outbound"))
    [entry] = [entry for entry in ingest.entries() if entry.kind == batches.AUDIO]
    assert entry == batches.Entry(
        batches.AUDIO, 1, 1, 500, 500, 500, 3, 10_000, 7, batches.digest("v3:call"), b"\x01\x02\x03"
    )


async def test_frames_without_numbers_are_in_order_as_they_come(ingest: FakeIngest) -> None:
    """Telnyx may leave them out."""
    stream = ingest.stream(7, start())
    for index in range(5):
        payload = base64.b64encode(bytes([index])).decode()
        stream.on_text(orjson.dumps({"event": "media", "media": {"payload": payload}}))
    got = [entry for entry in ingest.entries() if entry.kind == batches.AUDIO]
    assert [entry.payload for entry in got] == [bytes([index]) for index in range(5)]
    assert {entry.chunk for entry in got} == {batches.NO_NUMBER}


async def test_a_call_that_nobody_hears_is_idle_and_its_last_moments_are_kept(ingest: FakeIngest) -> None:
    """Whoever joins hears them first, and then what comes, each once."""
    ingest.uninterested(0, "v3:call")
    stream = ingest.stream(7, start())
    peer = peer_of(stream)
    assert peer.on_bulk is not None
    ingest.now += 1
    for reading in range(10):
        data = b"".join(masked(media(reading * 5 + index + 1)) for index in range(5))
        assert peer.on_bulk(memoryview(data), 0, len(data)) == len(data)
    assert stream.audio.frames == [50, 0]
    assert audio(ingest) == []
    ingest.fanout(0, "v3:call")
    assert peer.on_bulk is None
    stream.on_text(media(51))
    kept = [chunk for _, chunk in audio(ingest)]
    assert kept == list(range(51 - ingest.streams.replay_frames, 52))
    assert stream.audio.frames == [51, 0]
    assert stream.counters()["gaps"] == 0


def spaced(chunk: int, track: str = "inbound") -> bytes:
    """The same as another writer of JSON would have it."""
    frame = orjson.loads(media(chunk, track=track))
    return json.dumps(dict(reversed(frame.items())), indent=1).encode()


@pytest.mark.parametrize("form", ["plain", "spaced", "mixed", "short", "two tracks"])
async def test_the_last_moments_do_not_depend_on_how_a_frame_is_written(ingest: FakeIngest, form: str) -> None:
    """A fast way must not decide what is kept."""
    ingest.uninterested(0, "v3:call")
    stream = ingest.stream(7, start())
    peer = peer_of(stream)
    ingest.now += 1

    def say(message: bytes) -> None:
        data = masked(message)
        assert peer.on_bulk is not None
        if peer.on_bulk(memoryview(data), 0, len(data)) == 0:
            peer.on_text(message)

    for chunk in range(1, 51):
        if form == "short":
            say(b'{"event":"media","media":{"chunk":"%d","payload":"/w=="}}' % chunk)
        elif form == "plain" or (form == "mixed" and chunk % 3):
            say(media(chunk))
        else:
            say(spaced(chunk))
        if form == "two tracks":
            say(spaced(chunk, "outbound"))
    peer.on_text(b'{"event": "dtmf", "dtmf": {"digit": "5"}}')
    assert stream.audio.frames == [50, 50 if form == "two tracks" else 0]
    ingest.fanout(0, "v3:call")
    got = audio(ingest)
    for track in range(1 + (form == "two tracks")):
        assert [chunk for each, chunk in got if each == track] == list(range(51 - ingest.streams.replay_frames, 51))
    assert peer.on_text == stream.on_text
    assert "stream.dtmf" in [kind for kind, _ in ingest.told()]


@pytest.mark.parametrize(("after_s", "expected"), [(0.1, range(1, 13)), (1.0, range(7, 13))])
async def test_what_is_read_again_while_nobody_is_known_to_listen(
    ingest: FakeIngest, after_s: float, expected: range
) -> None:
    """A predecessor's listeners are about to be known: one that was there then knows what it has had."""
    ingest.uninterested(0, "v3:call")
    stream = ingest.stream(7, start())
    peer = peer_of(stream)
    assert peer.on_bulk is not None
    for again, chunks in ((True, range(1, 7)), (False, range(7, 13))):
        if again:
            stream.audio.mark_repeated(True)
        data = b"".join(masked(media(chunk)) for chunk in chunks)
        assert peer.on_bulk(memoryview(data), 0, len(data)) == len(data)
        if again:
            stream.audio.mark_repeated(False)
    ingest.now += after_s
    ingest.fanout(0, "v3:call")
    got = [
        (entry.chunk, entry.flags & batches.REPEATED != 0) for entry in ingest.entries() if entry.kind == batches.AUDIO
    ]
    assert got == [(chunk, chunk < 7) for chunk in expected]
    assert stream.audio.frames == [12, 0]


async def test_an_idle_stream_hears_what_is_no_media(ingest: FakeIngest) -> None:
    """The reader leaves it, and all behind it, to the stream."""
    ingest.uninterested(0, "v3:call")
    stream = ingest.stream(7, start())
    on_bulk = peer_of(stream).on_bulk
    assert on_bulk is not None
    first = masked(media(1))
    data = first + masked(b'{"event":"stop","stop":{}}') + masked(media(2))
    assert on_bulk(memoryview(data), 0, len(data)) == len(first)


async def test_rubbish_kept_while_idle_harms_nobody(ingest: FakeIngest) -> None:
    """It looks like media and is not even UTF-8: whoever joins must not find this process dead."""
    ingest.uninterested(0, "v3:call")
    stream = ingest.stream(7, start())
    on_bulk = peer_of(stream).on_bulk
    assert on_bulk is not None
    data = masked(b'{"event":"media",' + b"\xff" * 200) + masked(media(100))
    assert on_bulk(memoryview(data), 0, len(data)) == len(data)
    ingest.fanout(0, "v3:call")
    assert audio(ingest) == [(0, 100)]


async def test_text_that_is_not_utf8_is_the_websockets_business(ingest: FakeIngest) -> None:
    """The peer is closed with 1007 for it."""
    stream = ingest.stream(7, start())
    with pytest.raises(UnicodeDecodeError):
        stream.on_text(b"\xff\xfe")


NUMBERLESS = b'{"event":"media","media":{"chunk":%b,"payload":"AAAA"}}'


@pytest.mark.parametrize("chunk", [b'""', b'"x"', b"-1", b"1.5", b"NaN", b"{}"])
async def test_audio_whose_numbers_can_not_be_read_is_heard(ingest: FakeIngest, chunk: bytes) -> None:
    """In the order in which it comes, as where there are none."""
    stream = ingest.stream(7, start())
    ingest.entries()
    for _ in range(5):
        stream.on_text(NUMBERLESS % chunk)
    assert [entry.payload for entry in ingest.entries()] == [bytes(3)] * 5
    assert stream.counters()["mended"] == 5
    assert stream.malformed.total == 0


async def test_audio_whose_place_among_numbers_is_lost_is_no_audio(ingest: FakeIngest) -> None:
    """It would take the place of what is to come. A stream that has no numbers any more is heard again."""
    stream = ingest.stream(7, start(), media(1), NUMBERLESS % b'"x"', media(2))
    assert [chunk for _, chunk in audio(ingest)] == [1, 2]
    assert (stream.malformed.total, stream.mended) == (1, 0)
    for _ in range(200):
        stream.on_text(NUMBERLESS % b'"x"')
    assert len(audio(ingest)) >= 50


async def test_a_start_that_had_to_be_mended(ingest: FakeIngest, caplog: pytest.LogCaptureFixture) -> None:
    """The call is heard; listeners and journal get what they can read; it is counted, and logged once."""
    latin = start().replace(b'"+1"', b'"M\xfcller \\ud83d"')
    stream = ingest.stream(7, latin, media(1), latin.replace(b'"+2"', b'"+3"'))
    entries = [entry for entry in ingest.entries() if entry.kind in (batches.START, batches.AUDIO)]
    assert [entry.kind for entry in entries] == [batches.START, batches.AUDIO, batches.START]
    assert orjson.loads(entries[0].payload)["start"]["from"] == "M\ufffdller \ufffd"
    assert ingest.told()[0][1]["from"] == "M\ufffdller \ufffd"
    assert stream.counters()["mended"] == 2
    assert caplog.text.count("read in part") == 1


async def test_errors_and_keys_are_told(ingest: FakeIngest) -> None:
    """To listeners verbatim, to call events in fields."""
    stream = ingest.stream(7, start())
    ingest.entries()
    error = b'{"event":"error","payload":{"code":100003,"title":"malformed_frame","detail":"no"}}'
    stream.on_text(error)
    stream.on_text(b'{"event":"dtmf","dtmf":{"digit":"5"},"occurred_at":"2026-01-01T00:00:00Z"}')
    stream.on_text(b'{"event":"connected","version":"1.0.0"}')
    stream.on_text(b'{"event":"tomorrow"}')
    stream.on_binary(b"never sent")
    assert [(entry.kind, entry.payload) for entry in ingest.entries()] == [(batches.ERROR, error)]
    kinds = [kind for kind, _ in ingest.told()]
    assert kinds == ["stream.started", "stream.error", "stream.dtmf"]
    assert ingest.told()[2][1]["digit"] == "5"
    assert stream.malformed.total == 1


async def test_audio_before_the_start_goes_nowhere(ingest: FakeIngest) -> None:
    """Whose would it be?"""
    ingest.stream(7, media(1))
    assert audio(ingest) == []


async def test_counters_outlive_the_windows(ingest: FakeIngest) -> None:
    """A second start frame begins the numbering anew, not the counting."""
    stream: Stream = ingest.stream(7, start(), media(1), media(1), media(2))
    stream.on_text(start(more="different"))
    for chunk in (1, 2, 2):
        stream.on_text(media(chunk))
    assert stream.counters()["duplicates"] == 2
    assert [chunk for _, chunk in audio(ingest)] == [1, 2, 1, 2]


def positions(ingest: FakeIngest, track: int = 0) -> list[tuple[int, int]]:
    """What a fan-out got of one track: (position, chunk)."""
    got = [entry for entry in ingest.entries() if entry.kind == batches.AUDIO and entry.track == track]
    return [(entry.position, entry.chunk) for entry in got]


@pytest.mark.parametrize("said", ["nothing", "start", "another start"])
@pytest.mark.parametrize("before", [50, 400, 900, 5000])
async def test_numbers_that_begin_anew_go_on(ingest: FakeIngest, said: str, before: int) -> None:
    """Not a frame is lost, and what a fan-out gets goes on rising; also for who comes after us."""
    stream = ingest.stream(7, start(), *[media(chunk) for chunk in range(before - 20, before + 1)])
    state = peer_of(stream).handed.state
    if said != "nothing":
        stream.on_text(start() if said == "start" else start(encoding="PCMA"))
    for chunk in range(1, 31):
        stream.on_text(media(chunk))
    got = positions(ingest)
    assert [chunk for _, chunk in got] == [*range(before - 20, before + 1), *range(1, 31)]
    assert [position for position, _ in got] == list(range(before - 20, before + 31))
    assert peer_of(stream).take_soon
    assert peer_of(stream).handed.state != state
    successor = ingest.stream(7)
    assert successor.resume(peer_of(stream).handed.state)
    ingest.streams.on_resume(successor)
    for chunk in range(29, 33):
        successor.on_text(media(chunk))
    assert positions(ingest) == [(before + chunk, chunk) for chunk in range(29, 33)]


async def test_a_jump_ahead_is_no_gap(ingest: FakeIngest) -> None:
    """Of an hour, say: nobody is to conceal that. In a short one frames may be missing."""
    ingest.stream(7, start(), *[media(chunk) for chunk in (1, 2, 180_000, 180_001)])
    assert positions(ingest) == [(1, 1), (2, 2), (3, 180_000), (4, 180_001)]


async def test_what_comes_late_over_a_roll_is_late(ingest: FakeIngest) -> None:
    """The successor goes on with the numbers, and with their step."""
    stream = ingest.stream(7, start(), *[media(chunk) for chunk in range(1, 41, 2)])
    stream.audio.expire(float("inf"))
    ingest.streams.on_leave(stream)
    ingest.streams.on_parked(stream)
    successor = ingest.stream(7)
    assert successor.resume(peer_of(stream).handed.state)
    ingest.streams.on_resume(successor)
    assert positions(ingest)[-1] == (39, 39)
    for chunk in (37, 41, 43):
        successor.on_text(media(chunk))
    assert positions(ingest) == [(41, 41), (43, 43)]


async def test_a_start_that_is_repeated_is_no_news(ingest: FakeIngest) -> None:
    """Nor does it take the floor from who has it. One that says something else is news."""
    stream = ingest.stream(7, start())
    ingest.streams.receive_talk([batches.pack_talk(batches.TALK, 0, 5, stream.call, b"\x10" * 160)])
    ingest.entries()
    stream.on_text(start())
    assert ingest.kinds() == []
    assert ingest.streams.talk_router.holder(stream) == 5
    stream.on_text(start(**{"from": "+3"}))
    assert ingest.kinds() == [batches.START]
    assert ingest.streams.talk_router.holder(stream) == 5
    stream.on_text(start(encoding="PCMA"))
    assert ingest.streams.talk_router.holder(stream) is None
    assert [kind for kind, _ in ingest.told()] == ["stream.started"] * 3


edges = st.sampled_from([0, 1, 2, 999, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53 - 1]) | st.integers(0, 2**53 - 1)


@given(st.lists(st.tuples(edges | st.none(), edges | st.none(), edges | st.none()), max_size=12))
def test_numbers_at_the_edges_of_their_range(frames: list[tuple[int | None, int | None, int | None]]) -> None:
    """Whatever is accepted goes to the bus, and comes out of it again."""
    trio.run(_numbers_at_the_edges, frames)


async def _numbers_at_the_edges(frames: list[tuple[int | None, int | None, int | None]]) -> None:
    made = FakeIngest()
    made.fanout(0, "v3:call")
    stream = made.stream(7, start())
    for chunk, timestamp, sequence_number in frames:
        body = {"payload": "AAAA", "chunk": chunk, "timestamp": timestamp}
        stream.on_text(orjson.dumps({"event": "media", "sequence_number": sequence_number, "media": body}))
        made.now += 0.01
        stream.audio.expire(made.now)
    stream.audio.expire(float("inf"))
    got = [entry for entry in made.entries() if entry.kind == batches.AUDIO]
    assert len(got) <= len(frames) == sum(stream.audio.frames)
    assert all(entry.payload == bytes(3) for entry in got)
