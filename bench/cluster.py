"""Two nodes: what it costs to hear a call on another node than the one into which it streams.

Calls come into the first node; the same listeners are at the first node in one run, and at the second in the next. What
a crossing frame costs is the processor time of both bridges.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import generator, machine, measure, servers
from bench.ports import reserved_port
from bench.servers import PATCHBAY, Placement
from bench.spread import Spread
from bench.tables import NONE, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.generator import Run
    from bench.servers import Server

NOT_POSSIBLE: Final = 2
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
REDIS_STARTS_S: Final = 1.0
SETTLE_S: Final = 2.0  # for the listeners' interest to reach the node of the calls


def main(arguments: Sequence[str]) -> int:
    """Carry out a command line; return the exit status: 0 done, 2 could not be done."""
    parser = argparse.ArgumentParser(prog="python -m bench cluster", description="Two nodes, side by side with one.")
    parser.add_argument("--calls", type=int, default=100, metavar="N", help="each with 2 tracks and 2 listeners (100)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often, in turn (3)")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="measured in a run (5)")
    parser.add_argument("--urgent", action="store_true", help="servers and generator go before all else (needs root)")
    options = parser.parse_args(arguments)
    if shutil.which("redis-server") is None:
        measure.say("no redis-server: apt install redis-server")
        return NOT_POSSIBLE
    if not measure.can_load():
        return NOT_POSSIBLE
    about = machine.description()
    load = generator.Load(calls=options.calls, seconds=options.seconds, settle_s=SETTLE_S)
    print("\n".join(about))
    print(table(load, options.rounds, Placement.default(urgent=options.urgent)).text())
    return 0


def table(load: generator.Load, rounds: int, placement: Placement) -> Table:
    """Measure both ways in turn, on the same nodes."""
    local: list[Run] = []
    crossing: list[Run] = []
    bridges_us: list[float] = []
    with nodes(placement) as (first, second):
        for number in range(rounds):
            local.append(generator.run(load, first, placement))
            before = bridges_cpu_s(first, second)
            crossing.append(generator.run(load, first, placement, listeners_at=second))
            bridges_us.append((bridges_cpu_s(first, second) - before) * 1e6 / crossing[-1].sent)
            measure.say(f"round {number + 1}: {bridges_us[-1]:.1f} us of both bridges a frame")
    found = Table(
        f"cluster: {load.calls} calls x 2 tracks, 2 listeners each",
        ("heard", "all right", "p50 ms", "p99 ms", "CPU us/delivered of the node of the calls", "of both bridges"),
    )
    for name, runs, spent in (("where it streams", local, []), ("on the other node", crossing, bridges_us)):
        found.rows.append(
            (
                name,
                f"{sum(run.ok for run in runs)}/{rounds}",
                _text([run.latency_ms.p50 for run in runs], 2),
                _text([run.latency_ms.p99 for run in runs], 2),
                _text([run.us_per_delivered for run in runs], 1),
                _text(spent, 1),
            )
        )
    return found


def _text(values: Sequence[float], digits: int) -> str:
    spread = Spread.of(values)
    return NONE if spread is None else spread.text(digits)


@contextmanager
def nodes(placement: Placement) -> Iterator[tuple[Server, Server]]:
    """Run two nodes and their Redis."""
    with ExitStack() as stack:
        port, first, second = (stack.enter_context(reserved_port()) for _ in range(3))
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="patchbay-redis-"))
        command = ["redis-server", "--port", str(port), "--save", "", "--dir", home]
        redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        stack.callback(redis.kill)
        time.sleep(REDIS_STARTS_S)
        started = [
            stack.enter_context(
                servers.running(
                    PATCHBAY,
                    placement.server,
                    urgent=placement.urgent,
                    PATCHBAY_CLUSTER__REDIS_URL=f"redis://127.0.0.1:{port}/0",
                    PATCHBAY_CLUSTER__ADVERTISE=f"127.0.0.{number}:{reserved}",
                )
            )
            for number, reserved in ((2, first), (3, second))
        ]
        yield started[0], started[1]


def bridges_cpu_s(*nodes_: Server) -> float:
    """Return the processor time of the bridges of these nodes so far."""
    return sum(_cpu_s(pid) for node in nodes_ for pid in _children(node.pid) if b"bridge" in _command(pid))


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in text.split()]


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S
