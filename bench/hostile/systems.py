"""The systems that are attacked, and how they and the attackers share the processors."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from bench import cache, servers
from bench.hostile.secure import limit_descriptors, plain_way_to, write_certificate
from bench.hostile.tokens import ENVIRON

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.servers import Peer, Server

LAST_LOG, GUARDED_LOG, SECURE_LOG = (
    "hostile.log",
    "hostile-guarded.log",
    "hostile-secure.log",
)  # in the cache directory: of the last run
JOURNAL_MAX_MB: Final = 50
GUARDED_ENVIRON: Final = {**ENVIRON, "PATCHBAY_EVENTS__JOURNAL_MAX_MB": str(JOURNAL_MAX_MB)}
GIVES_WAY: Final = os.sched_param(5)  # below `servers.URGENT`


@contextmanager
def system(
    environ: Mapping[str, str], *, urgent: bool, peer: Peer = servers.PATCHBAY, log: str = LAST_LOG
) -> Iterator[Server]:
    """Run Patchbay on all processors; its log is kept."""
    with servers.running(peer, os.sched_getaffinity(0), urgent=urgent, **environ) as server:
        if urgent and peer.ready_path is not None:
            _keep_order(server.pid)
        try:
            yield server
        finally:
            shutil.copy(server.home / "log", cache.directory() / log)


@contextmanager
def secure_system(*, urgent: bool) -> Iterator[Server]:
    """One whose gateway ends TLS and may have few descriptors; its calls have a plain way to it."""
    with TemporaryDirectory(prefix="patchbay-bench-") as directory:
        environ = write_certificate(Path(directory))
        with (
            system(environ, urgent=urgent, peer=replace(servers.PATCHBAY, ready_path=None), log=SECURE_LOG) as server,
            plain_way_to(server.port, urgent=urgent) as plain,
        ):
            if urgent:
                _keep_order(server.pid)
            limit_descriptors(server.pid)
            yield replace(server, plain_port=plain)


def _keep_order(supervisor: int) -> None:
    """Have those processes give way that would by their niceness, which counts for nothing among urgent ones."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    for pid in map(int, children):
        if os.getpriority(os.PRIO_PROCESS, pid) > 0:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setscheduler(int(thread.name), os.SCHED_RR, GIVES_WAY)


def give_way() -> None:
    """Let this process, which is the attackers, have what nobody else wants of the processors: it is the server that is
    tried, not the scheduler, and attackers have machines of their own in life. Not where all else is urgent anyway."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
