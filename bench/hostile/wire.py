"""Peers that mean ill, or are badly made: raw sockets that say what no library would."""

from __future__ import annotations

import socket
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

UPGRADE = (
    "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
TEXT, BINARY, CONTINUATION, CLOSE, PING = 1, 2, 0, 8, 9
KEY = b"\x5a\x01\xfe\x33"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
    length: int | None = None,
) -> bytes:
    """A client's frame, with whatever is to be wrong about it; `length`: what it claims."""
    claimed = len(payload) if length is None else length
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    mask_bit = 0x80 if masked else 0
    if claimed < 126:
        head = struct.pack(">BB", first, mask_bit | claimed)
    elif claimed < 65536:
        head = struct.pack(">BBH", first, mask_bit | 126, claimed)
    else:
        head = struct.pack(">BBQ", first, mask_bit | 127, claimed)
    if not masked:
        return head + payload
    size = len(payload)
    mask = (KEY * (size // 4 + 1))[:size]
    return head + KEY + (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")


class Raw:
    """A connection on which anything can be said."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._received = b""

    async def say(self, data: bytes) -> bool:
        """Send; False when the other side has closed."""
        try:
            await self.stream.send_all(data)
        except trio.BrokenResourceError:
            return False
        return True

    async def until(self, end: bytes) -> None:
        """Read up to and with `end`."""
        while end not in self._received:
            piece = await self.stream.receive_some()
            if not piece:
                raise trio.BrokenResourceError
            self._received += piece
        self._received = self._received.partition(end)[2]

    async def to_the_end(self) -> bytes:
        """Read until the other side closes; returns what came, with what is here already."""
        with suppress(trio.BrokenResourceError):
            while piece := await self.stream.receive_some():
                self._received += piece
        return self._received

    async def close_code(self) -> int | None:
        """Read to the end; the code of the close frame, None when there was none."""
        return _close_code(await self.to_the_end())

    def reset(self) -> None:
        """Go without a word."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def _close_code(data: bytes) -> int | None:
    at = 0
    while at + 2 <= len(data):
        opcode, length = data[at] & 15, data[at + 1]
        at += 2
        if length == 126:
            length = int.from_bytes(data[at : at + 2], "big")
            at += 2
        elif length == 127:
            length = int.from_bytes(data[at : at + 8], "big")
            at += 8
        if opcode == CLOSE:
            return int.from_bytes(data[at : at + 2], "big")
        at += length
    return None


@asynccontextmanager
async def raw(port: int, path: str | None = None, headers: str = "") -> AsyncIterator[Raw]:
    """A TCP connection; with a path, an opened WebSocket."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Raw(stream)
        if path is not None:
            await stream.send_all(f"GET {path} HTTP/1.1\r\n{UPGRADE}{headers}\r\n".encode())
            await peer.until(b"\r\n\r\n")
        yield peer
