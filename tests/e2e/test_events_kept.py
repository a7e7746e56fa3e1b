"""Call events over crashes, rolls and damage: what was answered 200 is kept and reaches everybody once."""

from __future__ import annotations

import os
import resource
import sqlite3
from contextlib import closing
from random import Random
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import trio

from bench.ports import reserved_port
from simulator.deliveries import Delivery, DeliveryBook
from simulator.rest import serve_api
from tests.e2e.calls import call, new_call_id
from tests.e2e.clients import client, listener
from tests.e2e.event_storm import SETTINGS, Storm, check, new_listeners, pid_of, storm
from tests.e2e.event_wire import PUBLIC_KEY, Poster, webhook
from tests.e2e.system import System, eventually, running_system

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.clients import Client

pytestmark = pytest.mark.slow
LARGE = "x" * 200_000
FULL_AT_BYTES = 8 * 1024 * 1024  # of one file; the log, which is one too, stays below


@pytest.fixture(scope="module")
def signed() -> Iterator[System]:
    """A system that wants signatures and has patience with crashes."""
    with running_system(TELNYX__PUBLIC_KEY=PUBLIC_KEY, **SETTINGS) as system:
        yield system


def kept(system: System) -> list[str]:
    """The ids in the journal."""
    with closing(sqlite3.connect(f"file:{journal_of(system)}?mode=ro", uri=True)) as journal:
        return [row[0] for row in journal.execute("SELECT id FROM events ORDER BY offset")]


def journal_of(system: System) -> Path:
    return system.home / "data" / "journal.sqlite3"


async def post(system: System, request: bytes) -> int:
    poster = Poster(system.port)
    status = await poster.post(request)
    await poster.aclose()
    return status


async def until_heard(connected: Client, event_id: str) -> dict[str, Any]:
    """Wait for an event."""
    await connected.until(lambda: any(event.get("id") == event_id for event in connected.events))
    return next(event for event in connected.events if event.get("id") == event_id)


async def test_a_small_storm(signed: System) -> None:
    """SIGKILLs at random moments; the long form is `python -m tests.e2e.event_storm`."""
    work, listeners = Storm(1500, Random(5)), new_listeners(2)
    await storm(signed, work, listeners, kill_every_s=0.8)
    assert work.kills
    assert len(work.answered) == 1500
    assert check(signed, work, listeners) == []


async def test_what_is_not_telnyxs(signed: System) -> None:
    """Is refused, and is not in the journal."""
    good = webhook(900_001)
    head, _, body = good.partition(b"\r\n\r\n")
    answers = [
        await post(signed, good.replace(b'"attempt":1', b'"attempt":2')),
        await post(signed, good[:-10] + b" " * 10),
        await post(
            signed, b"\r\n".join(line for line in head.split(b"\r\n") if b"Telnyx-" not in line) + b"\r\n\r\n" + body
        ),
        await post(signed, good.replace(b"Telnyx-Timestamp: ", b"Telnyx-Timestamp: 1")),
    ]
    assert answers == [401] * 4
    assert await post(signed, good.replace(b"POST ", b"GET ")) == 405
    assert "storm-900001" not in kept(signed)
    assert await post(signed, good) == 200
    assert kept(signed).count("storm-900001") == 1
    assert await post(signed, good) == 200
    assert kept(signed).count("storm-900001") == 1


async def test_a_roll_loses_and_repeats_nothing(signed: System) -> None:
    """Also for a client that is far behind at that moment."""
    async with client(signed, "/call-events") as quick, client(signed, "/call-events", reads=False) as slow:
        await quick.until(lambda: quick.of("welcome"))
        numbers = range(910_000, 910_300)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(signed.command, "roll", "call_events")
            for number in numbers:
                await eventually(lambda number=number: _is_taken(signed, number))  # type: ignore[misc]
            nursery.start_soon(signed.command, "roll", "call_events")
        nursery.cancel_scope.cancel()
        wanted = [f"storm-{number}" for number in numbers]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(slow.read)
            for each in (quick, slow):
                await until_heard(each, wanted[-1])
                assert [event["id"] for event in each.events if event.get("id") in set(wanted)] == wanted
                assert len(each.of("welcome")) == 1
            nursery.cancel_scope.cancel()


async def _is_taken(system: System, number: int) -> bool:
    return await post(system, webhook(number)) == 200


async def test_the_journals_file_is_deleted(signed: System) -> None:
    """It is written anew before the next webhook is answered, with all that was in it."""
    assert await post(signed, webhook(920_001)) == 200
    for path in journal_of(signed).parent.glob("journal.sqlite3*"):
        path.unlink()
    assert await post(signed, webhook(920_002)) == 200
    assert kept(signed)[-2:] == ["storm-920001", "storm-920002"]
    assert "written again, nothing is lost" in signed.log()


