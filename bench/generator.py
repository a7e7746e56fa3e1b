"""The load: what the generator is asked for and what it reports. Knows no server."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from bench import cache

if TYPE_CHECKING:
    from bench.servers import Placement, Server

SLACK_S = 60.0  # for opening thousands of connections to a slow server


class GeneratorError(Exception):
    """The generator could not do its work; the text says why. Mostly the server refused or closed a connection."""


@dataclass(frozen=True)
class Load:
    """Calls at `fps` frames a second and track, each with listeners that take one track in turn, or both."""

    calls: int = 100
    listeners: int = 2
    tracks: int = 2
    talkers: int = 0
    silent: bool = False
    both: bool = False
    fps: float = 50.0
    seconds: float = 5.0
    warmup_s: float = 1.5
    settle_s: float = 0.7
    drain_s: float = 3.0

    def of(self, *, calls: int | None = None, seconds: float | None = None) -> Load:
        """The same with another number of calls, or measured for another time."""
        return replace(self, calls=calls or self.calls, seconds=seconds or self.seconds)

    def arguments(self) -> list[str]:
        """For the generator's command line."""
        switches = [name for name, on in (("--silent", self.silent), ("--both", self.both)) if on]
        values = {
            "calls": self.calls,
            "listeners": self.listeners,
            "tracks": self.tracks,
            "talkers": self.talkers,
            "fps": self.fps,
            "seconds": self.seconds,
            "warmup": self.warmup_s,
            "settle": self.settle_s,
            "drain": self.drain_s,
        }
        return switches + [word for name, value in values.items() for word in (f"--{name}", str(value))]


class Latency(msgspec.Struct, frozen=True):
    """In milliseconds, from making a frame to getting it."""

    n: int
    mean: float
    p50: float
    p90: float
    p99: float
    p999: float
    max: float


class Lag(msgspec.Struct, frozen=True):
    """In milliseconds, how late the generator itself sent."""

    p50: float
    p99: float
    max: float


class Process(msgspec.Struct, frozen=True):
    """One process of the server."""

    pid: int
    command: str
    threads: int
    user_s: float
    system_s: float
    rss_kb: int
    pss_kb: int


FAULTS: Final = ("lost", "doubled", "disordered", "corrupt", "wrong", "closed_telnyx", "closed_browsers")


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent and seen, from the beginning or in a window."""

    sent: int
    received: int
    lost: int
    doubled: int
    disordered: int
    corrupt: int
    wrong: int
    closed_telnyx: int
    closed_browsers: int
    text: int
    errors: int
    latency_ms: Latency
    lag_ms: Lag
    wall_s: float
    processes: list[Process]
    server_cpu_s: float
    generator_cpu_s: float
    other_cpu_s: float
    stolen_s: float

    @property
    def faults(self) -> dict[str, int]:
        """What did not go as it should: frames of the calls that did not come, or not as they should, and connections
        of theirs that ended."""
        return {name: count for name in FAULTS if (count := getattr(self, name))}

    @property
    def pss_mib(self) -> float:
        """Memory of the whole server; pages that its processes share count once."""
        return sum(process.pss_kb for process in self.processes) / 1024


class Run(Counts, frozen=True, kw_only=True):
    """A whole run. `in_…`: in the measured time. `missing`: of the frames made in it, those that never came."""

    ok: bool
    in_sent: int
    in_received: int
    missing: int
    unsent_bytes: int
    opening_s: float

    @property
    def us_per_ingested(self) -> float:
        """The server's CPU for a frame that came from a peer, in microseconds."""
        return self.server_cpu_s * 1e6 / max(self.in_sent, 1)

    @property
    def us_per_delivered(self) -> float:
        """The server's CPU for a frame that went to a peer, in microseconds."""
        return self.server_cpu_s * 1e6 / max(self.in_received, 1)

    @property
    def generator_busy(self) -> float:
        """The part of its core that the generator used."""
        return self.generator_cpu_s / self.wall_s


def run(load: Load, server: Server, placement: Placement, *, listeners_at: Server | None = None) -> Run:
    """Load a server once. `listeners_at`: where the listeners are, if they are at another one.

    Raises:
        GeneratorError: it could not be loaded.
    """
    command = [str(cache.loadgen()), *load.arguments(), "--port", str(server.port)]
    command += ["--pid", str(server.pid), "--cpu", str(placement.generator)]
    command += ["--urgent"] if placement.urgent else []
    command += ["--listen-port", str(listeners_at.port)] if listeners_at is not None else []
    limit_s = load.settle_s + load.warmup_s + load.seconds + load.drain_s + SLACK_S
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        raise GeneratorError(f"not done after {limit_s:.0f} s") from None
    if done.returncode not in (0, 1):
        raise GeneratorError(done.stderr.strip() or f"status {done.returncode}")
    return msgspec.json.decode(done.stdout, type=Run)
