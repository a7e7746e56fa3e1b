"""The command as a process, and its fleet, against a bare server."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import wave
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from simulator.call import SimulatedCall
from simulator.fleet import Fleet
from simulator.options import CallOptions
from tests.simulator.application import application, receiver
from tests.simulator.helpers import identity, numbered_clip

if TYPE_CHECKING:
    from pathlib import Path


BUSY_S = 10.0  # what a machine with better things to do may add


def command(*given: str) -> list[str]:
    return [sys.executable, "-m", "simulator", *given]


async def finished(process: trio.Process) -> int:
    with trio.fail_after(60):
        return await process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_hangs_up_all_calls_within_a_second(number: signal.Signals) -> None:
    async with application() as app, receiver() as hooks, trio.open_nursery() as nursery:
        given = command("--calls", "3", "--loop", "--track", "both", "--url", app.url, "--webhook-url", hooks.url)
        process = await trio.lowlevel.open_process(given, stdout=subprocess.DEVNULL)
        nursery.start_soon(finished, process)
        await app.wait_until(lambda: len([stream for stream in app.streams if len(stream.frames) > 5]) == 3)
        started = time.monotonic()
        process.send_signal(number)
        assert await finished(process) == 0
        assert time.monotonic() - started < 1 + BUSY_S
        await app.wait_until(lambda: all(stream.closed for stream in app.streams))
        assert all(stream.frames[-1]["event"] == "stop" for stream in app.streams)
        assert hooks.types.count("call.hangup") == 3


@pytest.mark.slow
async def test_the_demo_waits_for_the_server_and_says_where_to_look() -> None:
    async with application() as app, receiver() as ready:
        ready.statuses = [503]
        url = ready.url.replace("http", "ws").replace("/api/calls/telnyx/webhook", "/audio-stream")
        process = await trio.lowlevel.open_process(
            command("demo", "--no-webhooks", "--url", url), stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        text = ""
        with trio.fail_after(60):
            while len(ready.requests) < 2:
                text += (await process.stdout.receive_some()).decode()
        process.terminate()
        assert await finished(process) == 0
    assert app.streams == []
    assert [request.target for request in ready.requests[:2]] == ["/readyz", "/readyz"]
    assert "listen v3:demo-1" in text
    assert f"look:   {url.replace('ws', 'http').replace('audio-stream', '')}" in text
    assert "503 some words" in text


@pytest.mark.slow
async def test_a_reader_that_goes_away_does_not_end_the_calls() -> None:
    async with application() as app:
        given = command("--loop", "--report", "0.05", "--no-webhooks", "--url", app.url)
        process = await trio.lowlevel.open_process(given, stdout=subprocess.PIPE)
        assert process.stdout is not None
        stream = await app.stream()
        await process.stdout.aclose()
        await app.wait_until(lambda: len(stream.media()) > 20)
        assert process.poll() is None
        process.terminate()
        assert await finished(process) == 0


@pytest.mark.slow
async def test_nobody_there_is_said_and_status_1() -> None:
    result = await trio.run_process(
        command("--no-webhooks", "--url", "ws://127.0.0.1:9"), capture_stdout=True, check=False
    )
    assert result.returncode == 1
    assert "connection refused" in result.stdout.decode()


@pytest.mark.slow
async def test_listening_writes_a_wav(tmp_path: Path) -> None:
    out = tmp_path / "call.wav"
    async with application() as app:
        given = command("listen", "v3:a", "--url", app.url, "--out", str(out))
        process = await trio.lowlevel.open_process(given, stderr=subprocess.DEVNULL)
        stream = await app.stream()
        assert stream.path == "/audio-stream?call_control_id=v3%3Aa&track=inbound"
        await stream.send('{"event":"connected"}')
        for _ in range(5):
            await stream.send(b"\x80" * 160)
        await stream.close(1000)
        assert await finished(process) == 0
    with wave.open(str(out)) as wav:
        assert wav.getnframes() == 800


class TestFleet:
    def fleet(self, url: str, lines: list[str], **fields: Any) -> Fleet:
        def make(index: int) -> SimulatedCall:
            tracks = {"inbound": numbered_clip(5)}
            return SimulatedCall(CallOptions(url=url, identity=identity(index), tracks=tracks))

        return Fleet(make, **{"calls": 2, "stagger_s": 0.0, "keep": False, "say": lines.append, **fields})

    async def test_runs_its_calls_to_their_end(self) -> None:
        lines: list[str] = []
        async with application() as app:
            fleet = self.fleet(app.url, lines)
            with trio.fail_after(60):
                await fleet.run()
        assert sorted(lines) == [f"call {n} ended; 5 frames sent, 0 of talk received (0.0 s)" for n in (1, 2)]
        assert fleet.failed == 0

    async def test_places_a_call_again_when_it_is_to_last(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("simulator.fleet.AGAIN_DELAY_S", 0.01)
        async with application() as app, trio.open_nursery() as nursery:
            fleet = self.fleet(app.url, [], calls=1, keep=True)
            nursery.start_soon(fleet.run)
            await app.stream(2)
            fleet.stop()

    async def test_stops_while_it_waits(self) -> None:
        lines: list[str] = []
        async with receiver() as ready, trio.open_nursery() as nursery:
            ready.statuses = [503] * 1000
            fleet = self.fleet("ws://127.0.0.1:9", lines)
            fleet.ready_url = ready.url
            nursery.start_soon(fleet.run)
            with trio.fail_after(60):
                await ready.asked.wait()
                await trio.testing.wait_all_tasks_blocked(0.05)
            fleet.stop()
        assert lines == [f"waiting for {ready.url}: 503 some words"]

    async def test_counts_the_calls_that_failed(self) -> None:
        fleet = self.fleet("ws://127.0.0.1:9", [])
        await fleet.run()
        assert fleet.failed == 2
