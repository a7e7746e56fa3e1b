"""What the other actors say of themselves on the bus, gathered into one picture of all calls.

Pure: time (seconds, monotonic) is passed in. A source is one process of an actor; during a roll, and for a moment
after a crash, two processes speak under one name, told apart by epoch.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from patchbay.protocol.histogram import Histogram, read_histogram

SILENT_S = 5.0  # a source not heard of for so long is gone
REPLACED_S = 2.2  # likewise when a newer process speaks under its name; stats come every second
MAX_SOURCES = 512


@dataclass
class _Source:
    name: str
    epoch: int
    heard_at: float
    said: dict[str, Any]


class StatsBook:
    """The latest word of every source."""

    def __init__(self) -> None:
        self._sources: dict[tuple[str, int], _Source] = {}
        self.refused = 0  # stats that were none, or of too many sources

    def hear(self, said: object, now: float) -> None:
        """Take one source's stats, `{"from", "epoch", …}`. What has not that form is counted and forgotten."""
        if not isinstance(said, dict):
            self.refused += 1
            return
        name, epoch = said.get("from"), said.get("epoch")
        self._forget(now)
        if not isinstance(name, str) or not isinstance(epoch, int):
            self.refused += 1
            return
        if len(self._sources) >= MAX_SOURCES and (name, epoch) not in self._sources:
            self.refused += 1
            return
        self._sources[name, epoch] = _Source(name, epoch, now, said)

    def calls(self, now: float) -> list[dict[str, Any]]:
        """Live calls, oldest first, each as its ingest told it, with how many `listeners` hear it, and in `playout` how
        those hear it that report that."""
        sources = self._live(now)
        listeners: Counter[str] = Counter()
        playout: dict[str, list[dict[str, Any]]] = {}
        unbound = self.unbound_listeners(now)
        found: dict[str, dict[str, Any]] = {}
        for source in sources:
            listeners.update(_numbers(source.said.get("listeners")))
            for heard, reports in _dict(source.said.get("playout")).items():
                playout.setdefault(heard, []).extend(_list(reports))
            for call in _list(source.said.get("calls")):
                key = call.get("call_control_id") or call.get("stream_id")
                if isinstance(key, str):
                    found[key] = call  # sources are sorted: the newest process has the last word
        calls = [
            {**call, "listeners": listeners[key] + unbound, "playout": playout.get(key, [])}
            for key, call in found.items()
        ]
        return sorted(calls, key=lambda call: (str(call.get("started_at")), str(call.get("call_control_id"))))

    def numbers(self, kind: Literal["counters", "gauges"], now: float) -> dict[str, Counter[str]]:
        """Every source's counters or gauges by its name; those of two processes under one name are added."""
        found: dict[str, Counter[str]] = {}
        for source in self._live(now):
            found.setdefault(source.name, Counter()).update(_numbers(source.said.get(kind)))
        return found

    def histograms(self, now: float) -> dict[str, dict[str, Histogram]]:
        """By the histogram's name, then by source; those of two processes under one name are added."""
        found: dict[str, dict[str, Histogram]] = {}
        for source in self._live(now):
            for name, said in _dict(source.said.get("histograms")).items():
                histogram = read_histogram(said)
                if histogram is not None:
                    of_name = found.setdefault(f"{source.name.partition('.')[0]}_{name}", {})
                    of_name[source.name] = histogram + of_name.get(source.name)
        return found

    def listeners(self, now: float) -> int:
        """Listeners that named a call, live or not yet."""
        return sum(sum(_numbers(source.said.get("listeners")).values()) for source in self._live(now))

    def unbound_listeners(self, now: float) -> int:
        """Listeners that named no call, and hear every one."""
        return sum(_number(source.said.get("unbound_listeners")) for source in self._live(now))

    def _live(self, now: float) -> list[_Source]:
        self._forget(now)
        return sorted(self._sources.values(), key=lambda source: source.epoch)

    def _forget(self, now: float) -> None:
        newest: dict[str, int] = {}
        for name, epoch in self._sources:
            newest[name] = max(epoch, newest.get(name, epoch))
        for key, source in list(self._sources.items()):
            limit_s = SILENT_S if source.epoch == newest[source.name] else REPLACED_S
            if now - source.heard_at > limit_s:
                del self._sources[key]


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _numbers(value: object) -> dict[str, int]:
    return {key: _number(number) for key, number in value.items()} if isinstance(value, dict) else {}
