"""What actors there are, in which order they start and stop, and what each is given. Pure data, no processes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from patchbay.bus.endpoints import slot_of, socket_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from config import Settings

# Loads what ingest and fan-out need, and waits to be told which of them it is.
SPARE = (sys.executable, "-m", "patchbay.process.spare")

# Settings that every process reads, so that a change of them concerns all.
COMMON_SECTIONS = ("run_dir", "data_dir", "auth", "supervisor.grace_s", "log")


class SpecError(Exception):
    """The specs contradict themselves: a name that is not there, or a circle."""


@dataclass(frozen=True)
class ActorSpec:
    """One process to be kept running."""

    name: str
    index: int
    command: tuple[str, ...]
    after: tuple[str, ...] = ()  # names of actors that are to be READY (or have had their chance) before it starts
    restart_with: tuple[str, ...] = ()  # names of actors whose restart means a restart of this one
    listeners: tuple[str, ...] = ()  # "public", "handoff"
    endpoints: tuple[str, ...] = ()  # ZeroMQ endpoints, a socket for each and for each slot
    sections: tuple[str, ...] = ()  # the settings that it reads, whole sections or single ones
    spare: tuple[str, ...] = ()  # the command line of a process that can become this one, see `supervisor.spares`
    start_timeout_s: float = 20.0
    stop_timeout_s: float = 4.0
    watchdog_s: float = 5.0  # counts from its first beat on

    @property
    def instance(self) -> str:
        return f"{self.name}.{self.index}"

    def endpoint_path(self, slot: str, endpoint: str) -> str:
        """Return the name of that endpoint's socket in the run directory."""
        return socket_name(self.name, self.index, slot, endpoint)


def next_generation(last: int, running: int | None) -> int:
    """Return the number of the next process: higher than the last, and not in the slot of one that still runs."""
    following = last + 1
    if running is not None and slot_of(running) == slot_of(following):
        return following + 1
    return following


def actors(settings: Settings) -> tuple[ActorSpec, ...]:
    """Return the specs of all processes, in an order in which they may be started."""

    def spec(name: str, index: int = 0, **given: tuple[str, ...]) -> ActorSpec:
        return ActorSpec(
            name,
            index,
            command=(sys.executable, "-m", "actors", name),
            start_timeout_s=settings.supervisor.start_timeout_s,
            stop_timeout_s=settings.supervisor.stop_timeout_s,
            watchdog_s=settings.supervisor.watchdog_s,
            **given,
        )

    call_events = spec(
        "call_events",
        endpoints=("pub", "in"),
        sections=(
            "events",
            "telnyx",
            "gateway",
            "tls",
            "console",
            "ingest.processes",
            "ingest.announced_within_s",
            "fanout",
        ),
    )
    ingests = [
        spec(
            "ingest",
            index,
            after=("call_events",),
            spare=SPARE,
            endpoints=("pub", "talk"),
            sections=("ingest", "talk", "telnyx", "events.unacknowledged_max", "gateway", "fanout.processes"),
        )
        for index in range(settings.ingest.processes)
    ]
    fanouts = [
        spec(
            "fanout",
            index,
            after=("call_events",),
            spare=SPARE,
            endpoints=("pub",),
            sections=("fanout", "talk", "events.unacknowledged_max", "gateway", "ingest"),
        )
        for index in range(settings.fanout.processes)
    ]
    console = spec(
        "console",
        after=("call_events",),
        sections=("console", "gateway", "tls", "ingest.processes", "fanout.processes"),
    )
    gateway = spec(
        "gateway",
        after=("call_events", "ingest", "fanout", "console"),
        listeners=("public", "handoff"),
        endpoints=("pub",),
        sections=("gateway", "host", "port", "telnyx", "tls", "ingest.processes", "fanout.processes"),
    )
    return (call_events, *ingests, *fanouts, console, gateway)


def levels(specs: Iterable[ActorSpec]) -> list[list[ActorSpec]]:
    """Return the specs in groups: each may start once all groups before it are up, and stop once all after are gone.

    Raises:
        SpecError: an `after` or `restart_with` that is not there, two of one instance, or a circle.
    """
    specs = list(specs)
    names = {spec.name for spec in specs}
    instances = [spec.instance for spec in specs]
    if len(set(instances)) < len(instances):
        raise SpecError(f"two of one actor: {sorted(instances)}")
    for spec in specs:
        for other in (*spec.after, *spec.restart_with):
            if other not in names or other == spec.name:
                raise SpecError(f"{spec.instance}: there is no other actor {other!r}")
    _sorted({spec.name: spec.restart_with for spec in specs}, "actors restart each other")
    sorter = _sorted({spec.name: spec.after for spec in specs}, "actors wait for each other")
    found = []
    while sorter.is_active():
        ready = set(sorter.get_ready())
        found.append([spec for spec in specs if spec.name in ready])
        sorter.done(*ready)
    return found


def _sorted(graph: dict[str, tuple[str, ...]], complaint: str) -> TopologicalSorter[str]:
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError as error:
        raise SpecError(f"{complaint}: {' → '.join(error.args[1])}") from None
    return sorter


def matching(specs: Sequence[ActorSpec], name: str) -> list[ActorSpec]:
    """Return the specs that a person means by `fanout` (all its processes) or `fanout.1`; empty: no such."""
    return [spec for spec in specs if name in (spec.name, spec.instance)]
