"""What a browser hears of a call: the existing frontend's protocol, to the letter."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote

import orjson
import pytest
import trio
import trio_websocket

from simulator.codecs import G722, PCMA, PCMU
from tests.e2e.audio import mixed, power, samples, snr_db
from tests.e2e.calls import call, media, new_call_id, recording, until_over
from tests.e2e.clients import Client, client, listener
from tests.e2e.system import running_system

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.clips import Clip
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
WELCOME = (
    '{"event":"connected","message":"Connected to audio stream",'
    '"config":{"codec":"PCMU","sampleRate":8000,"channels":1}}'
)
FRAMES = 50


@pytest.fixture
def patient() -> Iterator[System]:
    """A system whose listeners may be late, since the machine may be busy: that must not count as a loss."""
    with running_system(FANOUT__QUEUE_MS="20000") as system:
        yield system


async def test_the_whole_recording(patient: System) -> None:
    """Every frame, byte for byte and in order, at ten listeners at once: binary and JSON."""
    call_id, clip = new_call_id(), recording()
    heard: list[list[bytes]] = []

    async def listen(format_: str, task_status: trio.TaskStatus[None]) -> None:
        async with listener(patient, call_id, format=format_) as browser:
            task_status.started()
            await browser.until(lambda: browser.of("stop"))
            heard.append(browser.json_audio if format_ == "json" else browser.audio)
            assert not (browser.audio if format_ == "json" else browser.of("media"))

    async with trio.open_nursery() as nursery:
        for format_ in ("binary", "json") * 5:
            await nursery.start(listen, format_)
        # Faster than real time, since a frame has nothing to do with the clock but when it is lost
        async with call(patient, call_id, tracks={"inbound": clip}, speed=4.0) as running:
            await until_over(running)
    assert [len(frames) for frames in heard] == [len(clip.frames)] * 10
    assert all(frames == list(clip.frames) for frames in heard)


async def test_the_welcome(quiet: System) -> None:
    """Is the first message, and exactly the one that the frontend knows."""
    for path in ("/audio-stream", "/frontend-audio", "/audio-stream?call_control_id=v3%3Anobody"):
        async with client(quiet, path) as browser:
            await browser.until(lambda: browser.messages)
            assert browser.messages[0] == WELCOME


async def test_the_welcome_tells_the_calls_format(quiet: System) -> None:
    """When it is known: a late listener of one call."""
    async with call(quiet, codec=PCMA) as running:
        call_id = running.identity.call_control_id
        await quiet.until_live(call_id)
        async with listener(quiet, call_id) as browser:
            assert browser.events[0]["config"] == {"codec": "PCMA", "sampleRate": 8000, "channels": 1}


async def test_the_order_of_a_call(patchbay: System) -> None:
    """Welcome, Telnyx's start verbatim, audio, Telnyx's stop verbatim."""
    call_id, clip = new_call_id(), recording(frames=FRAMES)
    async with listener(patchbay, call_id) as browser:
        async with call(patchbay, call_id, tracks={"inbound": clip}) as running:
            await until_over(running)
        await browser.until_stop()
        welcome, start, *audio, stop = browser.messages
        assert welcome == WELCOME
        assert audio == list(clip.frames)
        assert orjson.loads(start)["start"]["media_format"] == PCMU.media_format
        assert orjson.loads(start)["start"]["call_control_id"] == call_id
        assert orjson.loads(start)["stream_id"] == running.identity.stream_id
        assert orjson.loads(stop)["stop"]["call_control_id"] == call_id


async def test_start_stop_and_errors_are_verbatim(patchbay: System) -> None:
    """Not a byte is changed, whatever else is in them; both shapes of an error."""
    call_id = new_call_id()
    start = (
        f'{{ "stream_id":"S-1", "event":"start", "sequence_number":"1", "start":{{"call_control_id":"{call_id}",'
        ' "media_format":{"encoding":"PCMU","sample_rate":8000,"channels":1}, "future":[1,{"ü":null}]} }'
    )
    new_error = '{"event":"error", "payload":{"code":100003,"title":"malformed_frame","detail":"é"},"stream_id":"S-1"}'
    old_error = '{"stream_id":"S-1","event":"error","sequence_number":"6","error":{"title":"rate_limit_reached","code":"100005","detail":"Too many requests"}}'
    stop = f'{{"event":"stop",  "sequence_number":"5","stop":{{"call_control_id":"{call_id}"}},"stream_id":"S-1"}}'
    async with listener(patchbay, call_id) as browser:
        async with client(patchbay, "/audio-stream?role=telnyx") as telnyx:
            for message in (start, new_error, old_error, stop):
                await telnyx.send(message)
            await browser.until_stop()
        assert browser.texts[1:] == [start, new_error, old_error, stop]


async def test_a_late_listener(patchbay: System) -> None:
    """Has the start frame before any audio, then the last moments at once, then goes on without a gap."""
    clip = recording(frames=2 * FRAMES)
    async with listener(patchbay) as first, call(patchbay, tracks={"inbound": clip}) as running:
        call_id = running.identity.call_control_id
        await first.until(lambda: len(first.audio) >= FRAMES)
        async with listener(patchbay, call_id) as late:
            await late.until_stop()
            kinds = [type(message) for message in late.messages]
            assert late.events[1]["event"] == "start"
            assert kinds.index(bytes) == 2
            heard = list(clip.frames[-len(late.audio) :])
            assert late.audio == heard
            assert len(heard) >= FRAMES // 2


async def test_a_listener_of_an_unknown_call(patchbay: System) -> None:
    """Waits, hears nothing of others, and then that call from its very first frame on."""
    call_id, clip = new_call_id(), recording(frames=FRAMES, start=20)
    async with listener(patchbay, call_id) as browser:
        async with call(patchbay, tracks={"inbound": recording(frames=5)}) as other:
            await until_over(other)
        assert browser.messages == [WELCOME]
        async with call(patchbay, call_id, tracks={"inbound": clip}) as running:
            await until_over(running)
        await browser.until_stop()
        assert browser.audio == list(clip.frames)


async def test_the_first_listener_of_a_call(patchbay: System) -> None:
    """Has the last moments too, even what came in one piece with the start frame while nobody listened."""
    call_id, clip = new_call_id(), recording(frames=5, start=20)
    start = {
        "event": "start",
        "stream_id": "S-1",
        "start": {"call_control_id": call_id, "media_format": PCMU.media_format},
    }
    async with client(patchbay, "/audio-stream?role=telnyx") as telnyx:
        frames = [media(chunk, payload) for chunk, payload in enumerate(clip.frames, start=1)]
        await telnyx.send_together([orjson.dumps(start).decode(), *frames])
        await patchbay.until_live(call_id)
        async with listener(patchbay, call_id) as browser:
            await browser.until(lambda: len(browser.audio) == len(frames))
            assert browser.audio == list(clip.frames)


@pytest.mark.parametrize("name", ["call_control_id", "call_id", "callId", "stream_id"])
async def test_the_ways_to_name_a_call(patchbay: System, name: str) -> None:
    """Each of the parameter's names, and the stream's id instead."""
    call_id, stream_id, clip = new_call_id(), f"stream {name} ü", recording(frames=1, start=20)
    start = {"call_control_id": call_id, "media_format": PCMU.media_format}
    async with listener(patchbay, None, **{name: stream_id if name == "stream_id" else call_id}) as browser:
        async with client(patchbay, "/audio-stream?role=telnyx") as telnyx:
            await telnyx.send({"event": "start", "stream_id": stream_id, "start": start})
            await telnyx.send(media(1, clip.frames[0]))
            await browser.until(lambda: browser.audio)


async def test_a_listener_of_several_calls(patchbay: System) -> None:
    """The parameter may be repeated: those calls, no third one."""
    ids, clip = [new_call_id() for _ in range(3)], recording(frames=10, start=20)
    path = "/audio-stream?format=json&" + "&".join(f"call_control_id={quote(call_id, safe='')}" for call_id in ids[:2])
    async with client(patchbay, path) as browser:
        await browser.until(lambda: browser.messages)
        async with trio.open_nursery() as nursery:
            for call_id in ids:
                nursery.start_soon(_run, patchbay, call_id, clip)
        await browser.until(lambda: len(browser.of("stop")) == 2)
        assert {start["start"]["call_control_id"] for start in browser.of("start")} == set(ids[:2])
        assert sorted(browser.json_audio) == sorted(clip.frames * 2)


async def _run(system: System, call_id: str, clip: Clip) -> None:
    async with call(system, call_id, tracks={"inbound": clip}) as running:
        await until_over(running)


async def test_tracks(patchbay: System) -> None:
    """Inbound by default, outbound, or both, as JSON each for itself."""
    call_id = new_call_id()
    inbound, outbound = recording(frames=2 * FRAMES, start=10), recording(frames=2 * FRAMES, start=500)
    async with (
        listener(patchbay, call_id) as default,
        listener(patchbay, call_id, track="inbound") as far,
        listener(patchbay, call_id, track="outbound") as near,
        listener(patchbay, call_id, track="both", format="json") as both,
        call(patchbay, call_id, tracks={"inbound": inbound, "outbound": outbound}) as running,
    ):
        await until_over(running)
        for browser in (default, far, near, both):
            await browser.until_stop()
        assert default.audio == far.audio == list(inbound.frames)
        assert near.audio == list(outbound.frames)
        assert _payloads(both, "inbound") == list(inbound.frames)
        assert _payloads(both, "outbound") == list(outbound.frames)


async def test_both_tracks_mixed(patchbay: System) -> None:
    """For a client that plays one chunk after the other: as long as the call, not twice as long, and the sum of
    both."""
    call_id = new_call_id()
    inbound, outbound = recording(frames=FRAMES, start=10), recording(frames=FRAMES, start=500)
    pairs = zip(inbound.frames, outbound.frames, strict=True)
    frames = [
        media(chunk, payload, track=track)
        for chunk, pair in enumerate(pairs, start=1)
        for track, payload in zip(("inbound", "outbound"), pair, strict=True)
    ]
    start = {"call_control_id": call_id, "media_format": PCMU.media_format}
    async with (
        listener(patchbay, call_id, track="both") as mix,
        client(patchbay, "/audio-stream?role=telnyx") as telnyx,
    ):
        await telnyx.send({"event": "start", "stream_id": "S-1", "start": start})
        await telnyx.send_together(frames)
        await telnyx.send({"event": "stop", "stop": {"call_control_id": call_id}})
        await mix.until_stop()
        assert FRAMES <= len(mix.audio) <= FRAMES + 4
        assert {len(frame) for frame in mix.audio} == {160}
        assert max(_mix_snr_db(inbound, outbound, mix.audio, ahead) for ahead in range(4)) > 30


def _mix_snr_db(inbound: Clip, outbound: Clip, heard: list[bytes], ahead: int) -> float:
    """How good the mix is, if the inbound track was so many frames ahead: it is heard before the other one begins."""
    far, near = inbound.frames[ahead:], outbound.frames[: len(outbound.frames) - ahead]
    wanted = mixed(PCMU.decode(b"".join(far)), PCMU.decode(b"".join(near)))
    return snr_db(wanted, PCMU.decode(b"".join(heard[ahead : len(inbound.frames)])))


def _payloads(browser: Client, track: str) -> list[bytes]:
    return [
        b64decode(message["media"]["payload"]) for message in browser.of("media") if message["media"]["track"] == track
    ]


async def test_a_pcma_call(patchbay: System) -> None:
    """Is transcoded for binary clients, who take everything for PCMU; JSON is in the call's own codec."""
    call_id, clip = new_call_id(), recording(PCMA, FRAMES, start=10)
    async with (
        listener(patchbay, call_id) as binary,
        listener(patchbay, call_id, format="json") as text,
        call(patchbay, call_id, codec=PCMA, tracks={"inbound": clip}) as running,
    ):
        await until_over(running)
        for browser in (binary, text):
            await browser.until_stop()
        assert text.json_audio == list(clip.frames)
        assert {message["media"]["format"] for message in text.of("media")} == {"PCMA"}
        assert [len(frame) for frame in binary.audio] == [160] * FRAMES
        assert snr_db(PCMA.decode(clip.payload), PCMU.decode(b"".join(binary.audio))) > 30


