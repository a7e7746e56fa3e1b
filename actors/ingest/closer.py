"""Closes streams that are given up: each once, with close code and reason, by a task of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from actors.ingest.stream.stream import Stream


class Closer:
    """Closes the streams that `add` gets, while `run` is running."""

    def __init__(self) -> None:
        self._streams: dict[Stream, tuple[int, str, float]] = {}
        self._added = trio.Event()

    def add(self, stream: Stream, code: int, reason: str, after_s: float = 0.0) -> bool:
        """Have a connection closed after `after_s`. Returns False when it is being closed already."""
        if stream.is_closing:
            return False
        stream.is_closing = True
        self._streams[stream] = (code, reason, after_s)
        self._added.set()
        return True

    async def run(self) -> None:
        """Close streams, for ever. No slow connection delays another."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._added.wait()
                self._added = trio.Event()
                added, self._streams = self._streams, {}
                for stream, how in added.items():
                    nursery.start_soon(_close, stream, *how)


async def _close(stream: Stream, code: int, reason: str, after_s: float) -> None:
    with trio.move_on_after(after_s):
        await stream.peer.closed.wait()
        return
    await stream.peer.close(code, reason)
