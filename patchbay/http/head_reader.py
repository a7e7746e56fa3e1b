"""Takes a request head from a socket: exactly the head, and not a byte of what follows it.

Looks with MSG_PEEK until the blank line is there, then takes up to it, so that the rest stays in the socket for
whichever process serves the connection. SO_RCVLOWAT makes the kernel wait for *more* than was already seen; without
it, a peeked socket stays readable and a slow head would spin.
"""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

import trio

from patchbay.http.head import END_OF_HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator


PAUSE_S = 0.02


class HeadTooLarge(Exception):
    """The head is longer than allowed. No byte was taken."""


class HeadTimeout(Exception):
    """The head was not complete in time. `seen`: how many bytes of it there were."""

    def __init__(self, seen: int) -> None:
        super().__init__(f"{seen} bytes of a request head, then nothing")
        self.seen = seen


class PeerGone(Exception):
    """The peer closed or reset the connection before its head was complete. `seen`: as in HeadTimeout."""

    def __init__(self, seen: int) -> None:
        super().__init__(f"closed after {seen} bytes of a request head")
        self.seen = seen


async def read_head(sock: socket.socket, *, max_bytes: int, timeout_s: float) -> bytes:
    """Return the next request head, blank line included, and take it from the socket.

    Raises:
        HeadTooLarge, HeadTimeout, PeerGone: as they say.

    Cancelling is safe: nothing has been taken then.
    """
    return take(sock, len(await peek_head(sock, max_bytes=max_bytes, timeout_s=timeout_s)))


async def peek_head(sock: socket.socket, *, max_bytes: int, timeout_s: float) -> bytes:
    """Return the next request head as `read_head` does, and leave it in the socket."""
    seen = b""
    try:
        with trio.move_on_after(timeout_s):
            while True:
                await trio.lowlevel.wait_readable(sock)
                before = len(seen)
                seen = _peek(sock, max_bytes + len(END_OF_HEAD), seen)
                end = seen.find(END_OF_HEAD)
                if end >= 0:
                    head = seen[: end + len(END_OF_HEAD)]
                    if len(head) > max_bytes:
                        raise HeadTooLarge
                    return head
                if len(seen) > max_bytes:
                    raise HeadTooLarge
                if len(seen) == before:
                    await _spurious(sock, before)
                _wait_for_more_than(sock, len(seen))
    finally:
        _wait_for_more_than(sock, 0)
    raise HeadTimeout(len(seen))


def take(sock: socket.socket, count: int) -> bytes:
    """Take that many bytes, which are known to be there."""
    return b"".join(_pieces(sock, count))


def _pieces(sock: socket.socket, count: int) -> Iterator[bytes]:
    while count:
        piece = sock.recv(count)
        if not piece:
            raise PeerGone(count)
        count -= len(piece)
        yield piece


def _peek(sock: socket.socket, limit: int, seen: bytes) -> bytes:
    try:
        return sock.recv(limit, socket.MSG_PEEK)
    except BlockingIOError:
        return seen
    except OSError as error:
        raise PeerGone(len(seen)) from error


async def _spurious(sock: socket.socket, seen: int) -> None:
    """Wait when the socket is readable without new bytes: the kernel was short of memory. Raises PeerGone where the
    peer has closed."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    if poll.poll(0):
        raise PeerGone(seen)
    await trio.sleep(PAUSE_S)


def _wait_for_more_than(sock: socket.socket, count: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count + 1)
    except OSError:
        return  # closed meanwhile; the next read says so
