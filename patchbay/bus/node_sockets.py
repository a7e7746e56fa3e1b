"""Makes the ZeroMQ sockets between nodes: over TCP, encrypted and authenticated by CURVE (RFC 26 of ZeroMQ).

A node has one key pair. Each connection proves that its peer has the private key; `serve_zap` (RFC 27) tells whose key
that is, or refuses. A message is known to be of that node by its `User-Id`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple

import trio
import zmq
from zmq.utils import z85

from patchbay.bus.sockets import BusSocket, RouterSocket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from patchbay.bus.sockets import Bus

log = logging.getLogger(__name__)

LINK_QUEUE: Final = 100  # messages: half a second of audio, or a second
ZAP_ADDRESS: Final = "inproc://zeromq.zap.01"
ZAP_DOMAIN: Final = b"patchbay"
ZAP_WAITING_MAX: Final = 1_000  # connections that wait for an answer; one more is refused
HANDSHAKE_MS: Final = 5_000  # on TCP; a peer that says nothing is let go
TCP_RECONNECT_MAX_MS: Final = 500


class KeyPair(NamedTuple):
    """Holds a CURVE key pair, as Z85 text (40 characters each)."""

    public: str
    private: str

    @classmethod
    def generate(cls) -> KeyPair:
        """Return a new pair."""
        public, private = zmq.curve_keypair()
        return cls(public.decode(), private.decode())


class NodeRouter(RouterSocket):
    """Holds the socket to which other nodes connect."""

    async def receive(self, limit: int = 64) -> list[tuple[bytes, str, bytes]]:
        """Wait for messages, and return 1 to `limit`: (routing id, name of the node, message)."""
        await trio.lowlevel.checkpoint()
        while True:
            batch: list[tuple[bytes, str, bytes]] = []
            try:
                while len(batch) < limit:
                    parts = self._sock.recv_multipart(zmq.NOBLOCK, copy=False)
                    if len(parts) == 2:
                        batch.append((parts[0].bytes, str(parts[1].get("User-Id")), parts[1].bytes))
            except zmq.Again:
                pass
            if batch:
                return batch
            await self._wait()


def listen_for_nodes(bus: Bus, descriptor: int, address: tuple[str, int], keys: KeyPair) -> NodeRouter:
    """Make the socket to which other nodes connect, on a descriptor that listens already."""
    sock = bus.new_socket(zmq.ROUTER, queue=LINK_QUEUE)
    sock.setsockopt(zmq.ROUTER_MANDATORY, 1)
    sock.setsockopt(zmq.CURVE_SERVER, 1)
    sock.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
    _set_up(sock, keys)
    sock.setsockopt(zmq.USE_FD, descriptor)
    sock.bind(_tcp(address))
    return bus.keep(NodeRouter(sock))


def connect_to_node(bus: Bus, address: tuple[str, int], public_key: str, keys: KeyPair) -> BusSocket:
    """Make a connection to a node that has the private key of `public_key`. The caller closes the connection."""
    sock = bus.new_socket(zmq.DEALER, queue=LINK_QUEUE)
    sock.setsockopt(zmq.IMMEDIATE, 1)
    sock.setsockopt(zmq.LINGER, 0)
    sock.setsockopt(zmq.CURVE_SERVERKEY, public_key.encode())
    _set_up(sock, keys)
    sock.connect(_tcp(address))
    return BusSocket(sock)


async def serve_zap(bus: Bus, admit: Callable[[str], Awaitable[str | None]]) -> None:
    """Answer for each connection whether its peer may connect. For ever; to be started before a socket listens.

    Args:
        admit: returns the name of the node that has this public key (Z85); None: refuse.
    """
    sock = bus.new_socket(zmq.ROUTER, queue=ZAP_WAITING_MAX)
    sock.bind(ZAP_ADDRESS)
    requests = bus.keep(_ZapSocket(sock))
    waiting = trio.CapacityLimiter(ZAP_WAITING_MAX)
    async with trio.open_nursery() as nursery:
        while True:
            for request in await requests.receive_requests():
                if waiting.available_tokens:
                    nursery.start_soon(_answer, requests, request, admit, waiting)
                else:
                    requests.reply(request, None)


class _ZapSocket(BusSocket):
    async def receive_requests(self) -> list[list[bytes]]:
        while True:
            found = []
            try:
                while True:
                    found.append(self._sock.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                pass
            if found:
                await trio.lowlevel.checkpoint()
                return found
            await self._wait()

    def reply(self, request: list[bytes], node: str | None) -> None:
        route, empty, version, request_id = request[:4]
        status, text = (b"200", b"OK") if node is not None else (b"400", b"not a member of this cluster")
        self._sock.send_multipart([route, empty, version, request_id, status, text, (node or "").encode(), b""])
        self._rearm()


async def _answer(
    requests: _ZapSocket,
    request: list[bytes],
    admit: Callable[[str], Awaitable[str | None]],
    waiting: trio.CapacityLimiter,
) -> None:
    async with waiting:
        node = None
        if len(request) == 9 and request[7] == b"CURVE":  # RFC 27: then comes the public key, 32 bytes
            node = await admit(z85.encode(request[8]).decode())
        if node is None:
            log.warning("a node was refused: its key is not that of a member", extra={"peer": request[5].decode()})
        requests.reply(request, node)


def _set_up(sock: zmq.Socket[bytes], keys: KeyPair) -> None:
    sock.setsockopt(zmq.CURVE_PUBLICKEY, keys.public.encode())
    sock.setsockopt(zmq.CURVE_SECRETKEY, keys.private.encode())
    sock.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    sock.setsockopt(zmq.RECONNECT_IVL_MAX, TCP_RECONNECT_MAX_MS)
    sock.setsockopt(zmq.IPV6, 1)


def _tcp(address: tuple[str, int]) -> str:
    host, port = address
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
