"""Minutes under load, with short calls coming and going: memory, descriptors and latency must stay what they are."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from bench import measure, servers, windows
from bench.churn import Churn
from bench.generator import Load
from bench.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.servers import Peer, Placement
    from bench.windows import Calls, Window

CALLS = 50
WINDOWS = 20
ROWS = 5
GROWTH_MAX = 0.03  # of memory, from the second quarter to the last: allocators need time to find their level


@dataclass(frozen=True)
class Moment:
    """The state at the end of a window."""

    minute: float
    window: Window
    descriptors: int


def table(peer: Peer, minutes: float, placement: Placement) -> Table:
    """Soak a server and say what became of it."""
    with servers.running(peer, placement.server, urgent=placement.urgent) as server:
        moments, churn = trio.run(_soak, server.pid, server.port, minutes, placement)
    result = Table(
        f"soak: {peer.name}, {minutes:.0f} min, {CALLS} calls x 2 tracks x 2 listeners and {churn.calls} short calls",
        ("minute", "frames", "lost", "CPU us/delivered", "p50 ms", "p99 ms", "memory MiB", "descriptors"),
    )
    step = max(len(moments) // ROWS, 1)
    result.rows = [_row(moment) for moment in moments[step - 1 :: step]]
    result.notes = _verdict(moments, churn)
    return result


def growth(values: Sequence[float]) -> float:
    """How much the last quarter is above the second, as a part of it. Pure."""
    quarter = max(len(values) // 4, 1)
    before = statistics.median(values[quarter : 2 * quarter] or values)
    return statistics.median(values[-quarter:]) / before - 1


async def _soak(pid: int, port: int, minutes: float, placement: Placement) -> tuple[list[Moment], Churn]:
    moments: list[Moment] = []
    churn = Churn(port)
    load = windows.calls(Load(CALLS), port, server=pid, core=placement.generator, urgent=placement.urgent)
    async with load as placed, trio.open_nursery() as nursery:
        nursery.start_soon(churn.run)
        began = trio.current_time()
        for _ in range(WINDOWS):
            window = await _window(placed, minutes * 60 / WINDOWS)
            moments.append(Moment((trio.current_time() - began) / 60, window, _descriptors(window)))
            measure.say("soak               " + "  ".join(_row(moments[-1])))
        nursery.cancel_scope.cancel()
    return moments, churn


async def _window(placed: Calls, seconds: float) -> Window:
    await placed.begin()
    await trio.sleep(seconds)
    return await placed.end()


def _descriptors(window: Window) -> int:
    return sum(len(list(Path(f"/proc/{process.pid}/fd").iterdir())) for process in window.processes)


def _row(moment: Moment) -> tuple[str, ...]:
    window = moment.window
    return (
        f"{moment.minute:.1f}",
        str(window.received),
        str(window.lost + window.doubled + window.disordered + window.corrupt + window.wrong),
        f"{window.server_cpu_s * 1e6 / max(window.received, 1):.1f}",
        f"{window.latency_ms.p50:.2f}",
        f"{window.latency_ms.p99:.2f}",
        f"{window.pss_mib:.1f}",
        str(moment.descriptors),
    )


def _verdict(moments: list[Moment], churn: Churn) -> list[str]:
    memory = growth([moment.window.pss_mib for moment in moments])
    descriptors = growth([float(moment.descriptors) for moment in moments])
    lost = sum(moment.window.lost for moment in moments)
    state = "flat" if memory <= GROWTH_MAX and descriptors <= GROWTH_MAX else "GROWING"
    return [
        f"Memory {state}: {memory:+.1%} from the second quarter to the last, descriptors {descriptors:+.1%}.",
        f"MiB of each process, from the end of the second quarter to the last: {', '.join(_by_process(moments))}.",
        f"{lost} frames lost; {churn.failures} of {churn.calls} short calls failed.",
    ]


def _by_process(moments: list[Moment]) -> list[str]:
    before = {process.pid: process.pss_kb for process in moments[len(moments) // 2 - 1].window.processes}
    return [
        f"{process.command.split()[-1]} {before.get(process.pid, 0) / 1024:.1f} to {process.pss_kb / 1024:.1f}"
        for process in moments[-1].window.processes
    ]
