"""`patchbay.v1` through the real system, by a client that knows nothing but its description."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from simulator.codecs import G722, L16, PCMA, PCMU
from tests.e2e.calls import call, new_call_id, numbered, recording, until_over, until_said
from tests.e2e.v1_client import v1_client

if TYPE_CHECKING:
    from simulator.codecs import Codec
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
WIRE = {PCMU: (0, "PCMU"), PCMA: (1, "PCMA"), G722: (2, "G722"), L16: (4, "L16")}


@pytest.mark.parametrize("codec", WIRE, ids=lambda codec: codec.name)
async def test_both_tracks_as_they_are(patchbay: System, codec: Codec) -> None:
    """In the call's own codec, from the first frame to the last, numbered without a gap."""
    call_id = new_call_id()
    clips = {"inbound": recording(codec, 100), "outbound": recording(codec, 100, 100)}
    async with v1_client(patchbay) as page:
        assert (await page.subscribe(call_id, "inbound", "outbound"))["state"] == "waiting"
        async with call(patchbay, call_id, codec=codec, tracks=clips) as running:
            await until_over(running)
        await page.until(lambda: page.of("stream.ended"))
    [stream] = page.of("stream")
    assert stream["format"]["codec"] == WIRE[codec][1]
    assert stream["start"]["call_control_id"] == call_id
    for number, clip in enumerate(clips.values()):
        frames = page.track(number)
        assert [frame.payload for frame in frames] == list(clip.frames)
        assert {frame[:6:2] for frame in frames} == {(1, WIRE[codec][0], 1)}
        assert {frame.stream for frame in frames} == {stream["stream"]}
        assert all(after.sequence == before.sequence + 1 for before, after in pairwise(frames))
        assert all(after.timestamp == before.timestamp + 20 for before, after in pairwise(frames))
    assert page.of("stream.ended")[0]["reason"] == "stop"


async def test_calls_come_and_go_on_one_socket(patchbay: System) -> None:
    """Each by its number; whoever joins late has the last moments, flagged; what is unsubscribed comes no more."""
    first, second = new_call_id(), new_call_id()
    clips = [numbered(number, 4000) for number in (1, 2)]
    async with (
        call(patchbay, first, tracks={"inbound": clips[0]}) as one,
        call(patchbay, second, tracks={"inbound": clips[1]}) as two,
        v1_client(patchbay, f"?call_control_id={quote(first)}&track=inbound") as page,
    ):
        del one, two
        await page.until(lambda: len(page.track(0)) > 30)
        answer = await page.subscribe(second, "inbound")
        assert (answer["call"], answer["call_control_id"]) == (2, second)
        await page.until(lambda: len(page.track(0, 2)) > 30)
        assert [bool(frame.flags) for frame in page.track(0, 2)[:10]] == [True] * 10
        assert not page.track(0, 2)[-1].flags
        await page.say("unsubscribe", call=1)
        answer = await page.subscribe(second, "inbound", "outbound")
        seen = len(page.track(0))
        await page.until(lambda: len(page.track(0, 2)) > 60)
        assert len(page.track(0)) == seen
        assert all(frame.payload in clips[0].frames for frame in page.track(0))
        assert all(frame.payload in clips[1].frames for frame in page.track(0, 2))


@pytest.mark.parametrize("options", [{}, {"shared_chunks": True}])
async def test_numbers_have_no_gaps_of_their_own(patchbay: System, options: dict[str, bool]) -> None:
    """Also where Telnyx counts both tracks together, and they are the same for everybody."""
    call_id = new_call_id()
    clips = {"inbound": recording(PCMU, 150), "outbound": recording(PCMU, 150, 150)}
    async with v1_client(patchbay) as page, v1_client(patchbay) as other:
        await page.subscribe(call_id, "inbound", "outbound")
        await other.subscribe(new_call_id())
        async with call(patchbay, call_id, tracks=clips, **options) as running:
            await page.until(lambda: len(page.track(1)) > 50)
            await other.subscribe(call_id, "inbound", "outbound")
            await until_over(running)
        await page.until(lambda: page.of("stream.ended"))
        await other.until(lambda: other.of("stream.ended"))
    for number in (0, 1):
        sequences = [frame.sequence for frame in page.track(number)][5:]
        assert all(after == before + 1 for before, after in pairwise(sequences))
        at = {frame.payload: frame.sequence for frame in page.track(number)}
        late = other.track(number, 2)
        assert len(late) > 50
        assert all(at[frame.payload] == frame.sequence for frame in late)


