"""One kind of hostile peers after the other, beside running calls: what the calls notice, and what is left afterwards."""

from __future__ import annotations

import os
import shutil
import statistics
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import trio

from bench import cache, measure, servers, windows
from bench.generator import Load
from bench.hostile.kinds import KINDS, REFUSED, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.hostile.kinds import Attack
    from bench.servers import Server
    from bench.windows import Calls, Window

WARM_UP = 20  # connections of each kind before anything is measured: what stays for ever is there then
CROWDS = ("slow readers", "half-open", "ping floods", "header tricks")  # and whole ones of these: allocators keep pages
CALM_S = 6.0
LAST_S = 2.0  # for the last to do harm
CALMS = 3
BACK_TIMEOUT_S = 30.0
MEMORY_BACK_S = 7.0  # what is free goes back to the kernel every five seconds
POLL_S = 0.25
LAST_LOG = "hostile.log"  # in the cache directory: what the system of the last run had to say
NICE = 10  # of the attackers: it is the server that is tried, not the scheduler


@dataclass
class Trial:
    """What one kind did.

    Attributes:
        seen: what its connections were answered, and how often; those that stayed to the end count as `stayed`.
        memory_mib, descriptors: more than before all, once its connections were gone.
        restarts: processes of the server that have died of it.
    """

    kind: str
    window: Window
    seen: Counter[str] = field(default_factory=Counter)
    memory_mib: float = 0.0
    descriptors: int = 0
    restarts: int = 0

    @property
    def lost(self) -> int:
        """Frames of the calls that did not come, or not as they should, and connections of theirs that ended."""
        window = self.window
        wrong = window.lost + window.doubled + window.disordered + window.corrupt + window.wrong
        return wrong + window.closed_telnyx + window.closed_browsers


@dataclass
class Report:
    """Of a whole run.

    Attributes:
        calm_ms: p99 without anybody hostile, the median of a few windows.
        kept_mib: what the first crowds have left with the allocators; what is said of memory begins after them.
    """

    calm_ms: float
    kept_mib: float
    trials: list[Trial]


def run(names: Sequence[str], calls: int, connections: int, per_s: float, *, urgent: bool) -> Report:
    """Try these kinds, each with so many connections, which come at that rate and stay as long as they can.

    Args:
        urgent: server and calls go before all other work.
    """
    with servers.running(servers.PATCHBAY, os.sched_getaffinity(0), urgent=urgent) as server:
        try:
            return trio.run(partial(_run, server, names, calls, connections, per_s, urgent=urgent))
        finally:
            shutil.copy(server.home / "log", cache.directory() / LAST_LOG)


async def _run(
    server: Server, names: Sequence[str], calls: int, connections: int, per_s: float, *, urgent: bool
) -> Report:
    async with windows.calls(Load(calls), server.port, server=server.pid, urgent=urgent) as placed:
        if not urgent:
            os.nice(NICE)
        target = Target(server.port, await _live(server.port))
        cold = await _quiet(placed, CALM_S)
        for name in names:
            await _window(placed, KINDS[name], target, connections if name in CROWDS else WARM_UP, per_s)
        calms = [await _quiet(placed, CALM_S) for _ in range(CALMS)]
        after = start = await _quiet(placed, POLL_S)
        calm_ms = statistics.median(window.latency_ms.p99 for window in calms)
        report = Report(calm_ms, start.pss_mib - cold.pss_mib, [])
        for name in names:
            before = _pids(after)
            window, seen = await _window(placed, KINDS[name], target, connections, per_s)
            after = await _settled(placed, start)
            trial = Trial(name, window, seen, after.pss_mib - start.pss_mib, _descriptors(after) - _descriptors(start))
            trial.restarts = len(before - _pids(after))
            report.trials.append(trial)
            measure.say(
                f"{name:22} lost {trial.lost} p99 {window.latency_ms.p99:.2f} (calm {report.calm_ms:.2f}) "
                f"{trial.memory_mib:+.1f} MiB {trial.descriptors:+} descriptors {dict(seen)} "
                f"generator late {window.lag_ms.p99:.2f} by process {_grown(start, after)}"
            )
        return report


async def _window(
    placed: Calls, attack: Attack, target: Target, connections: int, per_s: float
) -> tuple[Window, Counter[str]]:
    seen: Counter[str] = Counter()
    await placed.begin()
    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        for number in range(connections):
            await trio.sleep_until(began + number / per_s)
            nursery.start_soon(_attack, attack, target, number, seen)
        await trio.sleep(LAST_S)
        nursery.cancel_scope.cancel()
    return await placed.end(), seen


async def _attack(attack: Attack, target: Target, number: int, seen: Counter[str]) -> None:
    outcome = "stayed"
    try:
        outcome = await attack(target, number)
    except (trio.BrokenResourceError, OSError):
        outcome = REFUSED
    finally:
        seen[outcome] += 1


async def _quiet(placed: Calls, seconds: float) -> Window:
    """Nobody does anything to the calls."""
    await placed.begin()
    await trio.sleep(seconds)
    return await placed.end()


async def _settled(placed: Calls, start: Window) -> Window:
    """A quiet moment, once descriptors are back, and memory, which is given back every few seconds; or they are not."""
    deadline, memory_deadline = trio.current_time() + BACK_TIMEOUT_S, trio.current_time() + MEMORY_BACK_S
    while True:
        window, now = await _quiet(placed, POLL_S), trio.current_time()
        waits_for_memory = window.pss_mib > start.pss_mib and now < memory_deadline
        if (_descriptors(window) <= _descriptors(start) and not waits_for_memory) or now > deadline:
            return window


def _descriptors(window: Window) -> int:
    found = 0
    for process in window.processes:
        with suppress(FileNotFoundError):  # it has ended meanwhile, which `restarts` tells
            found += len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
    return found


def _grown(before: Window, after: Window) -> str:
    """MiB that each process has grown by."""
    known = {process.pid: process.pss_kb for process in before.processes}
    grown = [(process.command.split()[-1], process.pss_kb - known.get(process.pid, 0)) for process in after.processes]
    return ", ".join(f"{name} {kb / 1024:+.1f}" for name, kb in grown)


def _pids(window: Window) -> set[int]:
    return {process.pid for process in window.processes}


async def _live(port: int) -> tuple[str, ...]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/api/calls")
    return tuple(call["call_control_id"] for call in answer.json()["calls"])
