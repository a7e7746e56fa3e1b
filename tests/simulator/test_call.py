"""One call against a bare server, over real loopback sockets."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import wave
from typing import TYPE_CHECKING, Any

import pytest
import trio

from bench.ports import reserved_port
from simulator.call import CallEnded, SimulatedCall, place
from simulator.clips import Echo, Silence
from simulator.codecs import L16, PCMU
from simulator.faults import Faults
from simulator.options import CallOptions
from tests.simulator.application import Application, application, listener_that, receiver, reset
from tests.simulator.helpers import identity, media, numbered_clip

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.clips import Clip

WHO = identity()


def options(app: Application, **fields: Any) -> CallOptions:
    return CallOptions(url=app.url, identity=WHO, **{"seed": 1, **fields})


TRIES = 10
BUSY_S = 8.0  # what a machine with better things to do may add
SILENCE = PCMU.silence(1)  # also between what is said, when that comes late


def payloads(frames: list[dict[str, Any]]) -> list[bytes]:
    return [base64.b64decode(frame["payload"]) for frame in frames]


async def stalled(call: SimulatedCall) -> None:
    """Wait until nothing can be sent any more: the kernel's buffers are full."""
    while True:
        sent = call.counters["frames_sent"]
        with trio.move_on_after(0.1) as scope:
            await call.wait_until(lambda sent=sent: call.counters["frames_sent"] > sent)  # type: ignore[misc]
        if scope.cancelled_caught:
            return


async def run(call: SimulatedCall) -> None:
    with trio.fail_after(60):
        await call.run()


@pytest.mark.parametrize("codec", [PCMU, L16])
async def test_a_clip_arrives_byte_for_byte_in_frames_of_20_ms(codec: Any) -> None:
    clip: Clip = numbered_clip(200, codec)
    async with application() as app:
        call = SimulatedCall(options(app, codec=codec, tracks={"inbound": clip}, speed=math.inf))
        await run(call)
        stream = app.streams[0]
        await app.wait_until(lambda: stream.closed is not None)
    assert payloads(stream.media()) == list(clip.frames) == call.frames_sent["inbound"]
    assert [frame["event"] for frame in stream.frames] == ["connected", "start", *["media"] * 200, "stop"]
    assert [frame["sequence_number"] for frame in stream.frames[1:]] == [str(n) for n in range(1, 203)]
    assert [frame["chunk"] for frame in stream.media()] == [str(n) for n in range(1, 201)]
    assert stream.closed is not None
    assert stream.closed.code == 1000
    assert call.outcome is not None
    assert call.outcome.kind == "stopped"


async def test_the_handshake_has_telnyx_s_headers_and_the_token() -> None:
    async with application() as app:
        async with place(options(app, token="secret")):
            stream = await app.stream()
        await app.wait_until(lambda: stream.closed is not None)
    assert stream.path == "/audio-stream"
    assert "telnyx" in stream.headers["user-agent"]
    assert stream.headers["x-telnyx-streaming-auth-token"] == "secret"
    assert stream.frames[0]["connected"] == {"x-telnyx-streaming-auth-token": "secret"}
    assert [frame["event"] for frame in stream.frames] == ["connected", "start", "stop"]


async def test_the_pace_is_real_time_without_drift() -> None:
    """0.2 s for ten frames, and for a hundred at ten times the pace. Of several tries, since a machine may be busy."""
    async with application() as app:
        for frames, speed in ((10, 1.0), (100, 10.0)):
            took_s: list[float] = []
            while len(took_s) < TRIES and not any(each < 1 for each in took_s):
                started = trio.current_time()
                await run(SimulatedCall(options(app, tracks={"inbound": numbered_clip(frames)}, speed=speed)))
                took_s.append(trio.current_time() - started)
            assert 0.2 <= min(took_s) < 1


