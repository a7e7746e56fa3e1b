"""The incoming half of a WebSocket, from the bytes that a peer has sent to messages: read at once, or with what is
read by the idle reader while nobody listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import trio

from actors.ingest.stream.idle_reader import IdleReader
from patchbay.net.rate_limit import RateLimit
from patchbay.net.turns import Turns
from patchbay.websocket.frame_reader import FrameReader
from tests.fakes.connections import FakeSendQueue

if TYPE_CHECKING:
    from patchbay.websocket.send_queue import SendQueue

LONGEST = 64 * 1024


class Reader(FrameReader):
    """Counts messages; what would end the connection ends its reading."""

    def __init__(self, *, is_idle: bool) -> None:
        self.turns: Turns[Reader] = Turns(lambda: 0.0)
        super().__init__(
            cast("SendQueue", FakeSendQueue()),
            RateLimit(1e9, 1e9),
            LONGEST,
            strict_text=True,
            turns=self.turns,
            owner="one",
        )
        self.messages = 0
        self.on_text = self.on_binary = self._hear
        self._idle_reader = IdleReader(15, 0.0)
        self.on_bulk = self._on_bulk if is_idle else None

    def read(self, data: memoryview) -> None:
        """Read what is whole, turn by turn."""
        at = self.handle(data, 0, len(data))
        while self.turns.call() is not None:
            at = self.handle(data, at, len(data))

    def _hear(self, message: bytes) -> None:
        del message
        self.messages += 1

    def _on_bulk(self, data: memoryview, at: int, size: int) -> int:
        inbound, outbound, at = self._idle_reader.take(data, at, size, 0.0)
        self.messages += inbound + outbound
        return at

    def _fail(self, code: int, reason: str) -> None:
        del code, reason
        self._discards_input = True

    def _too_much(self, kind: str, code: int, reason: str) -> None:
        del kind, code, reason
        self._discards_input = True

    def _hear_close(self, code: int) -> None:
        del code
        self._discards_input = True


async def _read(data: bytes) -> None:
    heard = []
    for is_idle in (False, True):
        reader = Reader(is_idle=is_idle)
        reader.read(memoryview(data))
        heard.append(reader.messages)
    assert heard[0] == heard[1]


def read(data: bytes) -> None:
    """The same messages are heard in both ways."""
    trio.run(_read, data)
