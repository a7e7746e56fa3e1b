"""TLS at the listener: peers that never read, and a machine that has run out of descriptors, cost themselves only."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import tempfile
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from actors.gateway import tls
from actors.gateway.listener import Listener
from actors.gateway.tls import Certificate, TlsRelay, handshake
from config import load
from tests.e2e.test_auth_tls import write_certificate
from tests.fakes.descriptors import descriptors
from tests.fakes.handovers import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from patchbay.http.head import RequestHead, Route

MUCH = b"x" * 16 * 1024 * 1024
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="patchbay-tls-") as name:
        write_certificate(Path(name), "localhost")
        yield Path(name)


class Entrance:
    """A listener with TLS; what it lets in is answered by `serve`."""

    def __init__(self, directory: Path, **environ: str) -> None:
        self.certificate = Certificate(str(directory / "cert.pem"), str(directory / "key.pem"))
        self.trusting = ssl.create_default_context(cafile=str(directory / "cert.pem"))
        settings = load({"PATCHBAY_RUN_DIR": "/nonexistent", **environ}).gateway
        self.listener = Listener(settings, self._admit, self.certificate)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.admitted: list[socket.socket] = []
        self._clients: list[trio.SSLStream[trio.SocketStream]] = []

    def _admit(self, sock: socket.socket, peer: str, head: bytes, parsed: RequestHead, target: Route) -> None:
        self.admitted.append(sock)

    async def connect(self) -> trio.SSLStream[trio.SocketStream]:
        plain = await trio.open_tcp_stream(*self.listening.getsockname())
        stream = trio.SSLStream(plain, self.trusting, server_hostname="localhost", https_compatible=True)
        self._clients.append(stream)
        await stream.do_handshake()
        return stream

    async def close(self) -> None:
        for stream in self._clients:
            await trio.aclose_forcefully(stream)
        for sock in self.admitted:
            sock.close()


@asynccontextmanager
async def entrance(directory: Path, **environ: str) -> AsyncIterator[Entrance]:
    made = Entrance(directory, **environ)
    with trio.fail_after(20), made.listening:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.listener.accept, made.listening, nursery)
            nursery.start_soon(made.listener.tls.end_overdue)
            try:
                yield made
            finally:
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    await made.close()


async def fill(sock: socket.socket) -> None:
    """Send until nothing is taken any more, wherever it could be on its way."""
    refused = 0
    while refused < 5:
        try:
            sock.send(MUCH)
            refused = 0
        except BlockingIOError:
            refused += 1
            await trio.sleep(0.01)


async def test_peers_that_never_read_are_ended_once_nobody_here_has_them(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They count until then, and leave no descriptor."""
    monkeypatch.setattr(tls, "ENDED_TIMEOUT_S", 0.05)
    async with entrance(directory) as place:
        before = descriptors()
        deaf = [await place.connect() for _ in range(5)]
        for stream in deaf:
            await stream.send_all(GET)
        await until(lambda: len(place.admitted) == 5)
        for sock in place.admitted:
            await fill(sock)
        assert place.listener.tls.count == 5
        await trio.sleep(0.1)
        assert place.listener.tls.count == 5  # we still have them
        for sock in place.admitted:
            sock.close()
        await until(lambda: place.listener.tls.late == 5)
        assert place.listener.tls.count == 0
        for stream in deaf:
            await trio.aclose_forcefully(stream)
        await until(lambda: descriptors() <= before)


async def test_what_is_left_is_read_to_its_end_by_those_who_read(directory: Path) -> None:
    """Though nobody here has the connection any more."""
    async with entrance(directory) as place:
        stream = await place.connect()
        await stream.send_all(GET)
        await until(lambda: place.admitted)
        sent = place.admitted[0].send(MUCH)
        place.admitted[0].close()
        received = 0
        while piece := await stream.receive_some():
            received += len(piece)
        assert received == sent
        assert place.listener.tls.late == 0


async def test_a_peer_that_takes_nothing_is_ended(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the actor would do with it: a piece has its time."""
    monkeypatch.setattr(tls, "SEND_TIMEOUT_S", 0.05)
    async with entrance(directory) as place:
        stream = await place.connect()
        await stream.send_all(GET)
        await until(lambda: place.admitted)
        sock = place.admitted[0]
        with suppress(BrokenPipeError):
            await fill(sock)
        await until(lambda: place.listener.tls.count == 0)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
async def test_no_descriptor_for_the_plain_side_refuses_that_peer(
    code: int, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted; the next one is served."""
    pair = socket.socketpair

    def fail() -> None:
        raise OSError(code, os.strerror(code))

    async with entrance(directory) as place:
        monkeypatch.setattr(socket, "socketpair", fail)
        stream = await place.connect()
        with pytest.raises((trio.BrokenResourceError, AssertionError)):
            await stream.send_all(GET)
            assert await stream.receive_some() != b""
        await until(lambda: place.listener.tls.refused == 1)
        monkeypatch.setattr(socket, "socketpair", pair)
        await (await place.connect()).send_all(GET)
        await until(lambda: place.admitted)


async def test_a_fault_of_this_machine_ends_one_connection(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may have no memory to watch it."""
    real = TlsRelay._watching

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    async with entrance(directory) as place:
        monkeypatch.setattr(TlsRelay, "_watching", fail)
        await place.connect()
        await until(lambda: place.listener.counters.failed == 1)
        monkeypatch.setattr(TlsRelay, "_watching", real)
        await (await place.connect()).send_all(GET)
        await until(lambda: place.admitted)


async def test_so_many_with_tls_and_no_more(directory: Path) -> None:
    """Those that nobody here has any more count too."""
    given = {"PATCHBAY_GATEWAY__MAX_CONNECTIONS": "2", "PATCHBAY_GATEWAY__MAX_STREAMS": "1"}
    async with entrance(directory, **given) as place:
        streams = [await place.connect() for _ in range(3)]
        await until(lambda: place.listener.tls.count == 3)
        with pytest.raises((trio.BrokenResourceError, OSError)):
            await place.connect()
        assert place.listener.counters.too_many_tls == 1
        await trio.aclose_forcefully(streams[0])
        await until(lambda: place.listener.tls.count == 2)
        await (await place.connect()).send_all(GET)
        await until(lambda: place.admitted)


async def test_a_certificate_that_no_descriptor_was_left_for_is_read_later(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad one is not tried again."""
    certificate = Certificate(str(directory / "cert.pem"), str(directory / "key.pem"))
    first = certificate.context(0.0)
    tried = 0

    def fail(code: int, *_: object) -> ssl.SSLContext:
        nonlocal tried
        tried += 1
        raise OSError(code, "no")

    real = tls.make_context
    write_certificate(directory, "localhost")
    monkeypatch.setattr(tls, "make_context", partial(fail, errno.EMFILE))
    assert certificate.context(1.0) is first
    monkeypatch.setattr(tls, "make_context", real)
    second = certificate.context(2.0)
    assert second is not first
    write_certificate(directory, "localhost")
    monkeypatch.setattr(tls, "make_context", partial(fail, errno.EINVAL))
    assert [certificate.context(float(at)) is second for at in range(3, 6)] == [True] * 3
    assert tried == 2


async def test_a_handshake_that_is_given_up_leaves_nothing(directory: Path) -> None:
    """By time."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        context = tls.make_context(str(directory / "cert.pem"), str(directory / "key.pem"))
        assert await handshake(ours, context, 0.01) is None
        assert ours.fileno() == -1
