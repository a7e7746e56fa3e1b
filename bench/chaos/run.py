"""Does one fault after the other to a system under load, and counts."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from bench import measure, windows
from bench.chaos import system as chaos_system
from bench.chaos.events import Events
from bench.chaos.promises import Fault, Tally, percentile
from bench.generator import Load

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from bench.chaos.system import System
    from bench.windows import Calls

EVENT_CLIENTS = 3
BEFORE_S = (0.1, 0.6)  # quiet, at random
AFTER_S = 1.0  # for what was late to arrive
RECONNECTS = 4
RECONNECT_INTERVAL_S = 1.0
CALM_S = 0.5  # between two faults


@dataclass(frozen=True)
class Scene:
    """A system, its calls, its events."""

    system: System
    calls: Calls
    events: Events
    random: Random


async def run(faults: Iterable[Fault], calls: int, random: Random, *, urgent: bool) -> list[Tally]:
    """Do all faults in order; return a tally for each different one."""
    tallies: dict[Fault, Tally] = {}
    async with chaos_system.running(urgent=urgent) as system, trio.open_nursery() as nursery:
        async with windows.calls(Load(calls), system.port, urgent=urgent) as placed:
            events = Events(system.port, EVENT_CLIENTS)
            await nursery.start(events.run)
            scene = Scene(system, placed, events, random)
            for fault in faults:
                tally = tallies.setdefault(fault, Tally(fault))
                try:
                    await _once(scene, fault, tally)
                except chaos_system.NotReadyError as error:
                    tally.failures.append(f"{error}; what was to follow was left out")
                    break
            nursery.cancel_scope.cancel()
    return list(tallies.values())


async def _once(scene: Scene, fault: Fault, tally: Tally) -> None:
    await scene.system.until_ready()
    await trio.sleep(CALM_S)
    await scene.calls.begin()
    scene.events.begin()
    await trio.sleep(scene.random.uniform(*BEFORE_S))
    began = trio.current_time()
    await _do(scene.system, fault)
    ready_s = trio.current_time() - began
    await trio.sleep(AFTER_S)
    window, events = await scene.calls.end(), await scene.events.end()
    tally.add(window, events, ready_s)
    if window.closed_telnyx or window.closed_browsers:
        await _reconnect(scene)
    measure.say(
        f"{fault.title:26} lost {window.lost:4} doubled {window.doubled:3} disordered {window.disordered:3} "
        f"closed {window.closed_telnyx}+{window.closed_browsers}+{events.closed} events lost {events.lost} "
        f"twice {events.twice} refused {events.refused} gap {percentile(window.gaps_ms, 1.0):5.0f} ms "
        f"worst {percentile(window.worst_ms, 1.0):5.0f} ms ready {ready_s:.2f} s"
    )


async def _reconnect(scene: Scene) -> None:
    """Connect those again that were disconnected: the next window begins with everybody there."""
    failed = 0
    for _ in range(RECONNECTS):
        await scene.system.until_ready()
        failed = await scene.calls.reopen()
        if not failed:
            return
        await trio.sleep(RECONNECT_INTERVAL_S)
    raise chaos_system.NotReadyError(f"{failed} could not connect again")


async def _do(system: System, fault: Fault) -> None:
    """Do it, and wait until all is well again."""
    if fault.kind == "calm":
        return
    if fault.kind == "roll":
        gone = await system.roll(fault.names[0])
    else:
        gone = await system.signal(signal.SIGSTOP if fault.kind == "hang" else signal.SIGKILL, fault.names)
    await system.until_ready(gone)
