"""The command line: `python -m bench [SCENARIO …]` and `python -m bench chaos`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from bench import machine, measure, memory, saturation, scaling, soak
from bench.scenarios import GROWTH, MEASURE_S, SCENARIOS
from bench.servers import NODE_WS, PATCHBAY, PEERS, Placement, baseline
from bench.tables import Table, growth_table, scenario_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.servers import Peer

NAMES = (*SCENARIOS, "saturation", "growth", "memory", "scaling", "soak")
QUICK_NAMES = (*SCENARIOS, "saturation")
QUICK_PEERS = (PATCHBAY.name, NODE_WS.name)
NOT_POSSIBLE = 2


def main(arguments: Sequence[str]) -> int:
    """Carry out a command line; return the exit status: 0 done, 2 could not be done."""
    options = _complete(parser().parse_args(arguments))
    if unknown := [name for name in options.scenarios if name not in NAMES]:
        parser().error(f"no such scenario: {', '.join(unknown)}")
    if not measure.can_load():
        return NOT_POSSIBLE
    about = machine.description()
    peers = measure.available(_peers(options))
    tables = [table for name in options.scenarios for table in _tables(name, peers, options)]
    _show(options, about, tables)
    return 0


def parser() -> argparse.ArgumentParser:
    """Return what is understood."""
    top = argparse.ArgumentParser(
        prog="python -m bench",
        description="Compare Patchbay with its peers, side by side, on this machine. "
        "`python -m bench chaos` kills its processes under load instead, `python -m bench hostile` tries hostile peers, "
        "`python -m bench cluster` two nodes.",
    )
    top.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(NAMES)}; all without any")
    top.add_argument("--minutes", type=float, default=10.0, metavar="M", help="of the soak (10)")
    top.add_argument("--peers", nargs="+", choices=PEERS, metavar="NAME", help=f"of {', '.join(PEERS)}; default: all")
    top.add_argument("--baseline", type=Path, metavar="DIR", help="another checkout of Patchbay, as one more peer")
    top.add_argument("--rounds", type=int, metavar="N", help="how often each is run, in turn (default 3, quick 2)")
    top.add_argument("--seconds", type=float, metavar="S", help=f"measured in a run (default {MEASURE_S:.0f}, quick 3)")
    top.add_argument("--quick", action="store_true", help="a few minutes: two peers, short runs, coarse search")
    top.add_argument(
        "--urgent", action="store_true", help="server and generator go before all else (a busy machine; needs root)"
    )
    top.add_argument("--markdown", action="store_true", help="print Markdown")
    top.add_argument("--json", action="store_true", help="print JSON")
    top.set_defaults(peers=None)
    return top


def _peers(options: argparse.Namespace) -> list[Peer]:
    peers = [PEERS[name] for name in options.peers]
    return [*peers, baseline(options.baseline)] if options.baseline else peers


def _complete(options: argparse.Namespace) -> argparse.Namespace:
    options.peers = options.peers or (QUICK_PEERS if options.quick else tuple(PEERS))
    options.scenarios = options.scenarios or (QUICK_NAMES if options.quick else NAMES)
    options.rounds = options.rounds or (2 if options.quick else 3)
    options.seconds = options.seconds or (3.0 if options.quick else MEASURE_S)
    return options


def _tables(name: str, peers: Sequence[Peer], options: argparse.Namespace) -> list[Table]:
    placement = Placement.default(urgent=options.urgent)
    if name == "saturation":
        step = saturation.QUICK_STEP if options.quick else saturation.STEP
        return [saturation.table(saturation.search(peers, options.rounds, options.seconds, step, placement))]
    if name == "memory":
        return [memory.table(memory.costs(peers, options.rounds, placement))]
    if name == "scaling":
        return [scaling.table(options.rounds, options.seconds, placement)]
    if name == "soak":
        return [soak.table(PATCHBAY, options.minutes, placement)]
    scenarios = GROWTH if name == "growth" else (SCENARIOS[name],)
    samples = measure.rounds(scenarios, peers, options.rounds, options.seconds, placement)
    if name == "growth":
        return [growth_table(scenarios, samples)]
    return [scenario_table(scenario, samples) for scenario in scenarios]


def _show(options: argparse.Namespace, about: list[str], tables: list[Table]) -> None:
    if options.json:
        print(json.dumps({"machine": about, "tables": [table.json() for table in tables]}, indent=1))
    elif options.markdown:
        print("\n\n".join(["\n".join(f"* {line}" for line in about), *(table.markdown() for table in tables)]))
    else:
        print("\n\n".join(["\n".join(about), *(table.text() for table in tables)]))
