"""Starting real processes, what they are given, and how their end is noticed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from config.paths import ensure_run_dir
from supervisor.actors.exits import Exit, describe_unplanned, signal_name
from supervisor.actors.launcher import Lifeline, ProcessLauncher, spawn
from supervisor.actors.process import KernelProcess
from supervisor.configuration.specs import ActorSpec
from supervisor.procfs import lineage, start_time
from supervisor.sockets import Sockets
from tests.supervisor.fakes import descriptors, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[Sockets]:
    held = Sockets(tmp_path, "127.0.0.1", 0)
    yield held
    held.close()


@pytest.fixture
def lifeline() -> Iterator[Lifeline]:
    pipe = Lifeline()
    yield pipe
    pipe.close()


def script(text: str, *endpoints: str) -> ActorSpec:
    return ActorSpec(
        "actor",
        0,
        command=(sys.executable, "-S", "-c", text),
        listeners=("public",),
        endpoints=endpoints,
    )


async def run(
    spec: ActorSpec, tmp_path: Path, sockets: Sockets, lifeline: Lifeline, generation: int = 1, *, beside: bool = False
) -> tuple[Exit, list[str]]:
    """Start it, and return how it ended and what it wrote to its crash log."""
    sockets.open_for(spec)
    # What the test runner itself was started with goes on to everybody.
    inherited = " ".join(fd.name for fd in descriptors() if inheritable(int(fd.name)))
    environ = {**os.environ, "NOTIFY_SOCKET": "theirs", "WATCHDOG_USEC": "1", "INHERITED": inherited}
    process = ProcessLauncher(sockets, lifeline, environ, tmp_path).start(spec, generation, beside=beside)
    with trio.fail_after(60):
        ended = await process.wait()
    words = process.crash_log_tail().decode().splitlines()
    assert await process.wait() == ended
    process.close()
    return ended, words


def inheritable(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:  # that of the listing itself
        return False


TELL = """
import os, socket, stat
fds = dict(pair.split(":") for pair in os.environ["PATCHBAY_ACTOR_FDS"].split(","))
def tell(text): os.write(int(fds["crashlog"]), f"{text}\\n".encode())
tell(sorted(fds))
for name in ("public", "pub"):
    with socket.socket(fileno=os.dup(int(fds[name]))) as sock:
        tell(f"{name} {sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)}")
        if name == "pub":
            tell(os.path.basename(sock.getsockname()))