async def test_two_tracks_take_turns_and_the_shorter_is_filled_up() -> None:
    first, second = numbered_clip(3), numbered_clip(1, first=50)
    async with application() as app:
        await run(SimulatedCall(options(app, tracks={"inbound": first, "outbound": second}, speed=math.inf)))
        await app.wait_until(lambda: app.streams[0].closed is not None)
        stream = app.streams[0]
    assert payloads(stream.media("inbound")) == list(first.frames)
    assert payloads(stream.media("outbound")) == [*second.frames, *[PCMU.silence(160)] * 2]
    assert [frame["media"]["track"] for frame in stream.events("media")] == ["inbound", "outbound"] * 3


async def test_a_duration_ends_a_loop() -> None:
    async with application() as app:
        call = SimulatedCall(
            options(app, tracks={"inbound": numbered_clip(3).looped()}, duration_s=0.2, speed=math.inf)
        )
        await run(call)
    assert call.frames_sent["inbound"] == [numbered_clip(3).frames[n % 3] for n in range(10)]


async def test_faults_reorder_lose_and_repeat_what_is_sent() -> None:
    faults = Faults(shuffle=4, lose_pct=10, duplicate_pct=10, jitter_ms=1)
    async with application() as app:
        call = SimulatedCall(options(app, tracks={"inbound": numbered_clip(300)}, faults=faults, speed=math.inf))
        await run(call)
        await app.wait_until(lambda: app.streams[0].closed is not None)
        chunks = [int(frame["chunk"]) for frame in app.streams[0].media()]
    assert chunks != sorted(chunks)
    assert len(chunks) > len(set(chunks))
    assert len(set(chunks)) < 300
    by_chunk = {int(frame["chunk"]): frame["payload"] for frame in app.streams[0].media()}
    assert [base64.b64decode(by_chunk[chunk]) for chunk in sorted(by_chunk)] == call.frames_sent["inbound"]


async def test_talk_is_heard_and_marks_come_back_when_it_has_been_played() -> None:
    async with application() as app, place(options(app)) as call:
        stream = await app.stream()
        await stream.send({"event": "mark", "mark": {"name": "nothing queued"}})
        await app.wait_until(lambda: len(stream.events("mark")) == 1)
        sent_at = trio.current_time()
        await stream.send(media(b"\x01" * 800))
        await stream.send(media(b"\x02" * 800))
        await stream.send({"event": "mark", "mark": {"name": "played"}})
        await app.wait_until(lambda: len(stream.events("mark")) == 2)
        assert trio.current_time() - sent_at >= 0.2
    marks = stream.events("mark")
    assert [mark["mark"]["name"] for mark in marks] == ["nothing queued", "played"] == call.far_end.marks_sent
    assert set(marks[0]) == {"event", "sequence_number", "mark", "stream_id"}
    assert call.far_end.talk == b"\x01" * 800 + b"\x02" * 800
    assert call.far_end.talk in call.far_end.played
    assert call.counters["talk_frames"] == 2


async def test_clear_empties_the_queue_and_returns_its_marks() -> None:
    async with application() as app, place(options(app)) as call:
        stream = await app.stream()
        await stream.send(media(b"\x01" * 80_000))
        for name in ("first", "second"):
            await stream.send({"event": "mark", "mark": {"name": name}})
        await call.wait_until(lambda: len(call.far_end.messages) == 3)
        assert 9 < call.far_end.queued_s() <= 10
        await stream.send({"event": "clear"})
        await app.wait_until(lambda: len(stream.events("mark")) == 2)
        assert call.far_end.queued_s() == 0
    assert [mark["mark"]["name"] for mark in stream.events("mark")] == ["first", "second"]
    assert call.far_end.played.count(1) < 8000
    assert call.counters["clears"] == 1


async def test_bad_frames_are_answered_with_errors_and_the_stream_goes_on() -> None:
    async with application() as app, place(options(app)) as call:
        stream = await app.stream()
        for bad in ("rubbish", b"binary", {"event": "connected"}, media(b"short")):
            await stream.send(bad)
        await app.wait_until(lambda: len(stream.events("error")) == 4)
        await stream.send("")
        await app.wait_until(lambda: len(stream.events("error")) == 5)
        assert call.connected
    codes = [error["payload"]["code"] for error in stream.events("error")]
    assert codes == [100003, 100003, 100003, 100004, 100003]
    assert set(stream.events("error")[0]) == {"event", "payload", "stream_id"}
    assert [refused.code for refused in call.far_end.errors_sent] == codes