async def test_peaks_without_audio(patchbay: System) -> None:
    """Twice a second, in steps of 100 ms, of both sides."""
    call_id = new_call_id()
    clips = {"inbound": recording(PCMU), "outbound": recording(PCMU, None, 200)}
    async with v1_client(patchbay) as page, call(patchbay, call_id, tracks=clips):
        await page.subscribe(call_id, peaks=True)
        await page.until(lambda: len(page.of("peaks")) >= 4)
        told = [entry for message in page.of("peaks")[1:] for entry in message["calls"]]
        assert not page.audio
        [about] = [each for each in (await patchbay.json("/api/calls"))["calls"] if each["call_control_id"] == call_id]
        assert about["listeners"] == 0
    assert {entry["call_control_id"] for entry in told} == {call_id}
    assert page.of("peaks")[0]["step_ms"] == 100
    assert all(
        len(entry[track]) in range(1, 11) for entry in told for track in ("inbound", "outbound") if track in entry
    )
    assert max(max(entry.get("inbound", [0])) for entry in told) > 100


async def test_talk(patchbay: System) -> None:
    """The floor first; then frames, which Telnyx gets byte for byte; another has to wait; then it is free."""
    call_id, said = new_call_id(), numbered(7, 50)
    async with (
        call(patchbay, call_id, tracks={"inbound": numbered(1, 4000)}) as running,
        v1_client(patchbay) as page,
        v1_client(patchbay) as other,
    ):
        await other.subscribe(call_id)
        await other.until(lambda: other.of("stream"))
        started = await page.start_talk(call_id)
        assert (started["type"], started["codec"], started["talk"]) == ("talk.started", "PCMU", 1)
        assert (await other.start_talk(call_id))["code"] == 200005
        for sequence, frame in enumerate(said.frames):
            await page.talk(started, sequence, frame)
        await page.talk(started, 3, said.frames[3])  # again
        await page.talk(started, 60, said.frames[3], talk=99)  # another talk's
        await until_said(running, len(said.frames))
        await page.say("talk.stop", call=started["call"])
        await other.until(lambda: other.of("floor")[-1]["holder"] is None and len(other.of("floor")) >= 3)
        assert [floor["holder"] for floor in other.of("floor")][:2] == [None, {"you": False}]
        assert (await other.start_talk(call_id, 78))["type"] == "talk.started"
        await page.until(lambda: page.of("floor")[-1]["holder"] == {"you": False})
        await other.until(lambda: other.of("talk.ended"))
        assert other.of("talk.ended")[0]["reason"] == "silent"
        assert not page.of("talk.ended")
        received = [talk.payload for talk in running.far_end.received]
    assert received[: len(said.frames)] == list(said.frames)


async def test_what_is_not_understood(patchbay: System) -> None:
    """Is answered, or ignored when it may be of the future; the connection goes on."""
    async with v1_client(patchbay) as page:
        await page.inner.send("rubbish")
        await page.say("subscribe", id=5)
        await page.say("something.new", id=6)
        await page.inner.send(b"\x09future")
        await page.inner.send(b"\x02short")
        await page.say("unsubscribe", call=44)
        await page.say("talk.stop", call=44)
        assert (await page.start_talk("v3:nobody"))["code"] == 200001
        await page.say("ping", sent=12.5)
        await page.until(lambda: page.of("pong"))
        assert [(error["code"], error.get("id")) for error in page.of("error")] == [
            (200008, None),
            (200008, 5),
            (200003, None),
            (200001, 77),
        ]
        assert page.of("pong")[0]["sent"] == 12.5
