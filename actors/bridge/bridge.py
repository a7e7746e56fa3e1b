"""Joins the parts of the bridge: what fan-outs and ingest processes of this node say, and what other nodes say."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import trio

from actors.bridge import messages
from actors.bridge.directory import Directory
from actors.bridge.exports import Exports
from actors.bridge.imports import Imports
from actors.bridge.leases import Leases
from actors.bridge.link import Link
from actors.bridge.local_calls import LocalCalls
from patchbay.bus.batcher import Batcher
from patchbay.protocol import batches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.bridge.store import Store
    from patchbay.bus.node_sockets import KeyPair, NodeRouter
    from patchbay.bus.sockets import BusSocket
    from patchbay.process.context import Context

log = logging.getLogger(__name__)

UNANSWERED = (batches.TALK_STOP, batches.TALK_MARK_SENT)


class Bridge:
    """The parts of one process; a `LinkOwner`.

    Attributes:
        calls_known: set when every ingest process has said which calls it has.
    """

    def __init__(
        self, context: Context, store: Store, keys: KeyPair, nursery: trio.Nursery, router: NodeRouter
    ) -> None:
        self._context = context
        self._store = store
        self._keys = keys
        self._nursery = nursery
        self.node = context.settings.cluster.node
        self.publisher = context.bus.publisher("pub")
        self.ingests = context.bus.subscriber("ingest", "pub", batches.batch_topic(batches.BRIDGE))
        self._pushers: dict[tuple[int, str], BusSocket] = {}
        self.router = router
        self.local = LocalCalls()
        self.calls_known = trio.Event()
        self._known_ingests: set[int] = set()
        self.directory = Directory(self.node)
        self.exports = Exports(self.local, self.ingests.subscribe, self.ingests.unsubscribe, router.send_to)
        self.batcher = Batcher(
            self.publisher,
            replace(context.identity, index=batches.BRIDGE),
            on_fanout=lambda index: None,
            on_interest=self._on_interest,
        )
        self.imports = Imports(self.batcher, context.identity.slot, self._on_wanted)
        self.leases = Leases(self.node, store, self.local, self.directory, self._on_superseded, self.settle_links)
        self._links: dict[str, Link] = {}
        self.counters: Counter[str] = Counter()

    # ---- from this node

    def on_batches(self, received: list[bytes]) -> None:
        """Take batches of ingest processes: news of all calls, and what crosses to other nodes."""
        now = trio.current_time()
        for message in received:
            try:
                if message[1] == batches.BRIDGE:
                    self.local.receive(message, now)
                    self._note_ingest(batches.unpack_batch(message)[0])
                else:
                    self.exports.pass_on(message)
            except (batches.BusFormatError, IndexError) as error:
                self.counters["bad_batches"] += 1
                log.error("unreadable batch of an ingest process: %s", error)
        if len(self._known_ingests) >= self._context.settings.ingest.processes:
            self.calls_known.set()
        self.leases.wake()

    def _note_ingest(self, batch: batches.Batch) -> None:
        """Connect to an ingest process before there is talk for it: the first frame would find no connection."""
        self._known_ingests.add(batch.ingest)
        self._pusher((batch.ingest, batch.slot))

    async def receive_subscriptions(self) -> None:
        """Receive what fan-outs want. For ever."""
        while True:
            for message in await self.publisher.receive_many():
                self.batcher.on_subscription(message)

    async def receive_talk(self, puller: BusSocket) -> None:
        """Pass talk of this node's browsers on to the nodes of their calls. For ever."""
        while True:
            for message in await puller.receive_many():
                try:
                    self._pass_talk_on(message)
                except batches.BusFormatError as error:
                    log.error("unreadable talk from a fan-out: %s", error)

    def _pass_talk_on(self, message: bytes) -> None:
        by_node: dict[str | None, list[batches.Talk]] = {}
        for talk in batches.unpack_talk(message):
            by_node.setdefault(self.imports.node_of(talk.call), []).append(talk)
        for node, pieces in by_node.items():
            link = None if node is None else self._links.get(node)
            packed = b"".join(batches.pack_talk(*talk) for talk in pieces)
            if link is None or not link.send(messages.TALK + packed):
                self._refuse(pieces)

    def _refuse(self, pieces: Iterable[batches.Talk]) -> None:
        for talk in pieces:
            self.counters["talk_refused"] += 1
            queue = self.batcher.queue(talk.fanout_index)
            if queue is not None and talk.kind not in UNANSWERED:
                told = {"talker": talk.talker, "title": "call_gone", "detail": "The node of the call can't be reached."}
                queue.append(batches.news_entry(batches.REFUSED, 0, talk.call, orjson.dumps(told)))
        self.batcher.flush()

    # ---- from other nodes

    async def receive_from_nodes(self) -> None:
        """Receive what other nodes want, and talk of their browsers. For ever."""
        while True:
            for connection, node, message in await self.router.receive():
                try:
                    talk = self.exports.receive(connection, node, message, trio.current_time())
                    if talk:
                        self._push_talk(talk)
                except (messages.MalformedMessage, batches.BusFormatError) as error:
                    self.counters["bad_messages"] += 1
                    log.error("unreadable message of node %s: %s", node, error)

    def _push_talk(self, message: bytes) -> None:
        by_owner: dict[tuple[int, str], list[bytes]] = {}
        for talk in batches.unpack_talk(message):
            call = self.local.get(talk.call)
            if call is None:
                self.counters["talk_without_call"] += 1
            else:
                by_owner.setdefault(call.owner, []).append(batches.pack_talk(*talk))
        for owner, pieces in by_owner.items():
            self._push(owner, b"".join(pieces))

    def _push(self, owner: tuple[int, str], talk: bytes) -> None:
        if not self._pusher(owner).send_nowait(talk):
            self.counters["talk_dropped"] += 1

    def _pusher(self, owner: tuple[int, str]) -> BusSocket:
        if owner not in self._pushers:
            self._pushers[owner] = self._context.bus.pusher("ingest", *owner, "talk")
        return self._pushers[owner]

    def on_batch(self, node: str, batch: bytes) -> None:
        """Give fan-outs a batch of another node. Raises BusFormatError."""
        self.imports.receive(node, batch)

    def on_not_here(self, node: str, calls: list[bytes]) -> None:
        """Tell fan-outs that these calls are not at that node any more."""
        log.info("node %s has %d calls no more that are wanted here", node, len(calls))
        self.imports.lose(node, calls)
        self.directory.lose(node, calls)
        self.settle_links()
        self.leases.wake()

    def on_lost(self, node: str) -> None:
        """Tell fan-outs that all calls of a node are gone."""
        lost = self.imports.lose(node)
        self.counters["calls_lost"] += len(lost)

    # ---- interest

    def _on_interest(self, call: bytes) -> None:
        self.imports.on_interest(call)

    def _on_wanted(self, call: bytes, wanted: bool) -> None:
        if (self.directory.want if wanted else self.directory.unwant)(call):
            self.leases.wake()
            if not wanted:
                self.settle_links()

    def settle_links(self) -> None:
        """Have a link to each node that has wanted calls, and tell each node which those are."""
        wanted = self.directory.by_node()
        for node in wanted.keys() - self._links.keys():
            link = self._links[node] = Link(node, self.node, self._context.bus, self._keys, self._store.member, self)
            self._nursery.start_soon(self._run_link, link)
        for node, link in self._links.items():
            link.wanted = wanted.get(node, set())
            link.settle()

    async def _run_link(self, link: Link) -> None:
        await link.run()  # when this process ends, its successor has the calls
        self._links.pop(link.node, None)
        self.imports.lose(link.node)

    @property
    def links_up(self) -> bool:
        """Return whether all nodes with wanted calls have answered."""
        return not self.directory.unknown and all(link.is_up for link in self._links.values())

    def _on_superseded(self, digest: bytes, number: int) -> None:
        call = self.local.get(digest)
        if call is not None:
            payload = number.to_bytes(8, "little")
            talk = batches.pack_talk(batches.TALK_SUPERSEDED, batches.NOBODY, 0, digest, payload)
            self._push(call.owner, talk)
            log.info("a later stream of a call of this node has come to another node", extra={"call": digest.hex()})

    # ---- from the clock

    def on_second(self) -> None:
        """Do what is due every second."""
        now = trio.current_time()
        self.local.remove_unconfirmed(now)
        self.exports.forget_silent(now)
        self.imports.on_second(now)
        self.leases.wake()
        who = self._context.identity
        counters = {**self.counters, **self.exports.counters, **self.imports.counters, **self.leases.counters}
        gauges = {
            "links": sum(link.is_up for link in self._links.values()),
            "nodes_served": len(self.exports.nodes),
            "remote_calls": len(self.imports),
            "redis_available": int(self.leases.is_available),
        }
        stats = {"from": who.instance, "epoch": who.epoch, "counters": counters, "gauges": gauges}
        self.publisher.send_nowait(batches.STATS_TOPIC + orjson.dumps(stats))
        self._context.progress.frames_in = self.imports.counters["entries_in"]
        self._context.progress.frames_out = self.exports.counters["entries_out"]

    def leave(self) -> None:
        """Have other nodes connect to the bridge that takes over."""
        self.exports.leave()
