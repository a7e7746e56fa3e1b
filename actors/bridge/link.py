"""Keeps the link to one other node, whose calls are wanted here. While that node's bridge is replaced there are two
connections: the messages of the second one wait until the first one has been closed, so that nothing is overtaken."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

import trio

from actors.bridge import messages
from actors.bridge.link_state import PING_INTERVAL_S, LinkState, State
from actors.bridge.store import Unavailable
from patchbay.bus.node_sockets import KeyPair, connect_to_node
from patchbay.protocol.batches import BusFormatError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from actors.bridge.store import Member
    from patchbay.bus.sockets import Bus, BusSocket

log = logging.getLogger(__name__)

RETRY_S: Final = 0.5
GREET_S: Final = 0.01  # how often a HELLO is tried while the connection is made
OVERLAP_S: Final = 0.05  # what the first connection still has on its way has come by then
HELD_MAX: Final = 1_000  # messages of the second connection


class LinkOwner(Protocol):
    """Handles what a link brings."""

    def on_batch(self, node: str, batch: bytes) -> None:
        """Take a batch. Raises BusFormatError."""

    def on_not_here(self, node: str, calls: list[bytes]) -> None:
        """Take calls that are not at the node."""

    def on_lost(self, node: str) -> None:
        """Note that the node can't be reached: its calls are gone."""


class Connection:
    """One connection of a link."""

    def __init__(self, sock: BusSocket, now: float) -> None:
        self.sock = sock
        self.state = LinkState(now)
        self.told: set[bytes] = set()  # the calls that the other node knows to be wanted
        self.held: list[bytes] | None = None  # batches, while another connection is to be closed first


class Link:
    """The link to one node.

    Args:
        find: returns what the node has said of itself; None: it is not there. Raises Unavailable.

    Attributes:
        wanted: the calls that are wanted of the node; `settle` tells the node of changes.
    """

    def __init__(
        self,
        node: str,
        here: str,
        bus: Bus,
        keys: KeyPair,
        find: Callable[[str], Awaitable[Member | None]],
        owner: LinkOwner,
    ) -> None:
        self.node = node
        self._here = here
        self._bus = bus
        self._keys = keys
        self._find = find
        self._owner = owner
        self._member: Member | None = None
        self._index = 0
        self._connection: Connection | None = None
        self._next: Connection | None = None
        self.wanted: set[bytes] = set()

    @property
    def is_up(self) -> bool:
        """Return whether the other node has answered."""
        return self._connection is not None and self._connection.state.state is State.UP

    def send(self, message: bytes) -> bool:
        """Send a message. Return False when the link is not up, or its queue is full."""
        return self.is_up and self._connection is not None and self._connection.sock.send_nowait(message)

    def settle(self) -> None:
        """Tell the other node which calls are wanted now."""
        for connection in (self._connection, self._next):
            if connection is not None and connection.state.state is State.UP:
                self._settle(connection)

    async def run(self) -> None:
        """Connect, again and again, until the link is not needed any more."""
        try:
            while True:
                if await self._look_up():
                    async with trio.open_nursery() as nursery:
                        self._connection = self._connect(nursery)
                        if await self._watch(nursery):
                            return
                    log.warning("node %s does not answer: its calls are gone from here", self.node)
                else:
                    await trio.sleep(RETRY_S)
                self._owner.on_lost(self.node)
        finally:
            self._close()

    # ----

    async def _look_up(self) -> bool:
        try:
            self._member = await self._find(self.node) or None
        except Unavailable:
            await trio.sleep(RETRY_S)
        return self._member is not None

    def _connect(self, nursery: trio.Nursery) -> Connection:
        assert self._member is not None
        host, _, port = self.node.rpartition(":")
        sock = connect_to_node(self._bus, (host, int(port)), self._member.key, self._keys)
        made = Connection(sock, trio.current_time())
        nursery.start_soon(self._receive, made, nursery)
        nursery.start_soon(self._greet, made)
        return made

    async def _watch(self, nursery: trio.Nursery) -> bool:
        """Send pings until the connection is lost (False), or nobody needs the link (True)."""
        while (current := self._connection) is not None:
            now = trio.current_time()
            if current.state.on_time(now) is State.LOST and not (self._next is not None and self._promote(now)):
                break
            if current.state.is_unused(now, needed=bool(self.wanted)):
                nursery.cancel_scope.cancel()
                return True
            for each in (current, self._next):
                if each is not None and each.state.state is State.UP:
                    each.sock.send_nowait(messages.PING)
            await trio.sleep(PING_INTERVAL_S)
        self._close()
        nursery.cancel_scope.cancel()
        return False

    async def _greet(self, connection: Connection) -> None:
        while connection in (self._connection, self._next):
            if connection.sock.send_nowait(messages.hello(self._here, self._index, self.wanted)):
                connection.told = set(self.wanted)
                return
            await trio.sleep(GREET_S)

    async def _receive(self, connection: Connection, nursery: trio.Nursery) -> None:
        try:
            while True:
                for message in await connection.sock.receive_many():
                    self._take(connection, message, nursery)
        except trio.ClosedResourceError:
            return  # another connection has taken its place

    def _take(self, connection: Connection, message: bytes, nursery: trio.Nursery) -> None:
        kind = message[:1]
        connection.state.on_message(
            trio.current_time(), is_welcome=kind == messages.WELCOME, is_unknown=kind == messages.UNKNOWN
        )
        try:
            if kind == messages.BATCH:
                self._take_batch(connection, message[1:])
            elif kind == messages.WELCOME:
                self._index = messages.read_welcome(message).index
                self._settle(connection)
                if connection is self._next:
                    nursery.start_soon(self._replace)
            elif kind == messages.UNKNOWN:
                nursery.start_soon(self._greet, connection)
            elif kind == messages.NOT_HERE:
                calls = messages.read_calls(message[1:])
                connection.told -= set(calls)
                self._owner.on_not_here(self.node, calls)
            elif kind == messages.LEAVING and self._next in (None, connection):
                self._leave(connection, nursery)
        except (messages.MalformedMessage, BusFormatError) as error:
            log.error("unreadable message of node %s: %s", self.node, error)

    def _leave(self, connection: Connection, nursery: trio.Nursery) -> None:
        """Make the second connection, again if it has come to the process that leaves."""
        if connection is self._next:
            connection.sock.close()
        self._next = self._connect(nursery)
        self._next.held = []

    def _take_batch(self, connection: Connection, batch: bytes) -> None:
        if connection.held is None:
            self._owner.on_batch(self.node, batch)
        elif len(connection.held) < HELD_MAX:
            connection.held.append(batch)

    async def _replace(self) -> None:
        await trio.sleep(OVERLAP_S)
        self._promote(trio.current_time())

    def _promote(self, now: float) -> bool:
        """Go on with the second connection. False: it is not up."""
        fresh, old = self._next, self._connection
        if fresh is None or fresh.state.on_time(now) is not State.UP:
            return False
        self._connection, self._next = fresh, None
        if old is not None:
            old.sock.close()
        held, fresh.held = fresh.held, None
        for batch in held or ():
            self._take_batch(fresh, batch)
        return True

    def _settle(self, connection: Connection) -> None:
        more, less = self.wanted - connection.told, connection.told - self.wanted
        if more and connection.sock.send_nowait(messages.about(messages.WANT, more)):
            connection.told |= more
        if less and connection.sock.send_nowait(messages.about(messages.UNWANT, less)):
            connection.told -= less

    def _close(self) -> None:
        for connection in (self._connection, self._next):
            if connection is not None:
                connection.sock.close()
        self._connection = self._next = None
