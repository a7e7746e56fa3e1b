"""The console as a whole, on a fake bus, a fake gateway and a supervisor's real control socket."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.console import supervisor_client
from actors.console.actor import run
from actors.console.supervisor_client import SupervisorControl
from tests.fakes.gateway import FakeProcess
from tests.fakes.gateway import serving as fake_serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

NAMES = ("gateway", "ingest", "fanout", "call_events", "console")


def serving(run_dir: Path) -> AbstractAsyncContextManager[FakeProcess]:
    return fake_serving(run, "console", PATCHBAY_RUN_DIR=str(run_dir))


def status(**states: str) -> dict[str, Any]:
    actors = [
        {"name": name, "index": 0, "state": states.get(name, "READY"), "generation": 1, "restarts": 0} for name in NAMES
    ]
    return {"ok": True, "supervisor": {"pid": 1}, "actors": actors}


@asynccontextmanager
async def supervisor(run_dir: Path, answer: bytes) -> AsyncIterator[list[bytes]]:
    """A control socket that gives one answer to everything, and what it was asked."""
    asked: list[bytes] = []
    sock = trio.socket.socket(trio.socket.AF_UNIX)
    await sock.bind(str(run_dir / "control.sock"))
    sock.listen()

    async def serve(stream: trio.SocketStream) -> None:
        asked.append(await stream.receive_some())
        await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [trio.SocketListener(sock)])
        yield asked
        nursery.cancel_scope.cancel()


async def ask(
    process: FakeProcess,
    path: str,
    method: str = "GET",
    *,
    headers: str = "",
    body: str = "",
    host: str = "x",
    **about: Any,
) -> tuple[int, str, bytes]:
    """Status, head and body of an answer."""
    stream = process.gateway.connect(**about)
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{length}{headers}\r\n"
    await stream.send_all(f"{head}{body}".encode())
    answer = b""
    while data := await stream.receive_some():
        answer += data
    top, _, content = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]), top.decode().lower(), content


async def test_health_says_ok_whatever_the_others_do(tmp_path: Path) -> None:
    async with serving(tmp_path) as process:
        assert (await ask(process, "/healthz"))[::2] == (200, b"ok\n")
        assert (await ask(process, "/healthz", "HEAD"))[::2] == (200, b"")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (orjson.dumps(status()) + b"\n", (200, b"ready\n")),
        (orjson.dumps(status(ingest="BACKOFF", gateway="STARTING")) + b"\n", (503, b"not ready: gateway ingest\n")),
        (b'{"ok":false,"error":"x"}\n', (503, b"not ready: supervisor\n")),
        (b"rubbish\n", (503, b"not ready: supervisor\n")),
        (b"", (503, b"not ready: supervisor\n")),
    ],
)
async def test_readiness_is_the_supervisors(tmp_path: Path, answer: bytes, expected: tuple[int, bytes]) -> None:
    async with supervisor(tmp_path, answer) as asked, serving(tmp_path) as process:
        assert (await ask(process, "/readyz"))[::2] == expected
        assert asked == [b'{"command":"status"}\n']


async def test_without_a_supervisor_nothing_is_ready_and_no_actor_is_known(tmp_path: Path) -> None:
    for run_dir in (tmp_path, tmp_path / "not" / "there"):
        async with serving(run_dir) as process:
            assert (await ask(process, "/readyz"))[::2] == (503, b"not ready: supervisor\n")
            assert (await ask(process, "/api/actors"))[0] == 503


async def test_a_supervisor_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    sock = trio.socket.socket(trio.socket.AF_UNIX)
    await sock.bind(str(tmp_path / "control.sock"))
    sock.listen()
    source = SupervisorControl(str(tmp_path))
    assert await source.status() is None
    assert trio.current_time() >= supervisor_client.TIMEOUT_S
    sock.close()


async def test_those_who_ask_at_once_share_an_answer(tmp_path: Path) -> None:
    async with supervisor(tmp_path, orjson.dumps(status()) + b"\n") as asked:
        source = SupervisorControl(str(tmp_path))
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(source.status)
        assert len(asked) == 1


async def test_actors_are_as_the_status_says(tmp_path: Path) -> None:
    async with supervisor(tmp_path, orjson.dumps(status()) + b"\n"), serving(tmp_path) as process:
        code, head, body = await ask(process, "/api/actors")
        assert code == 200
        assert "content-type: application/json" in head
        found = orjson.loads(body)
        assert set(found) == {"supervisor", "actors"}
        assert [actor["name"] for actor in found["actors"]] == list(NAMES)


async def test_actors_with_the_memory_of_their_processes(tmp_path: Path) -> None:
    told = status()
    told["actors"][0]["pid"] = os.getpid()
    told["actors"][1]["pid"] = 2**22 + 1  # there is none
    async with supervisor(tmp_path, orjson.dumps(told) + b"\n"), serving(tmp_path) as process:
        found = orjson.loads((await ask(process, "/api/actors"))[2])["actors"]
        assert found[0]["memory_bytes"] > 1_000_000
        assert found[1]["memory_bytes"] is None
        assert found[2]["memory_bytes"] is None


async def test_an_actor_is_rolled(tmp_path: Path) -> None:
    mine = "X-Patchbay-Request: console\r\nContent-Type: application/json\r\n"
    async with supervisor(tmp_path, b'{"ok":true,"reports":[]}\n') as asked, serving(tmp_path) as process:
        for path in ("/api/actors/fanout/roll", "/actors/fanout.0/restart"):
            code, _, body = await ask(process, path, "POST", headers=mine, body="{}", host="localhost")
            assert (code, orjson.loads(body)) == (200, {"done": True, "reports": []})
        assert (await ask(process, "/api/actors/fanout/roll"))[0] == 405
        assert [orjson.loads(line) for line in asked] == [
            {"command": "roll", "name": "fanout"},
            {"command": "restart", "name": "fanout.0"},
        ]


async def test_a_session_is_told_and_forgotten(tmp_path: Path) -> None:
    async with serving(tmp_path) as process:
        claims = {"sub": "ann", "exp": 5, "calls": "*", "can": ["admin"]}
        code, _, body = await ask(process, "/api/session", claims=claims)
        assert (code, orjson.loads(body)["sub"]) == (200, "ann")
        assert (await ask(process, "/api/session", "DELETE", claims=claims))[0] == 403
        mine = "X-Patchbay-Request: console\r\n"
        code, head, _ = await ask(process, "/api/session", "DELETE", headers=mine, claims=claims)
        assert code == 204
        assert "set-cookie: patchbay_token=; path=/; max-age=0" in head


async def test_calls_come_from_the_bus(tmp_path: Path) -> None:
    call = {
        "call_control_id": "v3:<script>alert(1)</script>",
        "stream_id": "s",
        "from": "+1",
        "to": "+2",
        "codec": "PCMU",
        "sample_rate": 8000,
        "started_at": "2026-01-01T00:00:00.000Z",
        "frames": {"inbound": 5, "outbound": 0},
        "gaps": 1,
    }
    async with serving(tmp_path) as process:
        assert orjson.loads((await ask(process, "/api/calls"))[2]) == {"calls": []}
        said = {"from": "ingest.0", "epoch": 1, "calls": [call], "counters": {"frames": 5}}
        process.bus.sockets["ingest.pub"].arrive(b"srubbish", b"s" + orjson.dumps(said))
        heard = {"from": "fanout.0", "epoch": 1, "listeners": {call["call_control_id"]: 2}, "unbound_listeners": 0}
        process.bus.sockets["fanout.pub"].arrive(b"s" + orjson.dumps(heard))
        await wait_all_tasks_blocked()
        for path in ("/api/calls", "/calls", "/api/api/calls"):
            assert orjson.loads((await ask(process, path))[2]) == {"calls": [{**call, "listeners": 2, "playout": []}]}
        name = call["call_control_id"]
        for query, found in ((f"call={name}", 1), (f"callControlId[]=x&call_id={name}", 1), ("call_id=x", 0)):
            assert len(orjson.loads((await ask(process, f"/api/calls?{query}"))[2])["calls"]) == found
        for query in ("call=", "CallSid=x", "stream_id=s", "call_id=undefined"):
            for path in ("/api/calls", "/api/api/calls"):
                assert (await ask(process, f"{path}?{query}"))[0] == 400
        code, head, body = await ask(process, "/metrics")
        assert code == 200
        assert "content-type: text/plain; version=0.0.4" in head
        assert b'patchbay_ingest_frames_total{process="ingest.0"} 5\n' in body


async def test_paths_and_methods_that_are_not_there(tmp_path: Path) -> None:
    async with serving(tmp_path) as process:
        assert (await ask(process, "/nothing"))[::2] == (404, b"Not Found\n")
        assert (await ask(process, "/%2e%2e/%2e%2e/etc/passwd"))[0] == 404
        assert (await ask(process, "/../pyproject.toml"))[0] == 404
        code, head, _ = await ask(process, "/api/calls", "POST")
        assert code == 405
        assert "allow: get, head" in head
        assert (await ask(process, "/", "DELETE"))[0] == 405


async def test_the_page_is_there(tmp_path: Path) -> None:
    async with serving(tmp_path) as process:
        code, head, body = await ask(process, "/")
        assert code == 200
        assert "content-type: text/html; charset=utf-8" in head
        assert "content-security-policy: default-src 'none'; script-src 'self'" in head
        assert b"python -m simulator" in body
        assert (await ask(process, "/", "HEAD"))[2] == b""


async def test_with_authentication_on_calls_are_for_admins(tmp_path: Path) -> None:
    async with serving(tmp_path) as process:
        for path in ("/api/calls", "/api/actors", "/metrics"):
            for claims in ({}, {"can": "admin"}, {"can": ["listen"]}):
                assert (await ask(process, path, claims=claims))[0] == 403
        assert (await ask(process, "/api/calls", claims={"can": ["admin"]}))[0] == 200
        assert (await ask(process, "/healthz", claims={}))[0] == 200


async def test_it_drains(tmp_path: Path) -> None:
    async with serving(tmp_path) as process:
        stream = process.gateway.connect()
        await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await stream.receive_some()
        handed = next(iter(process.gateway.connections.values()))
        process.context.draining.set()
        await process.gateway.wait_empty()
        assert handed.is_transferred