async def test_a_wideband_call(patchbay: System) -> None:
    """Is heard as PCMU too: as long and as loud, in frames of 20 ms."""
    call_id, clip = new_call_id(), recording(G722, 2 * FRAMES, start=10)
    async with (
        listener(patchbay, call_id) as browser,
        call(patchbay, call_id, codec=G722, tracks={"inbound": clip}) as running,
    ):
        await until_over(running)
        await browser.until_stop()
        heard = b"".join(browser.audio)
        assert max(map(len, browser.audio)) == 160
        assert abs(len(heard) - 2 * FRAMES * 160) <= 2 * 160
        loudness = power(samples(G722.decode(clip.payload))) / 2 / power(samples(PCMU.decode(heard)))
        assert 0.5 < loudness < 2


async def test_json_has_exactly_this_form(patchbay: System) -> None:
    """Numbers are text, as in Telnyx's frames; the format is the call's."""
    call_id, payload = new_call_id(), bytes(range(160))
    start = {"call_control_id": call_id, "media_format": PCMU.media_format}
    async with (
        listener(patchbay, call_id, format="json") as browser,
        client(patchbay, "/audio-stream?role=telnyx") as telnyx,
    ):
        await telnyx.send({"event": "start", "stream_id": "S-1", "start": start})
        await telnyx.send(media(1, payload, stream_id="S-1"))
        await browser.until(lambda: browser.of("media"))
        assert browser.texts[-1] == (
            '{"event":"media","sequence_number":"2","stream_id":"S-1","media":{"track":"inbound","chunk":"1",'
            f'"timestamp":"20","payload":"{b64encode(payload).decode()}","format":"PCMU"}}}}'
        )