open_now = {int(fd) for fd in os.listdir("/proc/self/fd")}
known = {0, 1, 2, int(os.environ["PATCHBAY_ACTOR_LIFELINE"]), *map(int, fds.values())}
known |= {int(fd) for fd in os.environ["INHERITED"].split()}
tell(len([fd for fd in open_now - known if os.path.exists(f"/proc/self/fd/{fd}")]))
tell(os.getsid(0) == os.getpid() == os.getpgid(0))
tell(os.environ["PATCHBAY_ACTOR_INDEX"] + os.environ["PATCHBAY_ACTOR_GENERATION"])
tell(os.path.basename(os.environ["NOTIFY_SOCKET"]))
tell(os.environ.get("WATCHDOG_USEC"))
tell(os.readlink("/proc/self/fd/0"))
"""


@pytest.mark.slow
async def test_what_an_actor_is_given(tmp_path: Path, sockets: Sockets, lifeline: Lifeline) -> None:
    ended, words = await run(script(TELL, "pub"), tmp_path, sockets, lifeline, generation=2)
    assert ended == Exit(code=0)
    assert words == [
        "['crashlog', 'pub', 'public']",
        "public 1",
        "pub 1",
        "actor.0.b.pub",
        "0",
        "True",
        "02",
        "notify.sock",
        "None",
        "/dev/null",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("beside", "told"), [(True, "1"), (False, "None")])
async def test_one_that_is_started_beside_another_knows(
    tmp_path: Path, sockets: Sockets, lifeline: Lifeline, beside: bool, told: str
) -> None:
    text = "import os; fd = int(os.environ['PATCHBAY_ACTOR_FDS'].rpartition(':')[2]); "
    text += "os.write(fd, str(os.environ.get('PATCHBAY_ACTOR_BESIDE')).encode())"
    _, words = await run(script(text), tmp_path, sockets, lifeline, beside=beside)
    assert words == [told]


@pytest.mark.slow
async def test_it_can_notify_in_a_directory_with_a_long_name(
    tmp_path: Path, sockets: Sockets, lifeline: Lifeline
) -> None:
    run_dir = tmp_path / ("long" * 30)
    ensure_run_dir(run_dir)
    text = "import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
    text += "s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])"
    from supervisor import sd_notify

    with sd_notify.listen(run_dir) as heard:
        ended, _ = await run(script(text), run_dir, sockets, lifeline)
        assert heard.recv(100) == b"READY=1"
    assert ended == Exit(code=0)


@pytest.mark.slow
async def test_its_end_by_a_signal(tmp_path: Path, sockets: Sockets, lifeline: Lifeline) -> None:
    text = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    ended, _ = await run(script(text), tmp_path, sockets, lifeline)
    assert ended == Exit(signal=signal.SIGKILL)


async def test_a_program_that_is_not_there(tmp_path: Path, sockets: Sockets, lifeline: Lifeline) -> None:
    before = open_descriptors()
    spec = ActorSpec("actor", 0, command=("/no/such/program",))
    with pytest.raises(FileNotFoundError):
        ProcessLauncher(sockets, lifeline, os.environ, tmp_path).start(spec, 1)
    assert open_descriptors() == before


@contextmanager
def open_pidfd(pid: int) -> Iterator[int]:
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.mark.slow
async def test_what_it_has_started_ends_with_it() -> None:
    read, write = os.pipe()
    text = f"import subprocess; p = subprocess.Popen(['sleep', '100']); import os; os.write({write}, b'%d' % p.pid)"
    pid = spawn((sys.executable, "-S", "-c", text), os.environ, [write])
    process = KernelProcess("actor.0", 1, pid, started_at=0.0)
    child = int(os.read(read, 100))
    with open_pidfd(child) as theirs:
        assert await process.wait() == Exit(code=0)
        with trio.fail_after(60):
            await trio.lowlevel.wait_readable(theirs)
    process.close()
    os.close(read)
    os.close(write)


@pytest.mark.slow
async def test_a_process_that_is_not_our_child() -> None:
    text = "import subprocess; print(subprocess.Popen(['sleep', '100'], stdout=subprocess.DEVNULL).pid)"
    parent = await trio.run_process([sys.executable, "-S", "-c", text], capture_stdout=True)
    pid = int(parent.stdout)
    ours, theirs = socket.socketpair()
    process = KernelProcess("actor.0", 1, pid, started_at=0.0, lifeline=ours)
    assert process.adopted
    process.signal(signal.SIGTERM)
    with trio.fail_after(60):
        assert await process.wait() == Exit()
    process.signal(signal.SIGTERM)
    process.kill()
    process.close()
    assert theirs.recv(1) == b""
    theirs.close()


def test_a_process_that_is_not_there() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with pytest.raises(ProcessLookupError):
        KernelProcess("actor.0", 1, gone.pid, started_at=0.0)
    assert start_time(gone.pid) is None


def test_lineage() -> None:
    found = lineage(os.getpid())
    assert found[0] == (os.getpid(), start_time(os.getpid()))
    if os.getppid() > 1:
        assert found[1][0] == os.getppid()


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (Exit(code=3), "exit status 3"),
        (Exit(code=0), "exit status 0, though nobody asked it to end"),
        (Exit(code=78), "exit status 78, a configuration error"),
        (Exit(signal=9), "killed by SIGKILL, not by the supervisor (out of memory, or by hand)"),
        (Exit(signal=11), "killed by SIGSEGV"),
        (Exit(), "ended, exit status unknown"),
    ],
)
def test_the_words_for_an_end(ended: Exit, words: str) -> None:
    assert describe_unplanned(ended) == words


def test_the_names_of_signals() -> None:
    assert signal_name(15) == "SIGTERM"
    assert signal_name(200) == "signal 200"