async def test_the_journals_file_is_cut(signed: System) -> None:
    """It is set aside and a new one begun; who listens goes on, with another epoch."""
    async with client(signed, "/call-events?snapshot=1") as browser:
        await browser.until(lambda: browser.of("snapshot"))
        os.truncate(journal_of(signed), 1000)
        assert await post(signed, webhook(930_001)) == 200
        event = await until_heard(browser, "storm-930001")
        assert event["epoch"] != browser.of("snapshot")[0]["epoch"]
        assert "a new one is begun" in signed.log()
        os.kill(await pid_of(signed, "call_events") or 0, 9)
        await eventually(lambda: _is_taken(signed, 930_002))
        await until_heard(browser, "storm-930002")
        assert len([event for event in browser.events if event.get("id") == "storm-930001"]) == 1


async def test_the_disk_is_full(signed: System) -> None:
    """503 when there is no room left, and once there is, the same webhook is taken."""
    pid = await pid_of(signed, "call_events") or 0
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (FULL_AT_BYTES, before[1]))
    try:
        refused = await _first_refused(signed)
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    assert "webhooks are answered 503" in signed.log()
    assert await post(signed, webhook(refused, LARGE)) == 200
    assert kept(signed).count(f"storm-{refused}") == 1


async def _first_refused(system: System) -> int:
    for number in range(940_000, 940_100):
        if (status := await post(system, webhook(number, LARGE))) != 200:
            assert status == 503
            return number
    raise AssertionError("there was room for everything")


async def test_the_journal_is_locked(signed: System) -> None:
    """503, and everything again once it is not."""
    with closing(sqlite3.connect(journal_of(signed), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await post(signed, webhook(950_001)) == 503
        other.execute("ROLLBACK")
    await eventually(lambda: _is_taken(signed, 950_001))


async def test_a_restart_is_an_event(signed: System) -> None:
    async with client(signed, "/call-events?type=actor.*") as browser:
        await browser.until(lambda: browser.of("welcome"))
        await signed.command("restart", "console")
        await browser.until(
            lambda: [each for each in browser.of("actor.restarted") if "console" in each["payload"]["actor"]]
        )


async def test_who_heard_and_who_spoke_is_told(patchbay: System) -> None:
    """The audit: a listener joins, takes the floor, releases it, leaves."""
    call_id = new_call_id()
    async with client(patchbay, f"/call-events?call_id={call_id.replace(':', '%3A')}") as audit:
        await audit.until(lambda: audit.of("welcome"))
        async with call(patchbay, call_id) as running:
            async with listener(patchbay, call_id) as talker:
                await talker.until(lambda: talker.of("start"))
                await audit.until(lambda: audit.of("listener.joined"))
                while not audit.of("floor.taken"):
                    await talker.send(bytes(640))
                    await trio.sleep(0.02)
            await audit.until(lambda: audit.of("listener.left") and audit.of("floor.released"))
            payloads = [audit.of(kind)[0]["payload"] for kind in ("listener.joined", "floor.taken", "listener.left")]
            assert len({payload["connection"] for payload in payloads}) == 1
            assert payloads[0]["call_control_id"] == running.identity.call_control_id


async def test_what_was_missed_is_fetched() -> None:
    """After a time without us, from Telnyx's list of deliveries (the simulator's)."""
    book = DeliveryBook()
    with reserved_port() as port:
        settings = {"TELNYX__API_KEY": "k", "TELNYX__API_URL": f"http://127.0.0.1:{port}/v2"}
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: serve_api(book, port=port, api_key="k", task_status=task_status))
            starting = running_system(**settings, **SETTINGS)
            system = await trio.to_thread.run_sync(starting.__enter__)
            try:
                assert await post(system, webhook(1)) == 200
                book.add(_missed("storm-2"))
                book.add(_missed("storm-1"))
                os.kill(await pid_of(system, "call_events") or 0, 9)
                await eventually(lambda: _has(system, "storm-2"))
                assert [name for name in kept(system) if name.startswith("storm-")] == ["storm-1", "storm-2"]
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(starting.__exit__, None, None, None)
            nursery.cancel_scope.cancel()


def _missed(name: str) -> Delivery:
    from datetime import UTC, datetime

    data = {"record_type": "event", "event_type": "call.hangup", "id": name, "payload": {"call_control_id": "v3:x"}}
    return Delivery(data, "http://x/", [(datetime.now(UTC), datetime.now(UTC), 503)])


async def _has(system: System, name: str) -> bool:
    try:
        status, body = await system.get("/api/events?limit=1000")
    except ConnectionError:
        return False  # it is being killed
    return status == 200 and name in [event["id"] for event in orjson.loads(body)["events"]]
