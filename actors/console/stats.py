"""Keeps the latest statistics of every process, and joins them into the list of calls and the metrics.

Pure: time (seconds, monotonic) is passed in. A source is one process of an actor. During a roll, and for a moment after
a crash, two processes publish under one name; their epochs differ.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from patchbay.protocol.histogram import Histogram, read_histogram

SILENT_S = 5.0  # a source that has published nothing for so long is gone
REPLACED_S = 2.2  # the same for a source whose successor publishes; statistics come every second
MAX_SOURCES = 512


@dataclass
class _Source:
    name: str
    epoch: int
    received_at: float
    stats: dict[str, Any]


class StatsBook:
    """The latest statistics of every source."""

    def __init__(self) -> None:
        self._sources: dict[tuple[str, int], _Source] = {}

    def receive(self, stats: object, now: float) -> None:
        """Take the statistics of one process, `{"from", "epoch", …}`. Other forms, and sources over the limit, are
        ignored."""
        if not isinstance(stats, dict):
            return
        name, epoch = stats.get("from"), stats.get("epoch")
        self._forget(now)
        if not isinstance(name, str) or not isinstance(epoch, int):
            return
        if len(self._sources) < MAX_SOURCES or (name, epoch) in self._sources:
            self._sources[name, epoch] = _Source(name, epoch, now, stats)

    def calls(self, now: float) -> list[dict[str, Any]]:
        """Return the live calls, oldest first, each as its ingest reports it, with its number of `listeners`, and in
        `playout` the reports of those listeners that send some."""
        sources = self._live(now)
        listeners: Counter[str] = Counter()
        playout: dict[str, list[dict[str, Any]]] = {}
        unbound = self.unbound_listeners(now)
        found: dict[str, dict[str, Any]] = {}
        for source in sources:
            listeners.update(_numbers(source.stats.get("listeners")))
            for heard, reports in _dict(source.stats.get("playout")).items():
                playout.setdefault(heard, []).extend(_list(reports))
            for call in _list(source.stats.get("calls")):
                key = call.get("call_control_id") or call.get("stream_id")
                if isinstance(key, str):
                    found[key] = call  # sources are sorted, so the newest process counts
        calls = [
            {**call, "listeners": listeners[key] + unbound, "playout": playout.get(key, [])}
            for key, call in found.items()
        ]
        return sorted(calls, key=lambda call: (str(call.get("started_at")), str(call.get("call_control_id"))))

    def numbers(self, kind: Literal["counters", "gauges"], now: float) -> dict[str, Counter[str]]:
        """Return the counters or gauges of every source by its name; two processes under one name are added."""
        found: dict[str, Counter[str]] = {}
        for source in self._live(now):
            found.setdefault(source.name, Counter()).update(_numbers(source.stats.get(kind)))
        return found

    def histograms(self, now: float) -> dict[str, dict[str, Histogram]]:
        """Return histograms by name, then by source; two processes under one name are added."""
        found: dict[str, dict[str, Histogram]] = {}
        for source in self._live(now):
            for name, report in _dict(source.stats.get("histograms")).items():
                histogram = read_histogram(report)
                if histogram is not None:
                    of_name = found.setdefault(f"{source.name.partition('.')[0]}_{name}", {})
                    of_name[source.name] = histogram + of_name.get(source.name)
        return found

    def listeners(self, now: float) -> int:
        """Return how many listeners named their call, live or not yet."""
        return sum(sum(_numbers(source.stats.get("listeners")).values()) for source in self._live(now))

    def unbound_listeners(self, now: float) -> int:
        """Return how many listeners named no call, and hear every one."""
        return sum(_number(source.stats.get("unbound_listeners")) for source in self._live(now))

    def _live(self, now: float) -> list[_Source]:
        self._forget(now)
        return sorted(self._sources.values(), key=lambda source: source.epoch)

    def _forget(self, now: float) -> None:
        newest: dict[str, int] = {}
        for name, epoch in self._sources:
            newest[name] = max(epoch, newest.get(name, epoch))
        for key, source in list(self._sources.items()):
            limit_s = SILENT_S if source.epoch == newest[source.name] else REPLACED_S
            if now - source.received_at > limit_s:
                del self._sources[key]


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _numbers(value: object) -> dict[str, int]:
    return {key: _number(number) for key, number in value.items()} if isinstance(value, dict) else {}
