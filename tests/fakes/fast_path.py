"""A connection that is read from a real socket, in Python or in C, and knows the plain way only."""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from patchbay.net.poller import Poller
from patchbay.websocket.fast_path import LONGEST_ALIGNED, FastPath
from patchbay.websocket.frames import TEXT, find_frames, unmask
from tests.fakes.connections import tcp_pair

if TYPE_CHECKING:
    from collections.abc import Callable

    from patchbay.net.polled import ReadingInC


class Way(FastPath):
    """A connection that only knows the plain way, and remembers what else came."""

    def __init__(self, sock: socket.socket, on_text: Callable[[bytes], None]) -> None:
        self.sock, self.on_text = sock, on_text
        self.untaken, self.take_soon, self.last_heard = 0, False, -1.0
        self._on_fast_path, self._uncounted = True, 0
        self.odd: list[bytes] = []
        self.spent = 0
        self.ended = 0
        self.waited = 0
        self.round_is_long = False

    def _handle_any(self, data: memoryview, at: int, size: int) -> int:
        if self.waited:
            return at
        frames, need = find_frames(data, at, size, LONGEST_ALIGNED)
        for first, start, payload, end in frames:
            self._uncounted += 1
            try:
                if first == TEXT:
                    self.on_text(unmask(data, payload, end))
                    continue
            except UnicodeDecodeError:
                pass
            self.odd.append(bytes(data[start:end]))
        at = frames[-1][-1] if frames else at
        if need:  # nothing that follows can be told
            self.odd.append(bytes(data[at:size]))
            return size
        return at

    def _within_allowance(self) -> bool:
        self.spent, self._uncounted = self.spent + self._uncounted, 0
        return True

    def _is_burst(self, size: int) -> bool:
        if self.round_is_long:
            self.wait()
        return self.round_is_long

    def wait(self) -> None:
        self.waited += 1
        self._on_fast_path = False

    def _not_text(self) -> None:
        self.odd.append(b"not text")

    def end_of_input(self) -> None:
        self.ended += 1

    def writable(self) -> bool:
        return False


class Line:
    """A client's end, and the connection that a poller serves. `by_python`: how often C left something to do."""

    def __init__(
        self, on_text: Callable[[bytes], None], in_c: ReadingInC | None, *, take_late: bool, tcp: bool = False
    ) -> None:
        self.client, server = tcp_pair() if tcp else socket.socketpair()
        for end in (self.client, server):
            end.setblocking(False)
        self.by_python = 0
        self.poller = Poller(0, take_late=take_late, in_c=in_c)
        self._serve = self.poller._serve
        self.poller._serve = self._count  # type: ignore[assignment, method-assign]
        self.way = Way(server, on_text)
        self.poller.add(self.way)

    def _count(self, *args: Any) -> None:
        self.by_python += 1
        self._serve(*args)

    def hears(self, data: bytes) -> None:
        """The client sends this, and the poller has a round."""
        with suppress(OSError):  # it may have gone
            self.client.send(data)
        self.poller.round()

    def close(self) -> None:
        self.poller.remove(self.way)
        self.client.close()
        self.way.sock.close()

    def state(self) -> dict[str, object]:
        """All that may be seen of the connection."""
        return {
            "odd": self.way.odd,
            "counted": (self.way.spent, self.way._uncounted),
            "untaken": self.way.untaken,
            "heard": self.way.last_heard,
            "ended": self.way.ended,
            "waited": self.way.waited,
            "to be taken": (len(self.poller._ripe), len(self.poller._untaken)),
        }


def client_frame(message: bytes, key: bytes = b"\x12\x34\x56\x78", first: int = 0x81, bits: int = 16) -> bytes:
    """A client's frame. `bits`: of its length, which need not be as few as they could be."""
    length = {
        7: bytes([0x80 | min(len(message), 125)]),
        16: bytes([0xFE]) + (len(message) & 0xFFFF).to_bytes(2, "big"),
        64: bytes([0xFF]) + len(message).to_bytes(8, "big"),
    }[bits]
    return bytes([first]) + length + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(message))


def ready(fd: int) -> bool:
    """Whether there is something to be read now."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
