"""Keeps the leases of this node's calls, and finds the leases of calls that are wanted here."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

import trio

from actors.bridge.directory import Lease
from actors.bridge.store import Unavailable, call_channel, call_of_channel, node_channel
from patchbay.protocol.batches import DIGEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.bridge.directory import Directory
    from actors.bridge.local_calls import LocalCalls
    from actors.bridge.store import Channels, Store

log = logging.getLogger(__name__)

RENEW_S: Final = 5.0  # a third of a lease's time
LOOK_AGAIN_S: Final = 5.0  # a message about a lease may have been lost
CLAIM_S: Final = 0.005  # calls that begin together are claimed together
LOOK_UP_S: Final = 0.005
LOST_LOOK_UP_S: Final = 0.5  # of calls that were not where they should be
RETRY_S: Final = 0.5


class Leases:
    """Leases in Redis.

    Args:
        on_superseded: called with a call of this node that has a later stream elsewhere, and the stream's number.
        on_found: called when more is known of wanted calls.

    Attributes:
        is_available: Redis has answered lately.
        counters: failures of Redis; calls that were superseded.
    """

    def __init__(
        self,
        node: str,
        store: Store,
        local: LocalCalls,
        directory: Directory,
        on_superseded: Callable[[bytes, int], None],
        on_found: Callable[[], None],
    ) -> None:
        self._node = node
        self._store = store
        self._local = local
        self._directory = directory
        self._on_superseded = on_superseded
        self._on_found = on_found
        self._held: dict[bytes, Lease] = {}
        self._begun = trio.Event()
        self._missing = trio.Event()
        self._channels: Channels | None = None
        self._heard: set[bytes] = set()  # calls whose channels are heard
        self.is_available = False
        self.counters: Counter[str] = Counter()

    def wake(self) -> None:
        """Have calls that have begun or ended claimed soon, and wanted calls looked up."""
        if self._local.changed:
            self._begun.set()
        if self._directory.unknown:
            self._missing.set()

    async def keep(self) -> None:
        """Claim the leases of calls that begin, renew them, and give them back. For ever."""
        next_renewal = trio.current_time() + RENEW_S
        while True:
            with trio.move_on_at(next_renewal):
                await self._begun.wait()
                await trio.sleep(CLAIM_S)
            self._begun = trio.Event()
            changed, self._local.changed = self._local.changed, set()
            if trio.current_time() >= next_renewal:
                next_renewal = trio.current_time() + RENEW_S
                changed |= {call.digest for call in self._local} | set(self._held)
            try:
                await self._claim(changed)
                self._note_available()
            except Unavailable as error:
                self._note_unavailable(error)
                self._local.changed |= changed
                await trio.sleep(RETRY_S)
                self._begun.set()

    async def look_up(self) -> None:
        """Find the nodes of calls that are wanted. For ever."""
        next_look = trio.current_time() + LOOK_AGAIN_S
        while True:
            with trio.move_on_at(next_look):
                await self._missing.wait()
                await trio.sleep(LOOK_UP_S)
            self._missing = trio.Event()
            if trio.current_time() >= next_look:
                next_look = trio.current_time() + LOOK_AGAIN_S
                self._directory.look_again()
            try:
                await self._find()
            except Unavailable as error:
                self._note_unavailable(error)
                await trio.sleep(RETRY_S)
                self._missing.set()

    async def listen(self) -> None:
        """Hear of leases that change. For ever."""
        while True:
            try:
                async with self._store.listening([node_channel(self._node)]) as channels:
                    self._channels, self._heard = channels, set()
                    self._directory.look_again()
                    self._missing.set()
                    while True:
                        self._on_message(*await channels.receive())
            except Unavailable as error:
                self._note_unavailable(error)
            finally:
                self._channels = None
            await trio.sleep(RETRY_S)

    # ----

    async def _claim(self, calls: set[bytes]) -> None:
        claimed, ended = [], []
        for digest in calls:
            call, held = self._local.get(digest), self._held.get(digest)
            if call is not None:
                claimed.append((digest, Lease(call.number, self._node)))
            elif held is not None:
                ended.append((digest, held))
        if ended:
            await self._store.release(ended)
            for digest, _ in ended:
                self._held.pop(digest, None)
        for (digest, lease), other in zip(claimed, await self._store.claim(claimed), strict=True):
            if other is not None and other.number > lease.number:
                self._supersede(digest, other.number)
                continue
            self._held[digest] = lease
            if other is not None and other.node != self._node:
                await self._store.tell(other.node, digest + lease.number.to_bytes(8, "little"))

    async def _find(self) -> None:
        if self._channels is None:
            return
        wanted = set(self._directory.wanted)
        if fresh := wanted - self._heard:
            await self._channels.add([call_channel(call) for call in fresh])
            self._heard |= fresh
        if stale := self._heard - wanted:
            await self._channels.remove([call_channel(call) for call in stale])
            self._heard -= stale
        calls = sorted(self._directory.unknown)
        for call, lease in zip(calls, await self._store.find(calls), strict=True):
            self._directory.learn(call, lease)
        self._note_available()
        self._on_found()

    def _on_message(self, channel: str, message: bytes) -> None:
        call = call_of_channel(channel)
        if call is not None:
            if (lease := Lease.decode(message)) is not None:
                self._directory.learn(call, lease)
                self._on_found()
        elif len(message) == DIGEST_BYTES + 8:
            self._supersede(message[:DIGEST_BYTES], int.from_bytes(message[DIGEST_BYTES:], "little"))

    def _supersede(self, digest: bytes, number: int) -> None:
        call = self._local.get(digest)
        if call is not None and call.number < number:
            self.counters["streams_superseded"] += 1
            self._on_superseded(digest, number)
            self._local.remove(digest, call.number)
            self._held.pop(digest, None)

    def _note_available(self) -> None:
        if not self.is_available:
            log.info("Redis answers")
        self.is_available = True

    def _note_unavailable(self, error: Unavailable) -> None:
        self.counters["redis_failed"] += 1
        if self.is_available or self.counters["redis_failed"] == 1:
            log.error("Redis does not answer; links that stand go on, others have to wait: %s", error)
        self.is_available = False
