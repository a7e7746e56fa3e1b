"""Terminates TLS at the public port, for machines without a proxy, and passes plain bytes on through a socket pair.

Knows nothing of what is spoken inside. A connection's keys live in this process only, so, unlike a plain one, it does
not outlive the gateway; nginx in front is for those who need that.
"""

from __future__ import annotations

import errno
import logging
import select
import socket
import ssl
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from config.settings import TlsSettings

log = logging.getLogger(__name__)

# What TLS 1.2 may use: forward secrecy and authenticated encryption only. TLS 1.3 has nothing else.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
LOOK_INTERVAL_S: Final = 1.0  # how often, at most, the files are looked at
PIECE_BYTES: Final = 16 * 1024
SEND_BUFFER_BYTES: Final = 32 * 1024  # what the kernel holds for a peer that does not read grows old there
CLOSE_TIMEOUT_S: Final = 1.0
SEND_TIMEOUT_S: Final = 60.0  # for a piece; a peer that reads so little has ended for every actor
ENDED_TIMEOUT_S: Final = 5.0  # for what is left, once nobody here has the connection any more
OUT_OF_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Certificate:
    """Holds the certificate and its key, and reads them again when their files have changed. Bad new files change
    nothing.

    Raises:
        OSError, ssl.SSLError: (when made) the files can't be used.
    """

    def __init__(self, certfile: str, keyfile: str) -> None:
        self._certfile, self._keyfile = certfile, keyfile
        self._looked_at = -LOOK_INTERVAL_S
        self._seen = self._stamp()
        self._context = make_context(certfile, keyfile)

    @classmethod
    def of(cls, settings: TlsSettings) -> Certificate | None:
        """Return the certificate of the settings; None: no TLS here."""
        return cls(settings.certfile, settings.keyfile) if settings.certfile and settings.keyfile else None

    def context(self, now: float) -> ssl.SSLContext:
        """Return the context for a new connection. `now`: monotonic seconds."""
        if now - self._looked_at >= LOOK_INTERVAL_S:
            self._looked_at = now
            if (stamp := self._stamp()) != self._seen and self.reload():
                self._seen = stamp
        return self._context

    def reload(self) -> bool:
        """Read the files again; False where that is to be tried once more, since there is no descriptor for it now."""
        try:
            self._context = make_context(self._certfile, self._keyfile)
            log.info("certificate read again: %s", self._certfile)
        except (OSError, ssl.SSLError) as error:
            log.error("the certificate in use stays; the new one can't be used: %s", error)
            return error.errno not in OUT_OF_RESOURCES
        return True

    def _stamp(self) -> tuple[int, int] | None:
        try:
            return Path(self._certfile).stat().st_mtime_ns, Path(self._keyfile).stat().st_mtime_ns
        except OSError:
            return None


def make_context(certfile: str, keyfile: str) -> ssl.SSLContext:
    """Return a server's context with modern settings."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certfile, keyfile, password=_no_password)
    return context


def _no_password() -> str:
    """Refuse an encrypted key: OpenSSL would ask for a password at the terminal."""
    raise ssl.SSLError("the key is encrypted")


async def handshake(
    sock: socket.socket, context: ssl.SSLContext, timeout_s: float
) -> trio.SSLStream[trio.SocketStream] | None:
    """Open TLS on a connection; None (and the connection is closed) when the peer does not or can't. Cancelling closes
    it too."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    stream = trio.SSLStream(
        trio.SocketStream(trio.socket.from_stdlib_socket(sock)), context, server_side=True, https_compatible=True
    )
    try:
        with trio.move_on_after(timeout_s):
            await stream.do_handshake()
            return stream
    except trio.BrokenResourceError as error:
        log.debug("no TLS: %s", error.__cause__)
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    await trio.aclose_forcefully(stream)
    return None


class TlsRelay:
    """Relays the bytes of all TLS connections, and ends those that outlast their plain side.

    Attributes:
        count: how many connections there are, those that are closing too.
        refused: connections that ended since there were no descriptors for their plain side.
        late: those that were ended since their peers did not read what was left.
    """

    def __init__(self) -> None:
        self._scopes: dict[int, trio.CancelScope] = {}  # by the descriptor of our end of the plain side
        self._ends = select.epoll()
        self.count = 0
        self.refused = 0
        self.late = 0

    async def relay(
        self, stream: trio.SSLStream[trio.SocketStream], serve: Callable[[socket.socket], Awaitable[None]]
    ) -> None:
        """Give the plain side of a TLS connection to `serve`, which owns that socket, and relay bytes until either
        ends."""
        try:
            inner, plain = socket.socketpair()
        except OSError as error:
            log.warning("a TLS connection is refused: %s", error)
            self.refused += 1
            await trio.aclose_forcefully(stream)
            return
        plain.setblocking(False)
        inside = trio.SocketStream(trio.socket.from_stdlib_socket(inner))
        with trio.CancelScope() as scope, self._counting():
            async with stream, inside, trio.open_nursery() as nursery:
                nursery.start_soon(serve, plain)
                with self._watching(inner, scope):
                    nursery.start_soon(_inwards, stream, inside)
                    await _outwards(inside, stream)
                    with trio.move_on_after(CLOSE_TIMEOUT_S):
                        await _close(stream)
                nursery.cancel_scope.cancel()
        self.late += scope.cancelled_caught

    async def end_overdue(self) -> None:
        """Give each connection a deadline once its plain side has ended. For ever."""
        while True:
            await trio.lowlevel.wait_readable(self._ends.fileno())
            for fd, _ in self._ends.poll(0):
                self._ends.unregister(fd)
                self._scopes[fd].deadline = trio.current_time() + ENDED_TIMEOUT_S
            await trio.lowlevel.checkpoint()

    @contextmanager
    def _counting(self) -> Iterator[None]:
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1

    @contextmanager
    def _watching(self, inner: socket.socket, scope: trio.CancelScope) -> Iterator[None]:
        """Learn from the kernel when the last copy of the plain side is closed."""
        fd = inner.fileno()
        self._scopes[fd] = scope
        self._ends.register(fd, 0)  # EPOLLHUP alone, which comes unasked
        try:
            yield
        finally:
            del self._scopes[fd]
            with suppress(OSError, ValueError):  # it has ended already, or is closed
                self._ends.unregister(fd)


async def _inwards(stream: trio.SSLStream[trio.SocketStream], inside: trio.SocketStream) -> None:
    try:
        while piece := await stream.receive_some(PIECE_BYTES):
            await inside.send_all(piece)
        await inside.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        with suppress(OSError):  # not closed: another connection could get the descriptor, and be taken for this one
            inside.socket.shutdown(socket.SHUT_RDWR)


async def _outwards(inside: trio.SocketStream, stream: trio.SSLStream[trio.SocketStream]) -> None:
    try:
        while piece := await inside.receive_some(PIECE_BYTES):
            with trio.move_on_after(SEND_TIMEOUT_S) as patience:
                await stream.send_all(piece)
            if patience.cancelled_caught:
                return
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


async def _close(stream: trio.SSLStream[trio.SocketStream]) -> None:
    try:
        await stream.aclose()
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
        return
