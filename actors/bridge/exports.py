"""Decides what of the calls of this node crosses to other nodes: each node is one more fan-out to the ingest processes.

Which calls a node wants is the union of what its connections want: while its bridge is replaced, there are two.
Knows no socket.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

from actors.bridge import messages
from patchbay.protocol import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actors.bridge.local_calls import LocalCalls

log = logging.getLogger(__name__)

SILENT_S: Final = 5.0  # a connection that has said nothing for so long is forgotten


class Peer:
    """Another node that wants calls of this one.

    Attributes:
        index: as which fan-out the ingest processes know the node.
        wanted: calls, by connection.
    """

    def __init__(self, node: str, index: int) -> None:
        self.node = node
        self.index = index
        self.wanted: dict[bytes, set[bytes]] = {}
        self.calls: set[bytes] = set()  # of all connections


class Exports:
    """The nodes that want calls of this node.

    Args:
        subscribe, unsubscribe: change the bridge's topics on the bus.
        send: sends a message to a connection, by its routing id; False when nothing took the message.

    Attributes:
        counters: frames and batches that crossed; what could not be sent or read.
    """

    def __init__(
        self,
        calls: LocalCalls,
        subscribe: Callable[[bytes], None],
        unsubscribe: Callable[[bytes], None],
        send: Callable[[bytes, bytes], bool],
    ) -> None:
        self._calls = calls
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._send = send
        self._peers: dict[str, Peer] = {}
        self._by_index: dict[int, Peer] = {}
        self._by_connection: dict[bytes, Peer] = {}
        self._heard_at: dict[bytes, float] = {}
        self._is_leaving = False
        self.counters: Counter[str] = Counter()

    @property
    def nodes(self) -> list[str]:
        """Return the names of the nodes that want calls."""
        return list(self._peers)

    def leave(self) -> None:
        """Have other nodes connect to another process of this node. That one listens on the same port, and libzmq ends
        all connections of a socket that stops to listen: so a connection that comes here is sent there again."""
        self._is_leaving = True
        for connection in self._by_connection:
            self._send(connection, messages.LEAVING)

    # ---- from other nodes

    def receive(self, connection: bytes, node: str, message: bytes, now: float) -> bytes | None:
        """Take a message of another bridge. Returns talk for this node's calls, or None.

        Args:
            connection: its routing id.
            node: whose key the connection has proved to have.

        Raises:
            MalformedMessage: nothing was done.
        """
        kind, peer = message[:1], self._by_connection.get(connection)
        if peer is None and self._is_leaving:
            self._send(connection, messages.LEAVING)
        elif kind == messages.HELLO:
            self._greet(connection, node, messages.read_hello(message))
        elif peer is None:
            self._send(connection, messages.UNKNOWN)
        elif kind == messages.PING:
            self._send(connection, messages.PONG)
        elif kind == messages.TALK:
            return b"".join(self._talk(peer, message))
        elif kind == messages.WANT:
            self._want(peer, connection, messages.read_calls(message[1:]))
        elif kind == messages.UNWANT:
            peer.wanted[connection] -= set(messages.read_calls(message[1:]))
            self._settle(peer)
        else:
            raise messages.MalformedMessage(f"kind {kind!r}")
        if connection in self._by_connection:
            self._heard_at[connection] = now
        return None

    def forget_silent(self, now: float) -> None:
        """Forget the connections that have said nothing for SILENT_S. To be called about once a second."""
        for connection in [each for each, heard in self._heard_at.items() if now - heard > SILENT_S]:
            self.forget(connection)

    def forget(self, connection: bytes) -> None:
        """Forget a connection; its node too, if that was the last one. Harmless when it is not known."""
        peer = self._by_connection.pop(connection, None)
        self._heard_at.pop(connection, None)
        if peer is None:
            return
        del peer.wanted[connection]
        self._settle(peer)
        if not peer.wanted:
            del self._peers[peer.node], self._by_index[peer.index]
            self._unsubscribe(batches.batch_topic(peer.index))

    # ---- from ingest processes

    def pass_on(self, message: bytes) -> None:
        """Send a batch for one node to that node, without the entries of calls that the node does not want.

        Raises:
            BusFormatError: the batch can't be read.
        """
        peer = self._by_index.get(message[1])
        if peer is None:
            return
        _, at = batches.unpack_batch(message)
        entries, count = batches.keep_entries(message, at, peer.calls)
        if not count:
            return
        crossing = b"".join((messages.BATCH, message[batches.TOPIC_BYTES : at], entries))
        self.counters["entries_out"] += count
        for connection in peer.wanted:
            self.counters["batches_out"] += 1
            if not self._send(connection, crossing):
                self.counters["batches_refused"] += 1

    # ----

    def _greet(self, connection: bytes, node: str, hello: messages.Hello) -> None:
        if hello.node != node:
            raise messages.MalformedMessage(f"{node} says that it is {hello.node}")
        peer = self._peers.get(node)
        if peer is None:
            index = self._free_index(hello.index)
            peer = self._peers[node] = self._by_index[index] = Peer(node, index)
            self._subscribe(batches.batch_topic(index))
            log.info("node %s wants calls of this node", node)
        self._by_connection[connection] = peer
        peer.wanted[connection] = set()
        self._send(connection, messages.welcome(peer.index))
        self._want(peer, connection, messages.read_calls(hello.calls))

    def _free_index(self, wish: int) -> int:
        if wish in batches.NODES and wish not in self._by_index:
            return wish
        free = next((index for index in batches.NODES if index not in self._by_index), None)
        if free is None:
            raise messages.MalformedMessage(f"{len(batches.NODES)} nodes want calls of this one already")
        return free

    def _want(self, peer: Peer, connection: bytes, calls: Iterable[bytes]) -> None:
        """Have a node get calls: first what is known of each, then all that follows."""
        unknown = []
        for digest in calls:
            call = self._calls.get(digest)
            if call is None:
                unknown.append(digest)
            else:
                peer.wanted[connection].add(digest)
                self._send(connection, messages.BATCH + call.news())
        if unknown:
            self._send(connection, messages.about(messages.NOT_HERE, unknown))
        self._settle(peer)

    def _settle(self, peer: Peer) -> None:
        """Subscribe on the bus to what the connections of a node want together."""
        wanted: set[bytes] = set().union(*peer.wanted.values())
        for digest in wanted - peer.calls:
            self._subscribe(batches.interest_topic(peer.index, digest))
        for digest in peer.calls - wanted:
            self._unsubscribe(batches.interest_topic(peer.index, digest))
        peer.calls = wanted

    def _talk(self, peer: Peer, message: bytes) -> Iterable[bytes]:
        """Yield pieces of talk whose talkers are told through the node from which the talk came."""
        for talk in batches.unpack_talk(message, 1):
            index = peer.index if talk.fanout_index != batches.NOBODY else batches.NOBODY
            yield batches.pack_talk(*talk._replace(fanout_index=index))
