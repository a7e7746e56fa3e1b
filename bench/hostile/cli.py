"""The command line: `python -m bench hostile`."""

from __future__ import annotations

import argparse
import json
import resource
from typing import TYPE_CHECKING

from bench import machine, measure
from bench.hostile import run
from bench.hostile.guarded import GUARDED
from bench.hostile.kinds import KINDS
from bench.hostile.one_token import Figures
from bench.hostile.secure import SECURE
from bench.hostile.systems import JOURNAL_MAX_MB
from bench.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.hostile.one_token import Siege
    from bench.hostile.run import Report, Trial

BROKEN = 1
NOT_POSSIBLE = 2
P99_MAX = 2.0  # times that of a calm time
MEMORY_MAX_MIB = 8.0  # what allocators keep
GUARDED_MEMORY_MAX_MIB = 64.0  # and what is remembered of peers that were let in: events, calls
GAP_MAX_MS = 100.0  # of silence
JOURNAL_SLACK_MIB = 16  # what SQLite has besides: its log
DESCRIPTORS_MAX = 4
SEEN_SHOWN = 3


def main(arguments: Sequence[str]) -> int:
    """Carry out a command line; return the exit status: 0 all promises kept, 1 one broken, 2 could not be done."""
    options = parser().parse_args(arguments)
    if not measure.can_load():
        return NOT_POSSIBLE
    _raise_limit()
    about = machine.description()
    names = options.kinds or [*KINDS, *GUARDED, *SECURE]
    if options.one_token:
        reports = [run.besieged(options.calls, options.connections, urgent=options.urgent)]
    else:
        reports = run.run(names, options.calls, options.connections, options.per_s, urgent=options.urgent)
    shown = table(reports, options)
    if options.json:
        print(json.dumps({"machine": about, "table": shown.json()}))
    else:
        print("\n".join(about), shown.markdown() if options.markdown else shown.text(), sep="\n\n")
    return BROKEN if any(broken(trial) for report in reports for trial in report.trials) else 0


def _raise_limit() -> None:
    """Have as many descriptors as may be had: each connection is one here, and two in the server."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def parser() -> argparse.ArgumentParser:
    """Return what is understood."""
    top = argparse.ArgumentParser(
        prog="python -m bench hostile",
        description="Hostile connections of every kind beside running calls. Exit status: 0 all promises kept, 1 one was "
        "broken, 2 could not be done.",
    )
    top.add_argument(
        "kinds", nargs="*", metavar="KIND", help=f"of {', '.join([*KINDS, *GUARDED, *SECURE])}; all without any"
    )
    top.add_argument("--calls", type=int, default=50, metavar="N", help="each with 2 tracks and 2 listeners (50)")
    top.add_argument("--connections", type=int, default=1000, metavar="N", help="of each kind (1000)")
    top.add_argument("--per-s", type=float, default=100.0, metavar="N", help="that come in a second (100)")
    top.add_argument(
        "--one-token", action="store_true", help="all kinds that need a token at once, all with the same one"
    )
    top.add_argument("--urgent", action="store_true", help="all but the hostile goes before other work (needs root)")
    top.add_argument("--markdown", action="store_true", help="print Markdown")
    top.add_argument("--json", action="store_true", help="print JSON")
    return top


def table(reports: Sequence[Report], options: argparse.Namespace) -> Table:
    """A row for each kind."""
    result = Table(
        f"hostile: {options.connections} connections of each kind, {options.per_s:g} a second, beside {options.calls} calls",
        (
            "kind",
            "what they are answered",
            "frames lost",
            "p99 ms",
            "x calm",
            "longest silence ms",
            "MiB more",
            "journal MiB",
            "descriptors more",
            "promise",
        ),
    )
    for report in reports:
        if report.siege is not None:
            result.notes += _of_siege(report.siege)
        for trial in report.trials:
            result.rows.append(_row(trial))
            result.notes += [f"{trial.kind}: {text}" for text in broken(trial)]
        if report.siege is None:
            result.notes.append(_of_calm(report))
    return result


def _of_siege(siege: Siege) -> list[str]:
    figures = {"calm": Figures.of(siege.calm), "attacked": Figures.of(siege.attacked)}
    return [
        f"{name}: p50 {each.p50:.2f} ms, p99 {each.p99:.2f} ms, longest silence {each.gap:.0f} ms; "
        f"the generator was late itself by {each.late_p99:.2f} ms (p99). Medians of {len(siege.calm)} windows."
        for name, each in figures.items()
    ]


def _of_calm(report: Report) -> str:
    return (
        f"{report.about}: in a calm time, p99 of the calls is {report.calm_ms:.2f} ms, and the longest silence "
        f"{report.calm_gap_ms:.0f} ms. The first crowds left {report.kept_mib:.0f} MiB with the allocators of all processes; "
        "what is said of memory begins after them."
    )


def broken(trial: Trial) -> list[str]:
    """The promises that were not kept."""
    found = []
    if trial.lost:
        found.append(f"{trial.lost} frames or connections of the calls lost")
    if trial.restarts:
        found.append(f"{trial.restarts} processes have died")
    if trial.window.latency_ms.p99 > P99_MAX * trial.calm_ms:
        found.append(f"p99 {trial.window.latency_ms.p99:.1f} ms")
    if trial.is_guarded and trial.gap_ms > GAP_MAX_MS:
        found.append(f"a listener heard nothing for {trial.gap_ms:.0f} ms")
    if trial.journal_mib > JOURNAL_MAX_MB + JOURNAL_SLACK_MIB:
        found.append(f"the journal has {trial.journal_mib:.0f} MiB")
    if trial.memory_mib > (GUARDED_MEMORY_MAX_MIB if trial.is_guarded else MEMORY_MAX_MIB):
        found.append(f"{trial.memory_mib:.0f} MiB more than before")
    if trial.descriptors > DESCRIPTORS_MAX:
        found.append(f"{trial.descriptors} descriptors more than before")
    return found


def _row(trial: Trial) -> tuple[str, ...]:
    p99 = trial.window.latency_ms.p99
    seen = ", ".join(f"{count} {what}" for what, count in trial.seen.most_common(SEEN_SHOWN))
    return (
        trial.kind,
        seen,
        str(trial.lost),
        f"{p99:.2f}",
        f"{p99 / trial.calm_ms:.2f}",
        f"{trial.gap_ms:.0f}",
        f"{trial.memory_mib:+.1f}",
        f"{trial.journal_mib:.0f}",
        f"{trial.descriptors:+}",
        "BROKEN" if broken(trial) else "kept",
    )
