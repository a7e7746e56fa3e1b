"""Opens and keeps the listening sockets of the actors, which outlive every process that serves them.

All are close-on-exec: a process gets those that are passed to it by name, and no other. Knows no protocol.
"""

from __future__ import annotations

import errno
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from config.paths import unix_path
from patchbay.process import socket_names
from patchbay.process.socket_names import SLOTS, slot_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import trio

    from supervisor.configuration.specs import ActorSpec

PUBLIC = "public"
HANDOFF = "handoff"
BRIDGE = "bridge"
TCP = (PUBLIC, BRIDGE)
# Connections wait in this queue while an actor has no process. The kernel takes less if net.core.somaxconn says so.
BACKLOG = 4096
CREDENTIALS = struct.Struct("3i")  # struct ucred, unix(7): pid, uid, gid


class PortTakenError(Exception):
    """The supervisor can't listen on the public port; the text says why, in one line."""


class Sockets:
    """Holds the listening sockets by name: "public", "bridge", "handoff", or the name of the file in the run directory.

    Args:
        bridge: host and port for other nodes of the cluster; None: there is no cluster.
    """

    def __init__(self, run_dir: Path, host: str, port: int, bridge: tuple[str, int] | None = None) -> None:
        self._run_dir = run_dir
        self._host = host
        self._port = port
        self._bridge = bridge
        self._held: dict[str, socket.socket] = {}

    def __iter__(self) -> Iterator[tuple[str, socket.socket]]:
        return iter(self._held.items())

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port of the public port; the kernel may have chosen the port."""
        public = self._held.get(PUBLIC)
        if public is None:
            return self._host, self._port
        host, port = public.getsockname()[:2]
        return host, port

    @property
    def files(self) -> set[str]:
        """Return the names of the sockets' files in the run directory."""
        return {_file(name) for name in self._held if name not in TCP}

    def adopt(self, name: str, sock: socket.socket) -> None:
        """Take over a socket that is listening already; it is closed if there is one of that name."""
        if name in self._held:
            sock.close()
        else:
            sock.set_inheritable(False)
            self._held[name] = sock

    def open_for(self, spec: ActorSpec) -> None:
        """Open those sockets of an actor that are not open yet.

        Raises:
            PortTakenError: another process listens on the public port.
        """
        for name in socket_names_of(spec):
            if name in self._held:
                continue
            self._held[name] = self._listen(name)

    def reopen(self, missing: Collection[str]) -> None:
        """Listen again on the sockets whose files in the run directory are missing; connections stay open."""
        for name in self._held:
            if name not in TCP and _file(name) in missing:
                self._held[name].close()
                self._held[name] = self._listen(name)

    def _listen(self, name: str) -> socket.socket:
        if name == PUBLIC:
            return listen_tcp(self._host, self._port)
        if name == BRIDGE and self._bridge is not None:
            return _listen_for_nodes(*self._bridge)
        kind = socket.SOCK_SEQPACKET if name == HANDOFF else socket.SOCK_STREAM
        return listen_unix(self._run_dir, _file(name), kind)

    def move_public(self, host: str, port: int) -> None:
        """Listen at another address. Connections that wait at the old one are served by the process that holds it.

        Raises:
            PortTakenError: another process listens there; nothing has changed.
        """
        fresh = listen_tcp(host, port)
        self._host, self._port = host, port
        self._held.pop(PUBLIC).close()
        self._held[PUBLIC] = fresh

    def descriptors_for(self, spec: ActorSpec, generation: int) -> dict[str, int]:
        """Return the descriptors that one process of the actor is given, by the names that it knows."""
        given = {name: self._held[name].fileno() for name in spec.listeners}
        for endpoint in spec.endpoints:
            path = spec.endpoint_path(slot_of(generation), endpoint)
            given[endpoint] = self._held[path].fileno()
        return given

    def close_for(self, spec: ActorSpec) -> None:
        """Close the endpoints of an actor that was removed, and remove their files."""
        for name in socket_names_of(spec):
            if name not in (*TCP, HANDOFF) and name in self._held:
                self._held.pop(name).close()
                (self._run_dir / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Close all sockets; their files stay."""
        for sock in self._held.values():
            sock.close()
        self._held.clear()


def socket_names_of(spec: ActorSpec) -> list[str]:
    """Return the names of all sockets that the processes of an actor are given, for both slots."""
    return [
        *spec.listeners,
        *(spec.endpoint_path(slot, endpoint) for slot in SLOTS for endpoint in spec.endpoints),
    ]


def _file(name: str) -> str:
    return socket_names.HANDOVER if name == HANDOFF else name


def _listen_for_nodes(host: str, port: int) -> socket.socket:
    """Listen where other nodes reach this one; on all addresses when `host` is another machine's, which passes on."""
    try:
        return listen_tcp(host, port, "PATCHBAY_CLUSTER__ADVERTISE")
    except PortTakenError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EADDRNOTAVAIL:
            raise
    return listen_tcp("", port, "PATCHBAY_CLUSTER__ADVERTISE")


def listen_tcp(host: str, port: int, setting: str = "PATCHBAY_PORT") -> socket.socket:
    """Listen on a TCP port. `setting`: which names the port.

    Raises:
        PortTakenError: the host has no address of this machine, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise PortTakenError(f"host = {host}: {error.strerror or error}") from error
    sock = socket.socket(family, kind, protocol)
    try:
        # Without it, bind fails for a minute after this side has closed connections.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise PortTakenError(
            f"can't listen on {host} port {port}: {error.strerror}; set {setting} to another one, or stop what uses it"
        ) from error
    sock.setblocking(False)
    return sock


def listen_unix(run_dir: Path, name: str, kind: int) -> socket.socket:
    """Listen on a Unix socket in the run directory, for this user only; a file of that name is replaced."""
    (run_dir / name).unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, kind)
    try:
        sock.bind(unix_path(run_dir, name))
        Path(run_dir, name).chmod(0o600)
        if kind != socket.SOCK_DGRAM:
            sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def peer_credentials(connection: socket.socket | trio.socket.SocketType) -> tuple[int, int, int]:
    """Return pid, uid and gid of the process that connected, by the kernel's word."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    pid, uid, gid = CREDENTIALS.unpack(data)
    return pid, uid, gid
