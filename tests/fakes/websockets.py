"""A WebSocket client made by hand: every byte of it, and every cut between them, is the test's."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trio

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 0x81, 0x82, 0x88, 0x89, 0x8A, 0x80
KEY = b"\x11\x22\x33\x44"
END_OF_HEAD = b"\r\n\r\n"


def upgrade_head(target: str = "/audio-stream", *lines: str) -> bytes:
    """A request for a WebSocket."""
    given = "".join(f"{line}\r\n" for line in lines)
    return (
        f"GET {target} HTTP/1.1\r\nHost: patchbay\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{given}\r\n"
    ).encode()


def masked(payload: bytes, first: int = TEXT) -> bytes:
    """A client's frame."""
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", first, 0x80 | size)
    elif size < 65536:
        head = struct.pack(">BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", first, 0x80 | 127, size)
    mask = (KEY * (size // 4 + 1))[:size]
    hidden = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big") if size else b""
    return head + KEY + hidden


class ServerFrames:
    """Reads what a server sends: the answer to the head, then frames."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def answer(self) -> bytes:
        """The response head."""
        while END_OF_HEAD not in self._buffer:
            await self._more()
        end = self._buffer.index(END_OF_HEAD) + len(END_OF_HEAD)
        answer = bytes(self._buffer[:end])
        del self._buffer[:end]
        return answer

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: first byte and payload. EOFError at the end, which must be between two frames."""
        while (found := self._whole()) is None:
            await self._more()
        return found

    async def text(self) -> bytes:
        """The payload of the next frame, which is text."""
        first, payload = await self.frame()
        assert first == TEXT, (first, payload)
        return payload

    async def close_code(self) -> int:
        """What the next close frame says; what comes before it is passed over."""
        while True:
            first, payload = await self.frame()
            if first == CLOSE:
                return int.from_bytes(payload[:2], "big")

    async def _more(self) -> None:
        data = await self._stream.receive_some(65536)
        if not data:
            assert not self._buffer, f"torn: ends within a frame: {bytes(self._buffer)!r}"
            raise EOFError
        self._buffer += data

    def _whole(self) -> tuple[int, bytes] | None:
        data = self._buffer
        if len(data) < 2:
            return None
        size, at = data[1], 2
        if size >= 126:
            at = 4 if size == 126 else 10
            size = int.from_bytes(data[2:at], "big")
        if len(data) < at + size:
            return None
        frame = data[0], bytes(data[at : at + size])
        del data[: at + size]
        return frame
