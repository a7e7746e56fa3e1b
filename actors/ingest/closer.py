"""Streams that are given up: each is closed once, with a word, by a task of its own. Knows nothing of why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from actors.ingest.stream import Stream


class Closer:
    """Closes what it is given. `run` must be running."""

    def __init__(self) -> None:
        self._streams: dict[Stream, tuple[int, str, float]] = {}
        self._more = trio.Event()

    def add(self, stream: Stream, code: int, reason: str, after_s: float = 0.0) -> bool:
        """Have a stream's connection closed, after so long. False when it is being closed already."""
        if stream.ending:
            return False
        stream.ending = True
        self._streams[stream] = (code, reason, after_s)
        self._more.set()
        return True

    async def run(self) -> None:
        """Close them, for ever."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._more.wait()
                self._more = trio.Event()
                given, self._streams = self._streams, {}
                for stream, how in given.items():
                    nursery.start_soon(_close, stream, *how)


async def _close(stream: Stream, code: int, reason: str, after_s: float) -> None:
    with trio.move_on_after(after_s):
        await stream.peer.closed.wait()
        return
    await stream.peer.close(code, reason)
