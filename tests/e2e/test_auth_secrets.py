"""No secret and no token is ever shown: not in logs at their most talkative, answers, metrics, status, or files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from tests.e2e.clients import client
from tests.e2e.guarded import MY_CALL, SECRET, STREAM_TOKEN, ask, guarded_system, token
from tests.e2e.http_client import exchange

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.system import System

pytestmark = pytest.mark.slow


async def test_no_secret_is_shown() -> None:
    """Whatever clients do with theirs: right, wrong, in the wrong place, in requests that make no sense."""
    with guarded_system(LOG__LEVEL="debug") as system:
        good, bad = token(), token(key="another secret of thirty-two byte")
        answers = await _use(system, good, bad)
        shown = {"log": system.log().encode(), "status": (await system.command("status", "--json")).encode()}
        for path in ("/metrics", "/api/calls", "/api/actors"):
            shown[path] = (await ask(system, path, headers=f"Authorization: Bearer {good}\r\n"))[1]
        shown |= {f"answer {number}": answer for number, answer in enumerate(answers)}
        shown |= _files(system.home)
        secrets = (SECRET, STREAM_TOKEN, good.rpartition(".")[2], bad.rpartition(".")[2])
        for where, text in shown.items():
            for secret in secrets:
                assert secret.encode() not in text, where


async def _use(system: System, good: str, bad: str) -> list[bytes]:
    answers = []
    for given in (good, bad, STREAM_TOKEN, SECRET):
        for path in ("/audio-stream", "/audio-stream?role=telnyx", "/call-events", "/metrics"):
            mark = "&" if "?" in path else "?"
            upgrade = path != "/metrics"
            _, body = await ask(system, f"{path}{mark}token={given}", upgrade=upgrade)
            answers.append(b"" if given is good else body)
            await ask(system, path, upgrade=upgrade, headers=f"Authorization: Bearer {given}\r\n")
            await ask(system, path, upgrade=upgrade, headers=f"X-Telnyx-Streaming-Auth-Token: {given}\r\n")
        await exchange(
            system.port, f"GET /metrics?token={given} HTTP/1.1\r\nHost: x\r\nBad Header {given}\r\n\r\n".encode()
        )
        await exchange(system.port, f"GET /{given} HTTP/9\r\n\r\n".encode())
    start = {"call_control_id": MY_CALL, "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}}
    greeting = {"event": "connected", "version": "1.0.0", "connected": {"x-telnyx-streaming-auth-token": STREAM_TOKEN}}
    async with (
        client(system, headers={"X-Telnyx-Streaming-Auth-Token": STREAM_TOKEN}) as telnyx,
        client(system, f"/audio-stream?token={good}") as listener,
    ):
        await telnyx.send(greeting)
        await telnyx.send(f"no JSON but {STREAM_TOKEN}")
        await telnyx.send({"event": "start", "stream_id": "S", "start": start})
        await listener.until(lambda: listener.of("start"))
        for given in (good, bad):
            await listener.send({"event": "auth", "token": given})
        await listener.send(f'{{"event":"media","media":"{good}"')
        await listener.until(lambda: listener.of("auth") and len(listener.of("error")) >= 2)
        answers.append(orjson.dumps(listener.texts))
    return answers


def _files(home: Path) -> dict[str, bytes]:
    """Everything that the system has written."""
    return {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}
