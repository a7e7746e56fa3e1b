"""TLS at the public port: the same Patchbay behind it, modern protocols only, certificates renewed while it runs."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import socket
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
import trio_websocket
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.e2e.calls import media, recording
from tests.e2e.clients import Client
from tests.e2e.guarded import descriptors
from tests.e2e.system import System, eventually, new_system

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
START = {
    "event": "start",
    "start": {"call_control_id": "v3:tls", "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}},
}


def write_certificate(directory: Path, name: str) -> None:
    """A certificate for localhost that vouches for itself, and its key."""
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(1))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = builder.add_extension(names, critical=False).sign(key, SHA256())
    for file, text in (
        ("key.pem", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())),
        ("cert.pem", certificate.public_bytes(Encoding.PEM)),
    ):
        (directory / f"{file}.new").write_bytes(text)
        (directory / f"{file}.new").chmod(0o600)
        (directory / f"{file}.new").replace(directory / file)


@pytest.fixture(scope="module")
def secure() -> Iterator[tuple[System, Path]]:
    """A system with TLS, and where its certificate is."""
    directory = Path(tempfile.mkdtemp(prefix="patchbay-tls-"))
    write_certificate(directory, "first")
    files = {"TLS__CERTFILE": str(directory / "cert.pem"), "TLS__KEYFILE": str(directory / "key.pem")}
    with new_system(**files) as system:
        system.start()
        yield system, directory
        assert system.stop() == 0, system.log()
    shutil.rmtree(directory)


def trusting(directory: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(directory / "cert.pem"))


async def ask(system: System, context: ssl.SSLContext, path: str) -> bytes:
    """One request; the whole answer, b"" when nobody listens yet."""
    try:
        stream = await trio.open_ssl_over_tcp_stream(
            "localhost", system.port, ssl_context=context, https_compatible=True
        )
    except OSError:
        return b""
    async with stream:
        await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := await stream.receive_some():
            answer += piece
    return answer


async def until_ready(system: System, directory: Path) -> None:
    async def ready() -> bool:
        try:
            return (await ask(system, trusting(directory), "/readyz")).startswith(b"HTTP/1.1 200")
        except trio.BrokenResourceError:  # the certificate is still another one
            return False

    await eventually(ready)


async def test_a_call_over_tls(secure: tuple[System, Path]) -> None:
    """Listener and stream both come over TLS; every byte of audio is there."""
    system, directory = secure
    await until_ready(system, directory)
    frames = recording(frames=50, start=20).frames
    url, context = f"wss://localhost:{system.port}/audio-stream", trusting(directory)
    with trio.fail_after(60):
        async with (
            trio_websocket.open_websocket_url(f"{url}?call_control_id=v3:tls", context) as listening,
            trio_websocket.open_websocket_url(f"{url}?role=telnyx", context) as telnyx,
            trio.open_nursery() as nursery,
        ):
            listener = Client(listening, listening._stream)
            nursery.start_soon(listener.read)
            await listener.until(lambda: listener.of("connected"))
            await telnyx.send_message(str(START).replace("'", '"'))
            for chunk, frame in enumerate(frames):
                await telnyx.send_message(media(chunk, frame))
            await listener.until(lambda: len(listener.audio) == len(frames))
            assert listener.audio == list(frames)
            nursery.cancel_scope.cancel()


async def test_only_modern_tls(secure: tuple[System, Path]) -> None:
    """TLS 1.2 with forward secrecy, or 1.3; plain HTTP gets no answer at all."""
    system, directory = secure
    await until_ready(system, directory)
    old = trusting(directory)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    assert (await ask(system, old, "/healthz")).endswith(b"ok\n")
    old.set_ciphers("AES128-SHA256:AES256-GCM-SHA384")
    with pytest.raises(trio.BrokenResourceError):
        await ask(system, old, "/healthz")
    async with await trio.open_tcp_stream("localhost", system.port) as stream:
        await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        with trio.fail_after(60):
            try:
                while piece := await stream.receive_some():
                    answer += piece
            except trio.BrokenResourceError:
                pass
    assert b"HTTP/1.1" not in answer


async def test_peers_that_go_away_at_every_step(secure: tuple[System, Path]) -> None:
    """Before, in and after the handshake, in a head, without a goodbye: others are served, no descriptor stays."""
    system, directory = secure
    await until_ready(system, directory)
    gateway = (await system.actor("gateway"))["pid"]
    before = descriptors(gateway)
    for beginning in (b"", b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40):
        for _ in range(10):
            with socket.create_connection(("localhost", system.port)) as sock:
                sock.sendall(beginning)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
    for request in (b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"):
        for _ in range(10):
            stream = await trio.open_ssl_over_tcp_stream("localhost", system.port, ssl_context=trusting(directory))
            await stream.do_handshake()
            if request:
                await stream.send_all(request)
            await trio.aclose_forcefully(stream)

    async def all_gone() -> bool:
        return descriptors(gateway) <= before

    await eventually(all_gone)
    assert (await ask(system, trusting(directory), "/healthz")).endswith(b"ok\n")


async def test_a_renewed_certificate(secure: tuple[System, Path]) -> None:
    """Is used for new connections within moments, or at once at SIGHUP; a bad one leaves the old one in use."""
    system, directory = secure
    await until_ready(system, directory)
    gateway = (await system.actor("gateway"))["pid"]
    write_certificate(directory, "second")
    os.kill(gateway, signal.SIGHUP)
    await until_ready(system, directory)
    kept = trusting(directory)
    (directory / "cert.pem").write_text("rubbish")
    os.kill(gateway, signal.SIGHUP)
    assert (await ask(system, kept, "/healthz")).endswith(b"ok\n")
    write_certificate(directory, "third")
    await until_ready(system, directory)  # without a signal
    assert (await system.actor("gateway"))["pid"] == gateway
