"""What people can ask of a running supervisor, each as a request and its answer (plain data, ready for JSON).

An answer has `ok`; a refusal also `error`, in words. Knows no sockets and no command line.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import trio

from patchbay.protocol.times import utc
from supervisor.actors.actor import Report
from supervisor.actors.states import State
from supervisor.commands import chaos
from supervisor.configuration.reconfigure import reconfigure
from supervisor.takeover import upgrade

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from supervisor.actors.actor import Actor
    from supervisor.actors.life import Run
    from supervisor.service import Supervisor

Request = dict[str, Any]
Answer = dict[str, Any]

SHOWN_MAX = 1000
SLOW_S = 10.0
SLOW_MAX_S = 600.0


@dataclass(frozen=True)
class Last:
    """An answer after which nobody may be there to give another: it is sent, and then comes the effect."""

    answer: Answer
    then: Callable[[], None]


class CommandError(Exception):
    """The request can't be carried out; the text is for the one who asked."""


async def status(supervisor: Supervisor, _: Request) -> Answer:
    """Return the state of everything, an entry for each process (or for what will be one)."""
    now = trio.current_time()
    host, port = supervisor.handles.sockets.address
    return {
        "ok": True,
        "supervisor": {
            "pid": os.getpid(),
            "state": "STOPPING" if supervisor.stopping.is_set() else "RUNNING",
            "ready": supervisor.ready,
            "uptime_s": round(now - supervisor.started_at, 3),
            "host": host,
            "port": port,
            "run_dir": str(supervisor.handles.run_dir.path),
            "replaced": supervisor.replaced,
            "spares": len(supervisor.launcher.spares),
            "events_missed": supervisor.history.missed_by_followers,
            "configuration": _configuration(supervisor),
        },
        "actors": [row(actor, run, now) for actor in supervisor.actors.values() for run in actor.runs],
    }


def _configuration(supervisor: Supervisor) -> Answer:
    """Return since when the settings are those that run, and why the configuration as it is now is not what runs."""
    refused = supervisor.refused
    told = None if refused is None else {"at": utc(refused.at), "why": refused.why}
    return {"accepted_at": utc(supervisor.accepted.at), "refused": told}


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


async def replace(supervisor: Supervisor, _: Request) -> Last:
    """Replace the supervisor's own program, once the new one has shown that it starts."""
    try:
        await upgrade.check()
        upgrade.refuse_if_busy(supervisor)
    except upgrade.UpgradeError as error:
        raise CommandError(str(error)) from error
    return Last({"ok": True, "replaced": supervisor.replaced}, supervisor.replace)


async def stop(supervisor: Supervisor, _: Request) -> Last:
    """Begin to stop everything; done when the supervisor is gone."""
    return Last({"ok": True, "pid": os.getpid()}, supervisor.stop)


async def reload(supervisor: Supervisor, _: Request) -> Answer:
    """Read the configuration again and apply what has changed."""
    return _answer(await reconfigure(supervisor))


async def do_harm(supervisor: Supervisor, request: Request) -> Answer:
    """Kill, stop or slow down the processes of an actor."""
    way, seconds = request.get("way"), request.get("seconds", SLOW_S)
    if way not in ("kill", "stop", "slow"):
        raise CommandError(f"chaos {way!r}: there are kill, stop and slow")
    if not isinstance(seconds, int | float) or not 0 < seconds <= SLOW_MAX_S:
        raise CommandError(f"seconds = {seconds!r} is not a number from 0 to {SLOW_MAX_S:g}")
    reports = []
    for actor in _actors(supervisor, request):
        for process in actor.processes:
            supervisor.history.record(actor.spec.instance, f"chaos: {way}", pid=process.pid)
            if way == "slow":
                supervisor.begin(chaos.slow, process, seconds)
                text = f"slowed pid {process.pid} down for {seconds:g} s"
            else:
                text = chaos.kill(process) if way == "kill" else chaos.stop(process)
            reports.append(Report(actor.spec.instance, ok=True, text=text))
    return _answer(reports)


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
                    for entry in supervisor.history.last(actor.spec.instance, limit)
                ],
            }
            for actor in actors
        ],
    }


async def wait_ready(supervisor: Supervisor, request: Request) -> Answer:
    """Wait until every actor is READY."""
    with trio.move_on_after(_timeout(supervisor, request)):
        while not supervisor.ready:
            await supervisor.history.change()
    if supervisor.ready:
        return {"ok": True}
    states = {name: supervisor.actors[name].current.state.value for name in supervisor.not_ready()}
    named = ", ".join(f"{name} ({state})" for name, state in states.items())
    return {"ok": False, "error": f"not ready: {named}", "not_ready": states}


async def hand_over(supervisor: Supervisor, request: Request) -> Last:
    """Give way to a new supervisor, if whoever started this one has gone (or it is forced to)."""
    if not request.get("force") and not supervisor.orphaned():
        raise CommandError("whoever started this supervisor is still there")
    return Last({"ok": True, "pid": os.getpid()}, supervisor.hand_over)


async def events(supervisor: Supervisor, request: Request) -> AsyncIterator[Answer]:
    """Give the last entries and then each new one, until the one who asked has gone."""
    with supervisor.history.follow() as entries:
        last = _count(request, "last", 0)
        for entry in supervisor.history.last(limit=last) if last else ():
            yield {"ok": True, **entry.as_json(), "time": utc(entry.at)}
        async for entry in entries:
            yield {"ok": True, **entry.as_json(), "time": utc(entry.at)}


COMMANDS: dict[str, Callable[[Supervisor, Request], Awaitable[Answer | Last]]] = {
    "status": status,
    "restart": restart,
    "roll": roll,
    "replace": replace,
    "stop": stop,
    "reload": reload,
    "chaos": do_harm,
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