async def test_numbers_that_are_numbers(patchbay: System) -> None:
    """And an encoding spelled as in Telnyx's older text: both are taken as they are meant."""
    call_id, payload = new_call_id(), bytes(range(160))
    start = {"call_control_id": call_id, "media_format": {"encoding": "audio/x-mulaw", "sample_rate": "8000"}}
    body = {"track": "inbound_track", "chunk": 1, "timestamp": 20, "payload": b64encode(payload).decode()}
    async with listener(patchbay, call_id) as browser, client(patchbay, "/audio-stream?role=telnyx") as telnyx:
        await telnyx.send({"event": "start", "stream_id": "S-1", "start": start})
        await telnyx.send({"event": "media", "sequence_number": 2, "media": body, "stream_id": "S-1"})
        await browser.until(lambda: browser.audio)
        assert browser.audio == [payload]


async def test_frames_longer_than_20_ms(patchbay: System) -> None:
    """Telnyx promises no length; a binary message is 20 ms all the same."""
    call_id, payload = new_call_id(), recording(frames=3, start=20).payload
    start = {"call_control_id": call_id, "media_format": PCMU.media_format}
    async with listener(patchbay, call_id) as browser, client(patchbay, "/audio-stream?role=telnyx") as telnyx:
        await telnyx.send({"event": "start", "stream_id": "S-1", "start": start})
        await telnyx.send(media(1, payload))
        await browser.until(lambda: len(browser.audio) == 3)
        assert b"".join(browser.audio) == payload
        assert {len(frame) for frame in browser.audio} == {160}


