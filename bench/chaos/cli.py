"""The command line: `python -m bench chaos`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import trio

from bench import machine, measure
from bench.chaos import plan, run
from bench.chaos.promises import SUPERVISOR, Kind, Tally, percentile
from bench.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = ("gateway.0", "ingest.0", "fanout.0", "call_events.0", "console.0", SUPERVISOR)
BROKEN = 1
NOT_POSSIBLE = 2


def main(arguments: Sequence[str]) -> int:
    """Carry out a command line; return the exit status: 0 all promises kept, 1 one broken, 2 could not be done."""
    options = parser().parse_args(arguments)
    if not measure.can_load():
        return NOT_POSSIBLE
    about = machine.description()
    random = Random(options.seed)
    names = [name for name in NAMES if not options.actors or name.partition(".")[0] in options.actors]
    faults = plan.order(_times(options), names, random)
    calls = options.calls or (20 if options.quick else 100)
    tallies = trio.run(partial(run.run, faults, calls, random, urgent=options.urgent))
    _show(options, about, sorted(tallies, key=lambda tally: (plan.KINDS.index(tally.fault.kind), tally.fault.names)))
    return BROKEN if any(tally.broken() for tally in tallies) else 0


def parser() -> argparse.ArgumentParser:
    """Return what is understood."""
    top = argparse.ArgumentParser(
        prog="python -m bench chaos",
        description="Kill, hang and replace every process under load, and count what callers, listeners and event "
        "clients notice. Exit status: 0 all promises kept, 1 one was broken, 2 could not be done.",
    )
    top.add_argument("--calls", type=int, metavar="N", help="each with 2 tracks and 2 listeners (100, quick 20)")
    top.add_argument("--kills", type=int, metavar="N", help="and rolls, of each process (20, quick 2)")
    top.add_argument("--hangs", type=int, metavar="N", help="of each process (a tenth of that, at least 1)")
    top.add_argument("--pairs", type=int, metavar="N", help="of each two processes (a quarter of that, at least 1)")
    top.add_argument("--kinds", nargs="+", choices=plan.KINDS, default=plan.KINDS, help="only these")
    top.add_argument("--actors", nargs="+", choices=[name.partition(".")[0] for name in NAMES], help="only these")
    top.add_argument("--seed", type=int, default=1, help="of the order and the moments")
    top.add_argument("--quick", action="store_true", help="a few minutes")
    top.add_argument("--urgent", action="store_true", help="all goes before other work (a busy machine; needs root)")
    top.add_argument("--markdown", action="store_true", help="print Markdown")
    top.add_argument("--json", action="store_true", help="print JSON")
    return top


def _times(options: argparse.Namespace) -> dict[Kind, int]:
    kills = options.kills or (2 if options.quick else 20)
    times: dict[Kind, int] = {
        "calm": kills,
        "kill": kills,
        "roll": kills,
        "hang": options.hangs if options.hangs is not None else max(kills // 10, 1),
        "pair": options.pairs if options.pairs is not None else max(kills // 4, 1),
    }
    return {kind: count for kind, count in times.items() if kind in options.kinds}


def table(tallies: Sequence[Tally]) -> Table:
    """A row for each fault."""
    columns = (
        "fault",
        "times",
        "closed: calls",
        "listeners",
        "event clients",
        "frames lost",
        "doubled",
        "out of order",
        "events",
        "lost",
        "twice",
        "refused",
        "gap p50/p99/max ms",
        "latency p99/max ms",
        "ready p50/max s",
        "promise",
    )
    result = Table("chaos: what callers, listeners and event clients notice", columns)
    for tally in tallies:
        result.rows.append(_row(tally))
        result.notes += [f"{tally.fault.title}: {text}" for text in tally.broken()]
    return result


def _row(tally: Tally) -> tuple[str, ...]:
    counts = (
        tally.closed_telnyx,
        tally.closed_listeners,
        tally.closed_clients,
        tally.lost,
        tally.doubled,
        tally.disordered,
        tally.events,
        tally.events_lost,
        tally.events_twice,
        tally.refused,
    )
    gap, late, ready = tally.gaps_ms, tally.worst_ms, tally.ready_s
    return (
        tally.fault.title,
        str(tally.times),
        *(str(count) for count in counts),
        "/".join(f"{percentile(gap, part):.0f}" for part in (0.5, 0.99, 1.0)),
        "/".join(f"{percentile(late, part):.0f}" for part in (0.99, 1.0)),
        "/".join(f"{percentile(ready, part):.2f}" for part in (0.5, 1.0)),
        "BROKEN" if tally.broken() else "gone, as said" if tally.fault.takes_both_holders else "kept",
    )


def _show(options: argparse.Namespace, about: list[str], tallies: Sequence[Tally]) -> None:
    if options.json:
        faults = [{**asdict(tally), "title": tally.fault.title, "broken": tally.broken()} for tally in tallies]
        print(json.dumps({"machine": about, "faults": faults}))
    else:
        shown = table(tallies)
        print("\n".join(about), shown.markdown() if options.markdown else shown.text(), sep="\n\n")
