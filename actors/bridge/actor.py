"""Runs the process of `bridge`: makes its sockets and its client of Redis, and keeps its membership."""

from __future__ import annotations

import logging
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import trio

from actors.bridge.bridge import Bridge
from actors.bridge.keys import load_keys
from actors.bridge.redis_client import open_redis
from actors.bridge.store import Member, Store, Unavailable
from patchbay.bus.node_sockets import listen_for_nodes, serve_zap
from patchbay.process.periodic import SECOND, every

if TYPE_CHECKING:
    from patchbay.bus.node_sockets import KeyPair
    from patchbay.process.context import Context

log = logging.getLogger(__name__)

ANNOUNCE_S: Final = 1.0
CALLS_TIMEOUT_S: Final = 1.0  # to learn which calls this node has, before other nodes may ask
LINKS_TIMEOUT_S: Final = 1.0  # to have the links that the bridge before had
LINKS_POLL_S: Final = 0.02
LEAVE_S: Final = 0.6  # for other nodes to connect to the bridge that takes over
KNOWN_KEYS_MAX: Final = 1_000


async def run(context: Context) -> None:
    """Serve until the process is to stop."""
    settings = context.settings
    keys = load_keys(settings.run_dir)
    async with open_redis(settings.cluster.redis_url or "") as client, trio.open_nursery() as nursery:
        store = Store(client)
        members = Members(store, settings.cluster.node, keys)
        nursery.start_soon(serve_zap, context.bus, members.admit)
        await trio.lowlevel.checkpoint()
        router = listen_for_nodes(context.bus, context.identity.fds["bridge"], settings.cluster.address, keys)
        bridge = Bridge(context, store, keys, nursery, router)
        nursery.start_soon(members.announce)
        nursery.start_soon(bridge.ingests.serve, bridge.on_batches)
        nursery.start_soon(bridge.receive_subscriptions)
        nursery.start_soon(bridge.leases.keep)
        nursery.start_soon(bridge.leases.look_up)
        nursery.start_soon(bridge.leases.listen)
        with trio.move_on_after(CALLS_TIMEOUT_S):
            await bridge.calls_known.wait()
        nursery.start_soon(bridge.receive_from_nodes)
        nursery.start_soon(bridge.receive_talk, context.bus.puller("talk"))
        nursery.start_soon(every, SECOND, bridge.on_second)
        with trio.move_on_after(LINKS_TIMEOUT_S):
            await bridge.batcher.wait_for_fanouts(settings.fanout.processes)
            while not bridge.links_up:  # noqa: ASYNC110 - for a second, at the start
                await trio.sleep(LINKS_POLL_S)
        context.ready()
        await context.draining.wait()
        bridge.leave()
        await trio.sleep(LEAVE_S)
        nursery.cancel_scope.cancel()


class Members:
    """Says that this node is there, and knows whose keys other nodes have."""

    def __init__(self, store: Store, node: str, keys: KeyPair) -> None:
        self._store = store
        self._node = node
        self._keys = keys
        self._known: dict[str, str] = {}  # nodes by keys, for when Redis does not answer

    async def announce(self) -> None:
        """Say every ANNOUNCE_S that this node is there. For ever."""
        started_at = time.time()
        while True:
            try:
                await self._store.announce(
                    Member(self._node, self._keys.public, version("patchbay"), started_at, time.time())
                )
            except Unavailable as error:
                log.debug("not announced: %s", error)
            await trio.sleep(ANNOUNCE_S)

    async def admit(self, key: str) -> str | None:
        """Return the node that has this public key; None: no member has."""
        try:
            node = await self._store.node_of_key(key)
        except Unavailable:
            return self._known.get(key)
        if node is not None:
            if len(self._known) >= KNOWN_KEYS_MAX:
                self._known.clear()
            self._known[key] = node
        return node
