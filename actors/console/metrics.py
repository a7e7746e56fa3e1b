"""Makes all metrics, from the statistics of the actors and the status of the supervisor. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from actors.console import statuses
from actors.console.prometheus import Family, metric_name

if TYPE_CHECKING:
    from actors.console.stats import StatsBook

PREFIX = "patchbay"
HELP = {"fanout_ear_delay_seconds": "From Telnyx's frame to the listener's ear, as listeners report it once a second."}


def families(book: StatsBook, status: statuses.Status | None, own: Counter[str], now: float) -> list[Family]:
    """Return all metrics. `own`: the console's counters, which are not on the bus."""
    counters = {**book.numbers("counters", now), "console.0": own}
    gauges = book.numbers("gauges", now)
    return [
        *_calls(book, now),
        *_actors(status),
        *_numbers("counter", counters),
        *_numbers("gauge", gauges),
        *_histograms(book, now),
    ]


def _calls(book: StatsBook, now: float) -> list[Family]:
    calls = Family(f"{PREFIX}_calls", "gauge", "Live calls.")
    listeners = Family(f"{PREFIX}_listeners", "gauge", "Listeners that named their call.")
    unbound = Family(f"{PREFIX}_unbound_listeners", "gauge", "Listeners that hear every call.")
    calls.add(len(book.calls(now)))
    listeners.add(book.listeners(now))
    unbound.add(book.unbound_listeners(now))
    return [calls, listeners, unbound]


def _actors(status: statuses.Status | None) -> list[Family]:
    supervisor = Family(f"{PREFIX}_supervisor_up", "gauge", "Whether the supervisor answers.")
    ready = Family(f"{PREFIX}_actor_ready", "gauge", "Whether a process of an actor is ready.")
    restarts = Family(
        f"{PREFIX}_actor_restarts_total",
        "counter",
        "How often a process of an actor was started again.",
    )
    supervisor.add(int(status is not None))
    seen: dict[str, tuple[int, int]] = {}
    for actor in statuses.actors(status or {}):
        name = statuses.instance(actor)
        is_up, count = seen.get(name, (0, 0))
        seen[name] = (
            is_up or int(statuses.is_ready(actor)),
            max(count, int(actor.get("restarts") or 0)),
        )
    for name, (is_up, count) in seen.items():
        ready.add(is_up, process=name)
        restarts.add(count, process=name)
    return [supervisor, ready, restarts]


def _histograms(book: StatsBook, now: float) -> list[Family]:
    found = []
    for name, processes in sorted(book.histograms(now).items()):
        family = Family(metric_name(PREFIX, name), "histogram", HELP.get(name, "Histogram."))
        for process, histogram in sorted(processes.items()):
            family.add_histogram(histogram, process=process)
        found.append(family)
    return found


def _numbers(kind: Literal["counter", "gauge"], processes: dict[str, Counter[str]]) -> list[Family]:
    found: dict[str, Family] = {}
    for process, values in sorted(processes.items()):
        actor = process.partition(".")[0]
        named: Counter[str] = Counter()  # two of them may have one legal name
        for name, value in values.items():
            named[metric_name(PREFIX, actor, name, *(["total"] if kind == "counter" else []))] += value
        for name, value in sorted(named.items()):
            family = found.setdefault(name, Family(name, kind, f"{kind.capitalize()} of {actor}."))
            family.add(value, process=process)
    return list(found.values())
