"""An actor outlives its supervisor, finds the next one, and stops by itself when none comes."""

from __future__ import annotations

import json
import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from config import load
from patchbay.process.context import Context
from patchbay.process.identity import Identity
from patchbay.process.sd_notify import Notifier
from patchbay.process.supervision import follow_supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from patchbay.bus.sockets import Bus
    from patchbay.handover.link import GatewayLink


class Actor:
    """One that follows its supervisor; `given_up` when it has stopped looking for one."""

    def __init__(self, run_dir: Path, grace_s: float) -> None:
        self.lifeline, theirs = os.pipe()
        self.supervisor: int | None = theirs
        self.file = os.open("/dev/null", os.O_RDONLY)
        identity = Identity("ingest", 1, 3, fds={"pub": self.file}, lifeline=self.lifeline)
        environ = {"PATCHBAY_RUN_DIR": str(run_dir), "PATCHBAY_SUPERVISOR__GRACE_S": str(grace_s)}
        self.context = Context(load(environ), identity, cast("Bus", None), cast("GatewayLink", None), Notifier(None))
        self.given_up = trio.Event()

    async def run(self) -> None:
        await follow_supervisor(self.context, self.context.is_ready)
        self.given_up.set()

    def lose_supervisor(self) -> None:
        assert self.supervisor is not None
        os.close(self.supervisor)
        self.supervisor = None


@asynccontextmanager
async def following(run_dir: Path, grace_s: float = 30) -> AsyncIterator[Actor]:
    actor = Actor(run_dir, grace_s)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(actor.run)
            await wait_all_tasks_blocked()
            yield actor
            nursery.cancel_scope.cancel()
    if actor.supervisor is not None:
        actor.lose_supervisor()
    os.close(actor.file)


class NextSupervisor:
    """Listens where actors call."""

    def __init__(self, run_dir: Path) -> None:
        self.listener = trio.socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.path = str(run_dir / "supervisor.sock")

    async def adopt(
        self, answer: bytes = b'{"ok":true}'
    ) -> tuple[trio.socket.SocketType, dict[str, object], list[int]]:
        await self.listener.bind(self.path)
        self.listener.listen(5)
        sock, _ = await self.listener.accept()
        await trio.lowlevel.wait_readable(sock)
        plain = socket.socket(fileno=os.dup(sock.fileno()))
        hello, fds, _, _ = socket.recv_fds(plain, 4096, 8)
        plain.close()
        await sock.send(answer)
        os.unlink(self.path)  # noqa: PTH108
        self.listener.close()
        self.listener = trio.socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return sock, json.loads(hello)["hello"], fds


async def test_follows_as_long_as_it_is_there(tmp_path: Path) -> None:
    """Nothing happens."""
    async with following(tmp_path) as actor:
        await wait_all_tasks_blocked(0.02)
        assert not actor.given_up.is_set()


async def test_gives_up_when_none_comes(tmp_path: Path) -> None:
    """After the grace time."""
    async with following(tmp_path, grace_s=0.3) as actor:
        before = trio.current_time()
        actor.lose_supervisor()
        await actor.given_up.wait()
        assert trio.current_time() - before >= 0.3


@pytest.mark.slow
async def test_is_adopted_again_and_again(tmp_path: Path) -> None:
    """It says who it is and gives back what it was given; the grace time begins anew with each loss."""
    async with following(tmp_path, grace_s=0.6) as actor:
        actor.context.is_ready.set()
        actor.lose_supervisor()
        supervisor = NextSupervisor(tmp_path)
        for _ in range(2):
            sock, hello, fds = await supervisor.adopt()
            assert (hello["name"], hello["index"], hello["generation"], hello["ready"]) == ("ingest", 1, 3, True)
            assert hello["fds"] == ["pub"]
            assert os.path.samestat(os.fstat(fds[0]), os.fstat(actor.file))
            os.close(fds[0])
            await trio.sleep(0.7)  # longer than the grace time, under a supervisor
            assert not actor.given_up.is_set()
            sock.close()
        supervisor.listener.close()
        await actor.given_up.wait()


@pytest.mark.parametrize("answer", [b'{"ok":false}', b"rubbish"])
async def test_one_that_does_not_want_it_is_asked_again(tmp_path: Path, answer: bytes) -> None:
    """Until it does."""
    async with following(tmp_path) as actor:
        actor.lose_supervisor()
        supervisor = NextSupervisor(tmp_path)
        for each in (answer, b'{"ok":true}'):
            sock, _, fds = await supervisor.adopt(each)
            os.close(fds[0])
            sock.close()
        assert not actor.given_up.is_set()
        supervisor.listener.close()


async def test_an_adopted_actor_can_be_cancelled(tmp_path: Path) -> None:
    """One that fails must not hang on its life line."""
    async with following(tmp_path) as actor:
        actor.lose_supervisor()
        supervisor = NextSupervisor(tmp_path)
        sock, _, fds = await supervisor.adopt()
        os.close(fds[0])
        await wait_all_tasks_blocked(0.02)
    sock.close()
    supervisor.listener.close()
