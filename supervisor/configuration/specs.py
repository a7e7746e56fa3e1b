"""Specifies the actors: which there are, in which order they start and stop, and what each is given. Pure."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Final

from patchbay.process import socket_names
from patchbay.process.socket_names import slot_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from config import Settings

# The command line of a process that has loaded what ingest and fan-out need, and is assigned to one of them later.
SPARE: Final = (sys.executable, "-m", "patchbay.process.spare")

# Settings that every process reads, so that a change of them concerns all.
COMMON_SECTIONS: Final = ("run_dir", "data_dir", "auth", "supervisor.grace_s", "log")

SEVERAL: Final = ("ingest", "fanout")  # actors of which `NAME.processes` says how many processes they have


class SpecError(Exception):
    """The specs contradict each other: a name that no actor has, or a circle."""


@dataclass(frozen=True)
class ActorSpec:
    """Describes one process to be kept running.

    Attributes:
        after: names of actors that are READY, or have failed once, before this one starts.
        restart_with: names of actors whose restart means a restart of this one.
        listeners: listening sockets that it is given: "public", "bridge", "handoff".
        endpoints: its ZeroMQ endpoints; there is a socket for each and for each slot.
        sections: the settings that it reads, whole sections or single ones.
        spare: the command line of a spare that can become this process (`supervisor.actors.spares`); empty: none can.
        watchdog_s: the longest silence of its event loop, from its first heartbeat on.
    """

    name: str
    index: int
    command: tuple[str, ...]
    after: tuple[str, ...] = ()
    restart_with: tuple[str, ...] = ()
    listeners: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()
    start_timeout_s: float = 20.0
    stop_timeout_s: float = 4.0
    watchdog_s: float = 5.0

    @property
    def instance(self) -> str:
        """Return the name of the process, like `ingest.0`."""
        return f"{self.name}.{self.index}"

    def endpoint_path(self, slot: str, endpoint: str) -> str:
        """Return the name of an endpoint's socket in the run directory."""
        return socket_names.endpoint(self.name, self.index, slot, endpoint)


def _command(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "actors", name)


# The first process of each actor, in an order in which they may be started; times come from the settings.
TEMPLATES: Final = (
    ActorSpec(
        "call_events",
        index=0,
        command=_command("call_events"),
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
    ),
    ActorSpec(
        "ingest",
        index=0,
        command=_command("ingest"),
        after=("call_events",),
        spare=SPARE,
        endpoints=("pub", "talk"),
        sections=("ingest", "talk", "telnyx", "events.unacknowledged_max", "gateway", "fanout.processes"),
    ),
    ActorSpec(
        "fanout",
        index=0,
        command=_command("fanout"),
        after=("call_events",),
        spare=SPARE,
        endpoints=("pub",),
        sections=("fanout", "talk", "events.unacknowledged_max", "gateway", "ingest", "cluster"),
    ),
    ActorSpec(
        "bridge",
        index=0,
        command=_command("bridge"),
        after=("call_events",),
        listeners=("bridge",),
        endpoints=("pub", "talk"),
        sections=("cluster", "events", "ingest.processes", "fanout.processes"),
    ),
    ActorSpec(
        "console",
        index=0,
        command=_command("console"),
        after=("call_events",),
        sections=("console", "gateway", "tls", "cluster", "ingest.processes", "fanout.processes"),
    ),
    ActorSpec(
        "gateway",
        index=0,
        command=_command("gateway"),
        after=("call_events", "ingest", "fanout", "console"),
        listeners=("public", "handoff"),
        endpoints=("pub",),
        sections=("gateway", "host", "port", "telnyx", "tls", "ingest.processes", "fanout.processes"),
    ),
)


def actors(settings: Settings) -> tuple[ActorSpec, ...]:
    """Return the specs of all processes, in an order in which they may be started."""
    given = settings.supervisor
    return tuple(
        replace(
            template,
            index=index,
            start_timeout_s=given.start_timeout_s,
            stop_timeout_s=given.stop_timeout_s,
            watchdog_s=given.watchdog_s,
        )
        for template in TEMPLATES
        if template.name != "bridge" or settings.cluster.is_on
        for index in range(_processes(settings, template.name))
    )


def _processes(settings: Settings, name: str) -> int:
    count: int = getattr(settings, name).processes if name in SEVERAL else 1
    return count


def next_generation(last: int, running: int | None) -> int:
    """Return the number of the next process: higher than `last`, and not in the slot of one that still runs."""
    following = last + 1
    if running is not None and slot_of(running) == slot_of(following):
        return following + 1
    return following


def levels(specs: Iterable[ActorSpec]) -> list[list[ActorSpec]]:
    """Return the specs in groups: a group may start once those before are up, and stop once those after have ended.

    Raises:
        SpecError: `after` or `restart_with` names no other actor, an instance is there twice, or there is a circle.
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
    """Return the specs that a name stands for: `fanout` for all its processes, `fanout.1` for one; empty: for none."""
    return [spec for spec in specs if name in (spec.name, spec.instance)]
