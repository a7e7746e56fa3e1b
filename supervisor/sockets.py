"""The listening sockets, which outlive every process that serves them.

Knows which there are and who is given which, not what is said on them. All are close-on-exec: a process gets those
that are passed to it by name, and no other.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from config.paths import unix_path
from patchbay.bus.endpoints import SLOTS, slot_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from supervisor.configuration.specs import ActorSpec

PUBLIC = "public"
HANDOFF = "handoff"
HANDOFF_NAME = "gateway.sock"
# The kernel takes less if net.core.somaxconn says so. Connects wait here while an actor is between two processes.
BACKLOG = 4096


class PortTakenError(Exception):
    """The public port can't be listened on; the text says why, in a line."""


class Sockets:
    """Listening sockets by name: "public", "handoff", or that of the file in the run directory."""

    def __init__(self, run_dir: Path, host: str, port: int) -> None:
        self._run_dir = run_dir
        self._host = host
        self._port = port
        self._held: dict[str, socket.socket] = {}

    def __iter__(self) -> Iterator[tuple[str, socket.socket]]:
        return iter(self._held.items())

    @property
    def address(self) -> tuple[str, int]:
        """Where the public port really is (the port may have been chosen by the kernel)."""
        public = self._held.get(PUBLIC)
        if public is None:
            return self._host, self._port
        host, port = public.getsockname()[:2]
        return host, port

    @property
    def files(self) -> set[str]:
        """The names in the run directory that are in use."""
        return {_file(name) for name in self._held if name != PUBLIC}

    def hold(self, name: str, sock: socket.socket) -> None:
        """Take over a socket that is listening already. A second one of that name is closed."""
        if name in self._held:
            sock.close()
        else:
            sock.set_inheritable(False)
            self._held[name] = sock

    def provide(self, spec: ActorSpec) -> None:
        """Open what the actor is to be given and is not there yet.

        Raises:
            PortTakenError: somebody else listens on the public port.
        """
        for name in names(spec):
            if name in self._held:
                continue
            self._held[name] = listen_tcp(self._host, self._port) if name == PUBLIC else self._listen(name)

    def renew(self, missing: Collection[str]) -> None:
        """Listen again where the file in the run directory is missing; what was connected stays so."""
        for name in self._held:
            if name != PUBLIC and _file(name) in missing:
                self._held[name].close()
                self._held[name] = self._listen(name)

    def _listen(self, name: str) -> socket.socket:
        kind = socket.SOCK_SEQPACKET if name == HANDOFF else socket.SOCK_STREAM
        return listen_unix(self._run_dir, _file(name), kind)

    def move_public(self, host: str, port: int) -> None:
        """Listen at another address; what waits at the old one is served by whoever still holds it.

        Raises:
            PortTakenError: and nothing has changed.
        """
        fresh = listen_tcp(host, port)
        self._host, self._port = host, port
        self._held.pop(PUBLIC).close()
        self._held[PUBLIC] = fresh

    def passed_to(self, spec: ActorSpec, generation: int) -> dict[str, int]:
        """Return the descriptors for one process of the actor by the names that it knows them by."""
        given = {name: self._held[name].fileno() for name in spec.listeners}
        for endpoint in spec.endpoints:
            path = spec.endpoint_path(slot_of(generation), endpoint)
            given[endpoint] = self._held[path].fileno()
        return given

    def forget(self, spec: ActorSpec) -> None:
        """Close and remove the endpoints of an actor that is no more."""
        for name in names(spec):
            if name not in (PUBLIC, HANDOFF) and name in self._held:
                self._held.pop(name).close()
                (self._run_dir / name).unlink(missing_ok=True)

    def close(self) -> None:
        for sock in self._held.values():
            sock.close()
        self._held.clear()


def names(spec: ActorSpec) -> list[str]:
    """Return the names of all the sockets that the processes of an actor are given, for both slots."""
    return [
        *spec.listeners,
        *(spec.endpoint_path(slot, endpoint) for slot in SLOTS for endpoint in spec.endpoints),
    ]


def _file(name: str) -> str:
    return HANDOFF_NAME if name == HANDOFF else name


def listen_tcp(host: str, port: int) -> socket.socket:
    """Listen on the public port.

    Raises:
        PortTakenError: the address can't be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise PortTakenError(f"host = {host}: {error.strerror or error}") from error
    sock = socket.socket(family, kind, protocol)
    try:
        # Else the port is refused for a minute after connections on it were closed from this side.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise PortTakenError(
            f"can't listen on {host} port {port}: {error.strerror}; "
            "set PATCHBAY_PORT to another one, or stop what uses it"
        ) from error
    sock.setblocking(False)
    return sock


def listen_unix(run_dir: Path, name: str, kind: int) -> socket.socket:
    """Listen on a Unix socket in the run directory, for this user only; what was there before is replaced."""
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
