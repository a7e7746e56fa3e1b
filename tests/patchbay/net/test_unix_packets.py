"""Packets and descriptors arrive in order, whatever the kernel takes at a time; nothing leaks."""

from __future__ import annotations

import os
import socket
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from patchbay.net import unix_packets as packets_module
from patchbay.net.unix_packets import PacketSocket, PacketSocketClosed
from tests.fakes.descriptors import descriptors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAX_BYTES = 8192


def null() -> TextIO:
    return Path("/dev/null").open()


@pytest.fixture
async def ends() -> AsyncIterator[tuple[PacketSocket, PacketSocket]]:
    a, b = (
        PacketSocket(each, max_packet_bytes=MAX_BYTES)
        for each in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    )
    yield a, b
    a.close()
    b.close()


@asynccontextmanager
async def writing(sender: PacketSocket) -> AsyncIterator[None]:
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.write_queued)
            yield
            nursery.cancel_scope.cancel()


async def take(receiver: PacketSocket, count: int) -> list[tuple[bytes, int | None]]:
    got: list[tuple[bytes, int | None]] = []
    async with aclosing(receiver.packets()) as packets:
        async for received in packets:
            got.append(received)
            if len(got) == count:
                break
    return got


async def test_a_full_queue_is_sent_in_order_with_its_descriptors(ends: tuple[PacketSocket, PacketSocket]) -> None:
    """Hundreds of packets behind a full socket; each with the file that belongs to it, or none."""
    sender, receiver = ends
    before = descriptors()
    count = 600
    async with writing(sender):
        for index in range(count):
            if index % 3:
                sender.send_nowait(b"%d" % index + b" " * 3000)
                continue
            read, write = os.pipe()
            os.write(write, b"%d" % index)
            os.close(write)
            sender.send_nowait(b"%d" % index + b" " * 3000, read)
            os.close(read)
        got = await take(receiver, count)
        await sender.flush()
    for index, (packet, fd) in enumerate(got):
        assert int(packet) == index
        assert (fd is None) == bool(index % 3)
        if fd is not None:
            assert os.read(fd, 100) == b"%d" % index
            os.close(fd)
    assert descriptors() == before


async def test_flush_waits_for_the_kernel(ends: tuple[PacketSocket, PacketSocket]) -> None:
    """Not before it has everything."""
    sender, receiver = ends
    flushed = trio.Event()

    async def flush() -> None:
        await sender.flush()
        flushed.set()

    async with writing(sender):
        await sender.flush()
        for _ in range(200):
            sender.send_nowait(b"x" * 4000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flush)
            await wait_all_tasks_blocked(0.01)
            assert not flushed.is_set()
            await take(receiver, 200)
            await flushed.wait()


async def test_the_end_is_told_to_both(ends: tuple[PacketSocket, PacketSocket]) -> None:
    """What had been sent is read first; sending says so; queued descriptors are closed."""
    sender, receiver = ends
    before = descriptors()
    for _ in range(3):
        sender.send_nowait(b"last")
    sender.close()
    assert [packet async for packet, _ in receiver.packets()] == [b"last"] * 3
    with pytest.raises(PacketSocketClosed):
        receiver.send_nowait(b"too late")
    assert descriptors() == before - 1
    sender.close()


async def test_what_was_queued_is_given_up_with_the_socket(ends: tuple[PacketSocket, PacketSocket]) -> None:
    """No descriptor stays open."""
    sender, _ = ends
    before = descriptors()
    with null() as file:
        for _ in range(200):
            sender.send_nowait(b"x" * 4000, file.fileno())
        assert descriptors() > before + 1
    sender.close()
    assert descriptors() == before - 1


async def test_the_writer_ends_when_the_other_end_has_gone(ends: tuple[PacketSocket, PacketSocket]) -> None:
    """It has something queued, and nobody to send it to."""
    sender, receiver = ends
    for _ in range(200):
        sender.send_nowait(b"x" * 4000)
    receiver.close()
    with trio.fail_after(20):
        await sender.write_queued()


async def test_the_queue_is_bounded(ends: tuple[PacketSocket, PacketSocket], monkeypatch: pytest.MonkeyPatch) -> None:
    """An end that never reads is as good as gone."""
    sender, _ = ends
    monkeypatch.setattr(packets_module, "QUEUE_MAX", 10)
    with pytest.raises(PacketSocketClosed):
        for _ in range(1000):
            sender.send_nowait(b"x" * 4000)


async def test_a_packet_that_is_too_long_is_our_fault(ends: tuple[PacketSocket, PacketSocket]) -> None:
    """It would be cut at the other end. The connection stays."""
    sender, receiver = ends
    with pytest.raises(ValueError, match="8193"):
        sender.send_nowait(b"x" * (MAX_BYTES + 1))
    sender.send_nowait(b"y" * MAX_BYTES)
    assert await take(receiver, 1) == [(b"y" * MAX_BYTES, None)]


async def test_without_descriptors_left_it_is_as_good_as_closed(
    ends: tuple[PacketSocket, PacketSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that must wait needs a copy."""
    sender, _ = ends
    monkeypatch.setattr(os, "dup", lambda fd: (_ for _ in ()).throw(OSError(24, "too many open files")))
    with null() as file, pytest.raises(PacketSocketClosed):
        for _ in range(200):
            sender.send_nowait(b"x" * 4000, file.fileno())