async def test_a_listener_without_a_call(quiet: System) -> None:
    """Hears every call, when authentication is off: as JSON all at once, in binary one after the other."""
    clips = [recording(frames=FRAMES, start=start) for start in (20, 120)]
    async with listener(quiet) as browser, listener(quiet, format="json") as program:
        async with (
            client(quiet, "/audio-stream?role=telnyx") as first,
            client(quiet, "/audio-stream?role=telnyx") as then,
        ):
            for number, (telnyx, clip) in enumerate(zip((first, then), clips, strict=True)):
                start = {"call_control_id": new_call_id(), "media_format": PCMU.media_format}
                await telnyx.send({"event": "start", "stream_id": f"S-{number}", "start": start})
                await browser.until_start()
                await telnyx.send_together(media(chunk, frame) for chunk, frame in enumerate(clip.frames, 1))
            await program.until(lambda: len(program.json_audio) == 2 * FRAMES)
            await first.send({"event": "stop", "stream_id": "S-0", "stop": {}})
            await browser.until_start(2)
            await then.send_together(media(chunk, frame) for chunk, frame in enumerate(clips[1].frames, FRAMES + 1))
            await browser.until(lambda: browser.audio[-1:] == [clips[1].frames[-1]])
    assert sorted(program.json_audio[: 2 * FRAMES]) == sorted(clips[0].frames + clips[1].frames)
    assert browser.audio[:FRAMES] == list(clips[0].frames)
    assert set(browser.audio[FRAMES:]) <= set(clips[1].frames)
    assert [message.get("event") for message in browser.events] == ["connected", "start", "stop", "start"]


@pytest.mark.parametrize("query", ["track=left", "format=mp3", "call_control_id=", "stream_id="])
async def test_a_query_that_can_not_be_meant(patchbay: System, query: str) -> None:
    """400: above all, an empty call id must never mean every call."""
    with pytest.RaisesGroup(trio_websocket.ConnectionRejected, flatten_subgroups=True) as caught:
        async with client(patchbay, f"/audio-stream?{query}"):
            pass
    rejection = caught.value.exceptions[0]
    assert isinstance(rejection, trio_websocket.ConnectionRejected)
    assert rejection.status_code == 400