async def test_what_is_said_can_be_heard_on_the_outbound_track() -> None:
    talk = [bytes([n]) * 160 for n in range(1, 6)]
    tracks = {"inbound": Silence(PCMU), "outbound": Echo(PCMU)}
    async with application() as app, place(options(app, tracks=tracks)):
        stream = await app.stream()
        for payload in talk:
            await stream.send(media(payload))
        said = b"".join(talk)
        await app.wait_until(lambda: said == b"".join(payloads(stream.media("outbound"))).replace(SILENCE, b""))


async def test_frames_and_anything_else_can_be_sent_by_hand() -> None:
    async with application() as app, place(options(app)) as call:
        stream = await app.stream()
        await call.send_frame("inbound", b"\x07" * 400)
        await call.send_dtmf("5")
        assert await call.send_raw('{"event":"custom"}')
        await app.wait_until(lambda: len(stream.events("custom")) == 1)
    assert payloads(stream.media()) == [b"\x07" * 400] == call.frames_sent["inbound"]
    assert stream.events("dtmf")[0]["dtmf"] == {"digit": "5"}
    assert stream.frames[2]["media"]["chunk"] == "1"


async def test_a_dropped_stream_is_connected_again_with_the_same_ids() -> None:
    async with application() as app, place(options(app, tracks={"inbound": Silence(PCMU)})) as call:
        first = await app.stream(0)
        await app.wait_until(lambda: len(first.media()) >= 3)
        call.drop()
        second = await app.stream(1)
        await app.wait_until(lambda: len(second.media()) >= 3)
    assert [frame["event"] for frame in second.frames[:2]] == ["connected", "start"]
    assert second.frames[1] == first.frames[1]
    assert int(second.media()[0]["chunk"]) > int(first.media()[-1]["chunk"])
    assert call.counters["frames_unsent"] > 0
    assert [ending.code for ending in call.endings] == [1006, 1000]


async def test_chunks_may_begin_again_after_a_reconnect() -> None:
    tracks = {"inbound": Silence(PCMU)}
    async with application() as app, place(options(app, tracks=tracks, restart_chunks=True)) as call:
        await app.wait_until(lambda: bool(app.streams) and len(app.streams[0].media()) >= 3)
        call.drop()
        second = await app.stream(1)
        await app.wait_until(lambda: len(second.media()) >= 1)
    assert second.media()[0]["chunk"] == "1"


async def test_a_going_away_server_is_connected_again() -> None:
    async with application() as app, place(options(app)) as call:
        await (await app.stream(0)).close(1001)
        await app.stream(1)
        await call.wait_until(lambda: call.connected and call.counters["connections"] == 2)


async def test_a_server_s_refusal_ends_the_call() -> None:
    async with application() as app:
        call = SimulatedCall(options(app))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, call)
            await (await app.stream()).close(1008, "superseded")
            with pytest.raises(CallEnded, match="closed 1008 superseded"):
                await call.wait_until(lambda: False)
        assert len(app.streams) == 1


async def test_nobody_there_is_a_failed_stream() -> None:
    with reserved_port() as port, pytest.raises(CallEnded, match=r"failed .*refused"):
        async with place(CallOptions(url=f"ws://127.0.0.1:{port}/audio-stream", identity=WHO)):
            pytest.fail("the call has begun")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\nno token\n", "HTTP 401: no token"),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "HTTP 503"),
        (b"", "closed during the handshake"),
        (None, "reset during the handshake"),
    ],
)
async def test_a_handshake_that_does_not_come_about_says_why(answer: bytes | None, reason: str) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        if answer is None:
            reset(stream)
            return
        async with stream:
            await stream.send_all(answer)

    with trio.fail_after(60):
        async with listener_that(handle) as url:
            with pytest.raises(CallEnded, match=reason):
                async with place(CallOptions(url=url, identity=WHO)):
                    pytest.fail("the call has begun")


