"""What peers do where the gateway ends TLS, and a way for the calls' generator, which speaks none, to such a
gateway."""

from __future__ import annotations

import datetime as dt
import os
import resource
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.request import urlopen

import trio

from bench import cache, servers
from bench.hostile.guarded import STAY_S, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.hostile.kinds import Target

REQUESTS: Final = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100
HANDSHAKES: Final = 20  # of each connection, one after the other
DESCRIPTORS: Final = 1024  # of the server, that crowds run against
PIECE_BYTES: Final = 64 * 1024


def write_certificate(directory: Path) -> dict[str, str]:
    """Make a certificate for localhost that vouches for itself; return the settings that name it."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    key, now = generate_private_key(SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    certificate = builder.not_valid_before(now - dt.timedelta(1)).not_valid_after(now + dt.timedelta(1))
    files = directory / "cert.pem", directory / "key.pem"
    for file in files:
        file.touch(mode=0o600)
    files[0].write_bytes(certificate.sign(key, SHA256()).public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return {"PATCHBAY_TLS__CERTFILE": str(files[0]), "PATCHBAY_TLS__KEYFILE": str(files[1])}


def trusting() -> ssl.SSLContext:
    """Return what takes any certificate: it is our own, on this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


TRUSTING: Final = trusting()


async def opened(port: int) -> trio.SSLStream[trio.SocketStream]:
    """Open a connection; TLS begins with what is sent first."""
    return await trio.open_ssl_over_tcp_stream("127.0.0.1", port, ssl_context=TRUSTING, https_compatible=True)


async def never_read(target: Target, number: int) -> str:
    """Requests without end whose answers are not read."""
    del number
    stream = await opened(target.port)
    try:
        with trio.move_on_after(STAY_S) as scope, suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(REQUESTS)
        return "slowed" if scope.cancelled_caught else "closed"
    finally:
        await trio.aclose_forcefully(stream)


async def handshakes(target: Target, number: int) -> str:
    """Handshakes one after the other, and nothing said; every second is not finished."""
    for turn in range(target.scaled(HANDSHAKES)):
        stream = await opened(target.port)
        with suppress(trio.BrokenResourceError):
            if (number + turn) % 2:
                await stream.do_handshake()
            else:
                await stream.transport_stream.send_all(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
        await trio.aclose_forcefully(stream)
    return "done"


SECURE: Final[dict[str, Kind]] = {
    "TLS: answers that are not read": Kind(never_read, 60),
    "TLS: more than there are descriptors": Kind(never_read, 400),
    "TLS: handshakes": Kind(handshakes, 400),
}


@contextmanager
def plain_way_to(port: int, *, urgent: bool) -> Iterator[int]:
    """Have a process carry plain connections to a gateway's TLS; gives its port."""
    with servers.placed(os.sched_getaffinity(0), urgent=urgent):
        command = [sys.executable, "-m", "bench.hostile.secure", str(port)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=servers.ROOT)
    try:
        assert process.stdout is not None
        plain = int(process.stdout.readline())
        _wait_until_ready(plain)
        yield plain
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(plain: int) -> None:
    deadline = time.monotonic() + servers.START_TIMEOUT_S
    while time.monotonic() < deadline:
        with suppress(OSError, HTTPException):
            if urlopen(f"http://127.0.0.1:{plain}/readyz", timeout=2).status == 200:
                return
        time.sleep(servers.POLL_S)
    raise cache.Unavailable("Patchbay does not start with TLS")


def limit_descriptors(supervisor: int) -> None:
    """Let the gateway have no more descriptors than there are where nobody has raised the limit."""
    for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        if Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").endswith(b"gateway"):
            resource.prlimit(int(pid), resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


async def relay(port: int) -> None:
    """Take plain connections and go on with each over TLS to this port. Says on which port, and lasts for ever."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(listeners[0].socket.getsockname()[1], flush=True)
    await trio.serve_listeners(partial(_carry, port), listeners)


async def _carry(port: int, plain: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        secure = await opened(port)
        async with plain, secure, trio.open_nursery() as nursery:
            nursery.start_soon(_pass_on, plain, secure, nursery.cancel_scope)
            await _pass_on(secure, plain, nursery.cancel_scope)


async def _pass_on(source: trio.abc.Stream, sink: trio.abc.Stream, scope: trio.CancelScope) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while data := await source.receive_some(PIECE_BYTES):
            await sink.send_all(data)
    scope.cancel()


if __name__ == "__main__":
    trio.run(relay, int(sys.argv[1]))
