"""Runs: every peer under every load, one after the other and again, so that a busy moment does not hit one peer
only."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import cache, generator, servers
from bench.cache import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.generator import Load, Run
    from bench.scenarios import Scenario
    from bench.servers import Peer, Placement


@dataclass(frozen=True)
class Sample:
    """One run. `run` is None when the peer could not carry the load at all; `error` says why."""

    scenario: str
    peer: str
    round: int
    run: Run | None
    error: str = ""


def once(peer: Peer, load: Load, placement: Placement) -> Run:
    """Load a fresh server.

    Raises:
        Unavailable: it does not start.
        GeneratorError: it could not be loaded.
    """
    with servers.running(peer, placement.server, urgent=placement.urgent) as server:
        return generator.run(load, server, placement)


def rounds(
    scenarios: Iterable[Scenario], peers: Sequence[Peer], count: int, seconds: float, placement: Placement
) -> list[Sample]:
    """Run each scenario `count` times against all peers in turn."""
    samples = []
    for scenario in scenarios:
        for number in range(count):
            for peer in peers:
                sample = _sample(scenario, peer, number, seconds, placement)
                samples.append(sample)
                say(_line(sample))
    return samples


def available(peers: Iterable[Peer]) -> list[Peer]:
    """Those of the peers that can be had here; says which can't."""
    found = []
    for peer in peers:
        try:
            with servers.running(peer, servers.Placement.default().server):
                found.append(peer)
        except Unavailable as reason:
            say(f"{peer.name}: left out: {reason}")
    return found


def can_load() -> bool:
    """Whether there is a load generator; says why not."""
    try:
        cache.loadgen()
    except Unavailable as reason:
        say(f"bench: no load generator: {reason}")
        return False
    return True


def say(text: str) -> None:
    """Progress goes to standard error, results to standard output."""
    print(text, file=sys.stderr, flush=True)


def _sample(scenario: Scenario, peer: Peer, number: int, seconds: float, placement: Placement) -> Sample:
    try:
        run = once(peer, scenario.load.of(seconds=seconds), placement)
    except (Unavailable, generator.GeneratorError) as error:
        return Sample(scenario.name, peer.name, number, None, str(error))
    return Sample(scenario.name, peer.name, number, run)


def _line(sample: Sample) -> str:
    head = f"{sample.scenario:18} round {sample.round + 1} {sample.peer:15}"
    run = sample.run
    if run is None:
        return f"{head} failed: {sample.error}"
    state = "ok" if run.ok else f"NOT OK, {run.missing} missing, {run.closed_browsers + run.closed_telnyx} closed"
    out = f"{run.us_per_delivered:7.1f} us/out  p50 {run.latency_ms.p50:6.2f}  p99 {run.latency_ms.p99:7.2f} ms"
    return f"{head} {run.us_per_ingested:7.1f} us/in {out if run.in_received else ''}  {state}"
