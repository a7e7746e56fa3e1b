"""The generator, against relays that do one thing wrong: it must see that, and nothing else."""

from __future__ import annotations

import shutil
import sys

import pytest

from bench import generator, servers
from bench.generator import Load
from bench.ports import reserved_port
from bench.servers import Peer, Placement

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="the generator is compiled when it is first used"),
]

LOAD = Load(calls=3, seconds=0.5, warmup_s=0.2, settle_s=0.2, drain_s=0.3)
TALK = Load(calls=3, listeners=0, talkers=1, silent=True, seconds=0.5, warmup_s=0.2, settle_s=0.2, drain_s=0.3)


def run(fault: str, load: Load) -> generator.Run:
    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "tests.bench.faulty_relay", str(port), fault]

    placement = Placement.default()
    with servers.running(Peer(fault, "", command, {}), placement.server) as server:
        return generator.run(load, server, placement)


@pytest.mark.parametrize("load", [LOAD, TALK], ids=["listen", "talk"])
def test_all_is_well(load: Load) -> None:
    found = run("none", load)
    assert found.ok
    assert found.missing == found.lost == 0
    assert found.received == found.sent > 0
    assert found.latency_ms.n >= found.in_sent
    assert 0 < found.latency_ms.p50 <= found.latency_ms.p99 <= found.latency_ms.max
    assert [process.pss_kb > 0 for process in found.processes] == [True]


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("lose", {"missing", "lost"}),
        ("double", {"doubled"}),
        ("swap", {"disordered"}),
        ("spoil", {"corrupt", "missing", "lost"}),
        ("misdirect", {"wrong"}),
        ("mistrack", {"wrong"}),
    ],
)
def test_a_fault_is_seen(fault: str, seen: set[str]) -> None:
    found = run(fault, LOAD)
    assert not found.ok
    assert not found.errors
    assert set(found.faults) == seen - {"missing"}
    assert ("missing" in seen) <= (found.missing > 0)


def test_a_server_that_is_not_there() -> None:
    with reserved_port() as port, pytest.raises(generator.GeneratorError, match="cannot connect"):
        server = servers.Server(1, port, servers.ROOT, {})
        generator.run(LOAD, server, Placement.default())
