"""Sockets of the bus in memory: what `patchbay.bus.sockets` offers, with the other end in the test's hands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from patchbay.protocol import batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patchbay.process.identity import Identity


def entries_of(message: bytes) -> Iterator[batches.Entry]:
    """The entries of a whole batch."""
    _, at = batches.unpack_batch(message)
    while at < len(message):
        yield (entry := batches.entry_at(message, at))
        at += batches.ENTRY_BYTES + entry.length


class FakeSocket:
    """A DEALER, SUB or publisher. The test puts frames in by `arrive` and looks at `sent`; `accepts` is room to
    send."""

    def __init__(self) -> None:
        self._into, self._out = trio.open_memory_channel[bytes](10_000)
        self.sent: list[bytes] = []
        self.accepts = True
        self.dropped = 0

    def arrive(self, *frames: bytes) -> None:
        for frame in frames:
            self._into.send_nowait(frame)

    async def receive_many(self, limit: int = 64) -> list[bytes]:
        batch = [await self._out.receive()]
        while len(batch) < limit:
            try:
                batch.append(self._out.receive_nowait())
            except trio.WouldBlock:
                break
        return batch

    def send_nowait(self, frame: bytes) -> bool:
        if not self.accepts:
            self.dropped += 1
            return False
        self.sent.append(frame)
        return True

    def close(self) -> None:
        self._into.close()


class FakeRouter:
    """A ROUTER; the test is its peers."""

    def __init__(self) -> None:
        self._into, self._out = trio.open_memory_channel[tuple[bytes, bytes]](10_000)
        self.sent: list[tuple[bytes, bytes]] = []

    def arrive(self, routing_id: bytes, frame: bytes) -> None:
        self._into.send_nowait((routing_id, frame))

    async def receive_from(self, limit: int = 64) -> list[tuple[bytes, bytes]]:
        batch = [await self._out.receive()]
        while len(batch) < limit:
            try:
                batch.append(self._out.receive_nowait())
            except trio.WouldBlock:
                break
        return batch

    def send_to(self, routing_id: bytes, frame: bytes) -> bool:
        self.sent.append((routing_id, frame))
        return True


class FakeBus:
    """Makes such sockets, one for each name, and remembers them: `sockets["pub"]`, `sockets["ingest.pub"]`."""

    def __init__(self, identity: Identity | None = None) -> None:
        self.identity = identity
        self.sockets: dict[str, FakeSocket] = {}
        self.routers: dict[str, FakeRouter] = {}

    def publisher(self, endpoint: str) -> FakeSocket:
        return self.sockets.setdefault(endpoint, FakeSocket())

    def subscriber(self, actor: str, endpoint: str, *topics: bytes) -> FakeSocket:
        del topics
        return self.sockets.setdefault(f"{actor}.{endpoint}", FakeSocket())

    def dealer(self, actor: str, endpoint: str) -> FakeSocket:
        return self.sockets.setdefault(f"{actor}.{endpoint}", FakeSocket())

    def router(self, endpoint: str) -> FakeRouter:
        return self.routers.setdefault(endpoint, FakeRouter())

    def close(self) -> None:
        """As the real one."""