async def test_hanging_up_does_not_wait_for_a_server_that_hangs() -> None:
    async def handle(stream: trio.SocketStream) -> None:
        key = next(
            line for line in (await stream.receive_some()).split(b"\r\n") if b"sec-websocket-key" in line.lower()
        )
        accept = base64.b64encode(
            hashlib.sha1(key.split(b": ")[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        ).decode()
        await stream.send_all(
            f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        await trio.sleep_forever()

    tracks = {"inbound": numbered_clip(500).looped()}
    async with listener_that(handle) as url:
        async with place(CallOptions(url=url, identity=WHO, tracks=tracks, speed=math.inf)) as call:
            await stalled(call)
            stopped_at = trio.current_time()
        assert trio.current_time() - stopped_at < 0.9 + BUSY_S
    assert call.outcome is not None
    assert call.outcome.kind == "stopped"


async def test_what_was_played_is_written_to_a_wav_with_its_timing(tmp_path: Path) -> None:
    tone = PCMU.encode(b"\x00\x20" * 800)
    async with application() as app:
        chosen = options(app, duration_s=0.4, save_talk=tmp_path / "heard", save_name="call-1", record=False)
        async with trio.open_nursery() as nursery:
            call = SimulatedCall(chosen)
            nursery.start_soon(run, call)
            stream = await app.stream()
            await stream.send(media(tone))
            await stream.send(b"\x01\x02")
    with wave.open(str(tmp_path / "heard" / "call-1.wav")) as wav:
        assert (wav.getframerate(), wav.getsampwidth(), wav.getnchannels()) == (8000, 2, 1)
        assert 3200 <= wav.getnframes() < 8000
        assert PCMU.decode(tone) in wav.readframes(wav.getnframes())
    log = [json.loads(line) for line in (tmp_path / "heard" / "call-1.jsonl").read_text().splitlines()]
    assert json.loads(log[0]["text"]) == media(tone)
    assert log[1]["binary"] == "0102"
    assert 0 <= log[0]["at_s"] <= log[1]["at_s"]
    assert call.far_end.messages == []


async def test_the_webhooks_of_a_call_arrive_in_order() -> None:
    async with application() as app, receiver() as hooks:
        chosen = options(app, tracks={"inbound": numbered_clip(5)}, speed=math.inf, webhook_url=hooks.url)
        call = SimulatedCall(chosen)
        await run(call)
    assert hooks.types == ["call.initiated", "call.answered", "streaming.started", "streaming.stopped", "call.hangup"]
    first = hooks.requests[0]
    assert (first.method, first.target) == ("POST", "/api/calls/telnyx/webhook")
    assert first.headers["user-agent"] == "telnyx-webhooks"
    assert first.headers["content-type"] == "application/json"
    assert first.json["meta"] == {"attempt": 1, "delivered_to": hooks.url}
    assert {request.json["data"]["payload"]["call_control_id"] for request in hooks.requests} == {WHO.call_control_id}
    assert len({request.json["data"]["id"] for request in hooks.requests}) == 5
    assert call.webhooks.failures == []


async def test_a_failed_stream_is_a_webhook_too() -> None:
    with reserved_port() as port:
        async with receiver() as hooks:
            chosen = CallOptions(url=f"ws://127.0.0.1:{port}/", identity=WHO, webhook_url=hooks.url)
            await run(SimulatedCall(chosen))
    assert hooks.types == ["call.initiated", "call.answered", "streaming.started", "streaming.failed", "call.hangup"]


async def test_many_calls_at_once_do_not_mix() -> None:
    async with application() as app:
        calls = [
            SimulatedCall(
                CallOptions(
                    url=app.url,
                    identity=identity(n),
                    tracks={"inbound": numbered_clip(20, first=1000 * n)},
                    speed=4,
                )
            )
            for n in range(20)
        ]
        async with trio.open_nursery() as nursery:
            for call in calls:
                nursery.start_soon(run, call)
        await app.wait_until(lambda: all(stream.closed for stream in app.streams) and len(app.streams) == 20)
    by_id = {stream.frames[1]["start"]["call_control_id"]: stream for stream in app.streams}
    for n, call in enumerate(calls):
        assert payloads(by_id[call.identity.call_control_id].media()) == list(numbered_clip(20, first=1000 * n).frames)
