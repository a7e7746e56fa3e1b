"""What people can ask of a running supervisor, each as a request and its answer (plain data, ready for JSON).

An answer has `ok`; a refusal also `error`, in words. Knows no sockets and no command line.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import trio

from supervisor.crashes import utc
from supervisor.states import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from supervisor.actor import Actor, Report
    from supervisor.life import Run
    from supervisor.service import Supervisor

Request = dict[str, Any]
Answer = dict[str, Any]

SHOWN_MAX = 1000


class CommandError(Exception):
    """The request can't be carried out; the text is for the one who asked."""


async def status(supervisor: Supervisor, _: Request) -> Answer:
    """Return the state of everything, an entry for each process (or for what will be one)."""
    now = trio.current_time()
    host, port = supervisor.sockets.address
    return {
        "ok": True,
        "supervisor": {
            "pid": os.getpid(),
            "state": "STOPPING" if supervisor.stopping.is_set() else "RUNNING",
            "ready": supervisor.ready,
            "uptime_s": round(now - supervisor.started_at, 3),
            "host": host,
            "port": port,
            "run_dir": str(supervisor.run_dir.path),
        },
        "actors": [row(actor, run, now) for actor in supervisor.actors.values() for run in actor.runs],
    }


def row(actor: Actor, run: Run, now: float) -> Answer:
    """Return what there is to say of one process of an actor."""
    process = run.process
    retry_in_s = run.again_at - now if run.state in (State.BACKOFF, State.FAILED) else None
    return {
        "name": actor.spec.name,
        "index": actor.spec.index,
        "pid": None if process is None else process.pid,
        "state": run.state.value,
        "generation": run.generation,
        "restarts": actor.life.restarts,
        "crashes": actor.life.crashes,
        "in_state_s": round(now - run.since, 3),
        "uptime_s": None if process is None else round(now - process.started_at, 3),
        "adopted": process is not None and process.adopted,
        "beat_age_s": _age(process.beat_at if process else None, now),
        "progress": process.progress if process else {},
        "status": process.status if process else "",
        # Infinite (it waits to be asked) has no number in JSON.
        "retry_in_s": _age(None if retry_in_s in (None, float("inf")) else now - retry_in_s, now),
        "last_exit": None if run.last_exit is None else str(run.last_exit),
    }


def _age(at: float | None, now: float) -> float | None:
    return None if at is None else round(abs(now - at), 3)


async def restart(supervisor: Supervisor, request: Request) -> Answer:
    """Stop and start, one process after another."""
    timeout_s = _timeout(supervisor, request)
    return _answer([await actor.restart("asked for", timeout_s) for actor in _actors(supervisor, request)])


async def roll(supervisor: Supervisor, request: Request) -> Answer:
    """Replace without a gap, one process after another; the first that fails ends it."""
    timeout_s = _timeout(supervisor, request)
    actors = list(supervisor.actors.values()) if request.get("all") else _actors(supervisor, request)
    reports: list[Report] = []
    for actor in actors:
        reports.append(await actor.roll("asked for", timeout_s))
        if not reports[-1].ok:
            break
    return {**_answer(reports), "left": [each.spec.instance for each in actors[len(reports) :]]}


async def stop(supervisor: Supervisor, _: Request) -> Answer:
    """Begin to stop everything; done when the supervisor is gone."""
    supervisor.stop()
    return {"ok": True, "pid": os.getpid()}


async def explain(supervisor: Supervisor, request: Request) -> Answer:
    """Return the last transitions of an actor."""
    actors = _actors(supervisor, request)
    now = trio.current_time()
    limit = _count(request, "limit", 20)
    return {
        "ok": True,
        "actors": [
            {
                "actor": actor.spec.instance,
                "runs": [row(actor, run, now) for run in actor.runs],
                "after": list(actor.spec.after),
                "transitions": [
                    {**entry.as_json(), "time": utc(entry.at)}
                    for entry in supervisor.journal.last(actor.spec.instance, limit)
                ],
            }
            for actor in actors
        ],
    }


async def wait_ready(supervisor: Supervisor, request: Request) -> Answer:
    """Wait until every actor is READY."""
    with trio.move_on_after(_timeout(supervisor, request)):
        while not supervisor.ready:
            await supervisor.journal.change()
    if supervisor.ready:
        return {"ok": True}
    states = {name: supervisor.actors[name].current.state.value for name in supervisor.not_ready()}
    named = ", ".join(f"{name} ({state})" for name, state in states.items())
    return {"ok": False, "error": f"not ready: {named}", "not_ready": states}


async def hand_over(supervisor: Supervisor, request: Request) -> Answer:
    """Give way to a new supervisor, if whoever started this one has gone (or it is forced to)."""
    if not request.get("force") and not supervisor.orphaned():
        raise CommandError("whoever started this supervisor is still there")
    supervisor.hand_over()
    return {"ok": True, "pid": os.getpid()}


async def events(supervisor: Supervisor, request: Request) -> AsyncIterator[Answer]:
    """Give the last entries and then each new one, until the one who asked has gone."""
    with supervisor.journal.follow() as entries:
        last = _count(request, "last", 0)
        for entry in supervisor.journal.last(limit=last) if last else ():
            yield {"ok": True, **entry.as_json(), "time": utc(entry.at)}
        async for entry in entries:
            yield {"ok": True, **entry.as_json(), "time": utc(entry.at)}


COMMANDS: dict[str, Callable[[Supervisor, Request], Awaitable[Answer]]] = {
    "status": status,
    "restart": restart,
    "roll": roll,
    "stop": stop,
    "explain": explain,
    "wait-ready": wait_ready,
    "hand-over": hand_over,
}
STREAMS: dict[str, Callable[[Supervisor, Request], AsyncIterator[Answer]]] = {"events": events}


def _actors(supervisor: Supervisor, request: Request) -> list[Actor]:
    name = request.get("name")
    found = supervisor.named(name) if isinstance(name, str) else []
    if not found:
        known = ", ".join(supervisor.actors)
        raise CommandError(f"there is no actor {name!r}; there are {known}")
    return found


def _timeout(supervisor: Supervisor, request: Request) -> float:
    timeout_s = request.get("timeout_s")
    if timeout_s is None:
        return supervisor.settings.supervisor.start_timeout_s
    if not isinstance(timeout_s, int | float) or not 0 < timeout_s < 86400:
        raise CommandError(f"timeout_s = {timeout_s!r} is not a number of seconds")
    return float(timeout_s)


def _count(request: Request, key: str, default: int) -> int:
    count = request.get(key, default)
    if not isinstance(count, int) or not 0 <= count <= SHOWN_MAX:
        raise CommandError(f"{key} = {count!r} is not a number from 0 to {SHOWN_MAX}")
    return count


def _answer(reports: list[Report]) -> Answer:
    answer: Answer = {
        "ok": all(report.ok for report in reports),
        "reports": [{"actor": report.actor, "ok": report.ok, "text": report.text} for report in reports],
    }
    failed = [f"{report.actor}: {report.text}" for report in reports if not report.ok]
    return answer if not failed else {**answer, "error": "; ".join(failed)}
