"""Servers under test: how each is started, on which cores, and stopped. What they do is their own business."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

from bench import cache

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

ROOT = Path(__file__).parents[1]
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 8.0
POLL_S = 0.05
URGENT = os.sched_param(10)


@dataclass(frozen=True)
class Placement:
    """Where server and generator run.

    Urgent: SCHED_RR, before all other work of a busy machine (niceness is no help: it counts within a session). Needs
    privileges, and Linux then holds them to 95 % of a core while others want it.
    """

    server: frozenset[int]
    generator: int
    urgent: bool = False

    @classmethod
    def default(cls, *, urgent: bool = False) -> Placement:
        """The server on the first core, the generator on the next."""
        cores = sorted(os.sched_getaffinity(0))
        return cls(frozenset(cores[:1]), cores[1 % len(cores)], urgent)


@dataclass(frozen=True)
class Peer:
    """A server that can be had.

    Attributes:
        command: makes the command line from a port; raises cache.Unavailable.
        environ: added to the environment.
        ready_path: what answers 200 once it is ready; without it, a port that answers will do.
        tree: where it is started.
    """

    name: str
    about: str
    command: Callable[[int], list[str]]
    environ: Mapping[str, str]
    ready_path: str | None = None
    tree: Path = ROOT


@dataclass(frozen=True)
class Server:
    """A running server."""

    pid: int
    port: int
    home: Path
    environ: Mapping[str, str]
    plain_port: int = 0

    @property
    def calls_port(self) -> int:
        """Where its calls come in: at a process that carries them on over TLS, where the server speaks that."""
        return self.plain_port or self.port


@contextmanager
def running(peer: Peer, cores: Collection[int], *, urgent: bool = False, **environ: str) -> Iterator[Server]:
    """Start a peer on these cores; it is stopped at the end.

    Raises:
        cache.Unavailable: it can't be had here, or does not start.
    """
    home = Path(tempfile.mkdtemp(prefix="patchbay-bench-"))
    port = free_port()
    given = {key: value for key, value in os.environ.items() if not key.startswith("PATCHBAY_")}
    ours = {"PYTHONPATH": str(peer.tree), **peer.environ, **environ}  # not another checkout that is installed
    given |= {key: value.format(home=home, port=port) for key, value in ours.items()}
    process = None
    try:
        with (home / "log").open("wb") as log, placed(cores, urgent=urgent):
            process = subprocess.Popen(peer.command(port), env=given, cwd=peer.tree, stdout=log, stderr=log)
        _wait_until_ready(peer, port, process, home)
        yield Server(process.pid, port, home, given)
    finally:
        if process is not None:
            _stop(process)
        shutil.rmtree(home, ignore_errors=True)


def baseline(tree: Path) -> Peer:
    """Another checkout of Patchbay, to see what a change brought."""
    return replace(PATCHBAY, name="baseline", about=f"Patchbay in {tree}", tree=tree)


def free_port() -> int:
    """A TCP port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def placed(cores: Collection[int], *, urgent: bool) -> Iterator[None]:
    """What is started in here inherits these cores; this process has its own again afterwards."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        if urgent:
            os.sched_setscheduler(0, os.SCHED_RR, URGENT)
        yield
    finally:
        if urgent:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, before)


def _wait_until_ready(peer: Peer, port: int, process: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            if _answers(peer, port):
                return
        time.sleep(POLL_S)
    log = (home / "log").read_text(errors="replace")
    raise cache.Unavailable(f"{peer.name} does not start: {log[-2000:]}")


def _answers(peer: Peer, port: int) -> bool:
    if peer.ready_path is None:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    with urlopen(f"http://127.0.0.1:{port}{peer.ready_path}", timeout=2) as answer:
        return bool(answer.status == 200)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _python_peer(module: str) -> Callable[[int], list[str]]:
    return lambda port: [str(cache.python_of_peers()), "-m", f"bench.peers.{module}", str(port)]


def _node(port: int) -> list[str]:
    node, script = cache.node_server()
    return [node, str(script), str(port)]


PATCHBAY_ENVIRON = {
    "PATCHBAY_PORT": "{port}",
    "PATCHBAY_RUN_DIR": "{home}/run",
    "PATCHBAY_DATA_DIR": "{home}/data",
}
PATCHBAY = Peer(
    "patchbay",
    "all of Patchbay's processes",
    lambda _: [sys.executable, "-m", "supervisor"],
    {**PATCHBAY_ENVIRON, "PATCHBAY_SUPERVISOR__SPARES": "0"},  # nothing is to be loaded while something is measured
    "/readyz",
)
IN_PYTHON = replace(
    PATCHBAY,
    name="patchbay-python",
    about="the same without its routines in C",
    environ={**PATCHBAY.environ, "PATCHBAY_NATIVE": "false"},
)
NODE_WS = Peer("node-ws", "the backend replaced: Node `ws`, with a filter by call and track", _node, {})
PEERS = {
    peer.name: peer
    for peer in (
        PATCHBAY,
        IN_PYTHON,
        NODE_WS,
        Peer("node-ws-lean", "Node `ws`, frame made once, no log, no metadata", _node, {"MODE": "lean"}),
        Peer("picows", "picows on uvloop", _python_peer("picows_server"), {}),
        Peer("websockets", "`websockets` on asyncio, broadcast()", _python_peer("websockets_server"), {}),
        Peer("trio-websocket", "trio-websocket, a task for each connection", _python_peer("trio_server"), {}),
        Peer("floor", "C, a recv and a send and nothing else", lambda port: [str(cache.floor_server()), str(port)], {}),
    )
}
