"""sd_notify: the datagrams of actors, and what the supervisor tells systemd."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import trio

from patchbay.process.sd_notify import Notifier
from supervisor import sd_notify
from tests.supervisor.fakes import SPEC, FakeProcess, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


async def test_the_sender_is_who_the_kernel_says(tmp_path: Path) -> None:
    got: list[tuple[int, Mapping[str, str]]] = []
    descriptors = open_descriptors()
    with sd_notify.listen(tmp_path) as heard:
        assert (tmp_path / "notify.sock").stat().st_mode & 0o777 == 0o600
        async with trio.open_nursery() as nursery:
            enough = trio.Event()

            def hear(pid: int, fields: Mapping[str, str]) -> None:
                got.append((pid, fields))
                if len(got) == 2:
                    enough.set()

            nursery.start_soon(sd_notify.receive, heard, hear)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.connect(str(tmp_path / "notify.sock"))
                sender.send(b"READY=1")
                socket.send_fds(sender, [b"WATCHDOG=1"], [0, 1])
            await enough.wait()
            nursery.cancel_scope.cancel()
    assert got == [(os.getpid(), {"READY": "1"}), (os.getpid(), {"WATCHDOG": "1"})]
    assert open_descriptors() == descriptors


async def test_what_a_process_says_of_itself() -> None:
    process = FakeProcess(SPEC, 1, ready=False, obedient=True)
    process.on_notification({"STATUS": "warming up"}, 1.0)
    assert (process.status, process.beat_at) == ("warming up", None)
    assert not process.ready.is_set()
    process.on_notification({"READY": "1", "WATCHDOG": "1", "X_FRAMES_IN": "7", "X_LAG_MS": "?"}, 2.0)
    assert process.ready.is_set()
    assert process.beat_at == 2.0
    assert process.progress == {"frames_in": 7.0}


@pytest.mark.parametrize("abstract", [True, False])
async def test_what_systemd_is_told(tmp_path: Path, autojump_clock: object, abstract: bool) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as above:
        name = f"\0patchbay-test-{os.getpid()}" if abstract else str(tmp_path / "above.sock")
        above.bind(name)
        above.setblocking(False)
        with closing(Notifier.from_environment({"NOTIFY_SOCKET": name.replace("\0", "@")})) as notifier:
            notifier.send(READY=1, STATUS="fine")
            assert above.recv(100) == b"READY=1\nSTATUS=fine"
            with trio.move_on_after(4):
                await sd_notify.beat(notifier, 3.0)
        assert [above.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3


async def test_there_is_no_systemd(caplog: pytest.LogCaptureFixture) -> None:
    with closing(Notifier.from_environment({})) as nobody:
        nobody.send(READY=1)
        await sd_notify.beat(nobody, None)
    environ = {"NOTIFY_SOCKET": "/no/such/socket"}
    with closing(Notifier.from_environment(environ, failure_level=logging.WARNING)) as gone:
        gone.send(READY=1)
    assert "notification not sent to /no/such/socket" in caplog.text


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}, 1.0),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_interval_of_the_watchdog(environ: dict[str, str], interval_s: float | None) -> None:
    assert sd_notify.watchdog_s(environ) == interval_s
