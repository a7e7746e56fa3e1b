"""Descriptors, threads, memory and disk that run out end no process: each call that can fail so is tried with that
failure."""

from __future__ import annotations

import errno
import os
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from actors.call_events.dispatcher import Dispatcher
from actors.call_events.entry import Interest
from actors.call_events.journal.interface import Unavailable
from actors.call_events.journal.writer import JournalWriter
from actors.gateway.actor import _next_gateway
from config.settings import EventSettings
from patchbay.handover.link import GatewayLink
from patchbay.net.unix_packets import PacketSocket
from patchbay.process import memory_trim
from patchbay.process.identity import Identity
from tests.call_events.samples import arrival
from tests.fakes.handovers import town, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from patchbay.handover.connection import HandedConnection

CODES = [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC]


async def serve(handed: HandedConnection) -> None:
    """Nothing comes."""


def failing(code: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", CODES)
async def test_an_actor_that_can_not_call_the_gateway_tries_again(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And serves what it is given then."""
    async with town(tmp_path) as place:
        place.exchange()
        link = GatewayLink(place.path, Identity("console", 0, 1))
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", failing(code))
            place.nursery.start_soon(link.serve, serve)
            await trio.sleep(0.12)
            assert not link.is_connected
        await until(lambda: link.is_connected)


@pytest.mark.parametrize("code", CODES)
def test_a_gateway_that_stops_without_a_descriptor(code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Has nobody to give anything to."""
    assert _next_gateway(str(tmp_path)) is None
    monkeypatch.setattr(socket, "socket", failing(code))
    assert _next_gateway(str(tmp_path)) is None


def test_descriptors_that_can_not_be_counted_are_as_many_as_there_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking needs one."""
    assert 2 < memory_trim._descriptors() < 1000
    monkeypatch.setattr(os, "scandir", failing(errno.EMFILE))
    assert memory_trim._descriptors() > 100


@pytest.mark.parametrize("code", [errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS])
async def test_a_packet_that_the_kernel_has_no_room_for_is_sent_later(code: int) -> None:
    """Its peer is still there."""

    class Full(socket.socket):
        is_full = True

        def sendmsg(self, *given: Any) -> int:
            if self.is_full:
                raise OSError(code, os.strerror(code))
            return super().sendmsg(*given)

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    full = Full(fileno=ours.detach())
    packets = PacketSocket(full, max_packet_bytes=100)
    with theirs, trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(packets.write_queued)
            packets.send_nowait(b"hello", 0)
            await trio.lowlevel.checkpoint()
            full.is_full = False
            await packets.flush()
            nursery.cancel_scope.cancel()
        data, fds, _, _ = socket.recv_fds(theirs, 100, 1)
        assert data == b"hello"
        os.close(fds[0])
        packets.close()


NO_THREAD = RuntimeError("can't start new thread")


@pytest.mark.parametrize(
    "error", [NO_THREAD, MemoryError(), OSError(errno.EMFILE, "no"), OSError(errno.ENOSPC, "no")], ids=repr
)
async def test_a_journal_without_a_thread_is_unavailable(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For that moment; what is given again is taken then."""
    settings = EventSettings()
    hub = Dispatcher(settings)
    recorder = JournalWriter(tmp_path, settings, hub.opened, hub.committed)
    real = trio.to_thread.run_sync

    async def fail(*_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()
        raise error

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(recorder.run)
            await recorder.session.ready.wait()
            monkeypatch.setattr(trio.to_thread, "run_sync", fail)
            with pytest.raises(Unavailable):
                await recorder.record([arrival("a")])
            with pytest.raises(Unavailable):
                await recorder.reader.page(Interest(), 0)
            assert not recorder.is_available
            monkeypatch.setattr(trio.to_thread, "run_sync", real)
            assert await recorder.record([arrival("a")]) == [True]
            assert recorder.is_available
            monkeypatch.setattr(trio.to_thread, "run_sync", partial(fail))
            nursery.cancel_scope.cancel()
