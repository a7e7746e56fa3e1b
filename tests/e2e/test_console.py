"""What people and probes see: health, readiness, the live calls, the page, metrics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from simulator.codecs import PCMA
from tests.e2e.calls import FROM, TO, call, new_call_id, recording
from tests.e2e.clients import listener
from tests.e2e.http_client import exchange, fetch
from tests.e2e.system import ACTORS, eventually

if TYPE_CHECKING:
    from tests.e2e.system import System

pytestmark = pytest.mark.slow


async def test_health_and_readiness(patchbay: System) -> None:
    """One line each."""
    assert await patchbay.get("/healthz") == (200, b"ok\n")
    assert await patchbay.get("/readyz") == (200, b"ready\n")


async def test_the_live_calls(quiet: System) -> None:
    """With ids, numbers, codec, start, listeners, frames and gaps; gone when the call is."""
    call_id, clip = new_call_id(), recording(PCMA)
    tracks = {"inbound": clip, "outbound": clip}
    async with (
        listener(quiet, call_id) as browser,
        listener(quiet, call_id, track="both"),
        call(quiet, call_id, codec=PCMA, tracks=tracks) as running,
    ):
        await browser.until(lambda: len(browser.audio) >= 25)
        told = await eventually(lambda: _counted(quiet, call_id))
        assert told["stream_id"] == running.identity.stream_id
        assert told["call_session_id"] == running.identity.call_session_id
        assert (told["from"], told["to"]) == (FROM, TO)
        assert (told["codec"], told["sample_rate"], told["channels"]) == ("PCMA", 8000, 1)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["started_at"])
        assert told["listeners"] == 2
        assert told["frames"]["inbound"] >= 25
        assert told["frames"]["outbound"] >= 25
        assert (told["gaps"], told["duplicates"]) == (0, 0)
        running.stop()
        await browser.until_stop()
        await quiet.until_no_call()


async def _counted(system: System, call_id: str) -> dict[str, Any]:
    """What is told of a call, once it is heard of by both who tell."""
    told: dict[str, Any] = (await system.calls()).get(call_id, {})
    return told if told and told["listeners"] and told["frames"]["inbound"] >= 25 <= told["frames"]["outbound"] else {}


async def test_the_calls_as_json(patchbay: System) -> None:
    """An object with a list, in both spellings of the path."""
    for path in ("/api/calls", "/calls"):
        status, body = await patchbay.get(path)
        assert status == 200
        assert isinstance(orjson.loads(body)["calls"], list)


async def test_the_page(patchbay: System) -> None:
    """Is there, with what it needs, and lets nothing in from elsewhere."""
    answer = await exchange(patchbay.port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: text/html" in head.lower()
    assert b"content-security-policy: default-src 'none'" in head.lower()
    assert b"Patchbay" in body
    for name in re.findall(rb'(?:src|href)="([^":]+)"', body):
        if not name.endswith((b"calls", b"readyz")):
            assert (await patchbay.get(f"/{name.decode()}"))[0] == 200, name


async def test_the_actors(patchbay: System) -> None:
    """As `status --json` tells them."""
    told = await patchbay.json("/api/actors")
    assert {entry["name"] for entry in told["actors"]} == set(ACTORS)
    assert {entry["state"] for entry in told["actors"]} == {"READY"}
    status = orjson.loads(await patchbay.command("status", "--json"))
    assert status["supervisor"]["pid"] == told["supervisor"]["pid"]
    assert set(status["actors"][0]) >= {"name", "index", "pid", "state", "generation", "restarts"}


async def test_the_actors_memory(patchbay: System) -> None:
    """What each has to itself: some MiB of Python."""
    told = await patchbay.json("/api/actors")
    assert all(5e6 < entry["memory_bytes"] < 2e8 for entry in told["actors"])


async def act(system: System, name: str, action: str, **headers: str) -> tuple[int, bytes]:
    """As the page does it."""
    ours = {"Content-Type": "application/json", "X-Patchbay-Request": "console", **headers}
    lines = "".join(f"{key}: {value}\r\n" for key, value in ours.items())
    path = f"/api/actors/{name}/{action}"
    return await fetch(system.port, path, method="POST", headers=lines, body=b"{}")


async def test_an_actor_is_rolled_over_http(patchbay: System) -> None:
    """The answer comes when the new process is ready."""
    before = await patchbay.actor("call_events")
    status, body = await act(patchbay, "call_events", "roll")
    assert status == 200
    assert orjson.loads(body)["reports"][0]["actor"] == "call_events.0"
    after = await patchbay.actor("call_events")
    assert after["generation"] == before["generation"] + 1
    assert after["pid"] != before["pid"]


async def test_the_console_is_restarted_over_http(patchbay: System) -> None:
    """It says so before it goes, and is there again."""
    before = await patchbay.actor("console")
    status, body = await act(patchbay, "console", "restart")
    assert (status, orjson.loads(body)) == (202, {"done": False})

    async def is_another() -> bool:
        return bool((await patchbay.actor("console"))["pid"] not in (None, before["pid"]))

    await eventually(is_another)
    await patchbay.until_ready()


async def test_what_is_not_done_over_http(patchbay: System) -> None:
    """An actor that is not there, another page's request, something else than restart and roll."""
    before = [entry["pid"] for entry in await patchbay.actors()]
    status, body = await act(patchbay, "nobody", "restart")
    assert (status, b"there is no actor 'nobody'" in body) == (404, True)
    assert (await act(patchbay, "fanout", "restart", Origin="https://evil.example"))[0] == 403
    assert (await act(patchbay, "fanout", "restart", **{"Sec-Fetch-Site": "cross-site"}))[0] == 403
    assert (await act(patchbay, "fanout", "restart", **{"X-Patchbay-Request": "no"}))[0] == 403
    assert (await act(patchbay, "fanout", "stop"))[0] == 404
    assert (await patchbay.get("/api/actors/fanout/restart"))[0] == 405
    assert [entry["pid"] for entry in await patchbay.actors()] == before


async def test_the_session(patchbay: System) -> None:
    """With authentication off everybody may do everything."""
    told = await patchbay.json("/api/session")
    assert (told["authentication"], told["can"]) == (False, ["listen", "talk", "events", "admin"])


async def test_status_for_people(patchbay: System) -> None:
    """A table with every actor."""
    table = await patchbay.command("status")
    assert all(re.search(rf"^{name}\.0 +READY +\d+", table, re.MULTILINE) for name in ACTORS)


async def test_metrics(quiet: System) -> None:
    """In the form of Prometheus, and they count."""
    async with call(quiet) as running:
        await quiet.until_live(running.identity.call_control_id)
        status, body = await quiet.get("/metrics")
        assert status == 200
        lines = body.decode().splitlines()
        assert "patchbay_calls 1" in lines
        assert 'patchbay_actor_ready{process="ingest.0"} 1' in lines
        assert all(re.fullmatch(r"(# (HELP|TYPE) .+|[a-z_:0-9]+(\{[^}]*\})? -?[0-9.e+]+)", line) for line in lines)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_other_methods(patchbay: System, method: str) -> None:
    """405."""
    for path in ("/healthz", "/api/calls", "/"):
        assert (await fetch(patchbay.port, path, method=method))[0] == 405


async def test_head(patchbay: System) -> None:
    """Is GET without a body."""
    answer = await exchange(patchbay.port, b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n")
