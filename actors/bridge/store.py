"""Keeps members and leases in Redis, and hears of leases that change. Everything here waits for Redis, 2 s at most.

Keys: `patchbay:member:<node>`, `patchbay:key:<public key>`, `patchbay:members` (a sorted set, by the time of the last
word), `patchbay:{<digest>}:lease`. Channels: `patchbay:{<digest>}:moved`, `patchbay:node:<node>`. What belongs to one
call has one hash tag, so that a Redis Cluster keeps all of that in one place.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import coredis
import msgspec
from coredis.exceptions import RedisError

from actors.bridge.directory import Lease

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from actors.bridge.redis_client import RedisClient

MEMBER_TTL_MS: Final = 5_000
LEASE_TTL_MS: Final = 15_000
AT_ONCE: Final = 100  # commands in one pipeline

# Takes or renews a lease, unless a later stream of the call has it. Returns the lease that was there, if another was.
CLAIM: Final = """
local held = redis.call('GET', KEYS[1])
if held == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) return false end
if held and string.sub(held, 1, 20) > string.sub(ARGV[1], 1, 20) then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call(ARGV[3], KEYS[2], ARGV[1])
return held
"""
# Gives a lease back, if it is still ours.
RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) redis.call(ARGV[2], KEYS[2], '') end
return false
"""
FAILURES: Final = (RedisError, OSError, TimeoutError)


class Unavailable(Exception):
    """Redis has not answered, or has refused."""


class Member(msgspec.Struct, frozen=True):
    """What a node tells the others of itself.

    Attributes:
        key: its public key (CURVE, Z85).
        at: when it said so, seconds since 1970.
    """

    node: str
    key: str
    version: str
    started_at: float
    at: float


_member = msgspec.json.Decoder(Member)


class Store:
    """Everything that the bridge asks of Redis. Each method raises Unavailable; cancelling is safe."""

    def __init__(self, client: RedisClient) -> None:
        self._client: Any = client  # what both kinds of client have
        self._publish = "SPUBLISH" if isinstance(client, coredis.RedisCluster) else "PUBLISH"

    async def announce(self, member: Member) -> None:
        """Say that this node is there, for MEMBER_TTL_MS."""
        text = msgspec.json.encode(member)
        try:
            await self._client.set(f"patchbay:member:{member.node}", text, px=MEMBER_TTL_MS)
            await self._client.set(f"patchbay:key:{member.key}", member.node, px=MEMBER_TTL_MS)
            await self._client.zadd("patchbay:members", {member.node: time.time()})
            await self._client.zremrangebyscore("patchbay:members", 0, time.time() - 60)
        except FAILURES as error:
            raise Unavailable(str(error)) from error

    async def withdraw(self, member: Member) -> None:
        """Say that this node has gone."""
        try:
            await self._client.delete([f"patchbay:member:{member.node}"])
            await self._client.delete([f"patchbay:key:{member.key}"])
            await self._client.zrem("patchbay:members", [member.node])
        except FAILURES as error:
            raise Unavailable(str(error)) from error

    async def member(self, node: str) -> Member | None:
        """Return what a node has said; None: it is not there."""
        try:
            text = await self._client.get(f"patchbay:member:{node}")
            return None if text is None else _member.decode(text)
        except (*FAILURES, msgspec.DecodeError) as error:
            raise Unavailable(str(error)) from error

    async def members(self) -> list[Member]:
        """Return all nodes that are there."""
        try:
            nodes = await self._client.zrange("patchbay:members", 0, -1)
        except FAILURES as error:
            raise Unavailable(str(error)) from error
        found = [await self.member(node.decode(errors="replace")) for node in nodes]
        return [member for member in found if member is not None]

    async def node_of_key(self, key: str) -> str | None:
        """Return the node that has this public key; None: no member has."""
        try:
            node = await self._client.get(f"patchbay:key:{key}")
        except FAILURES as error:
            raise Unavailable(str(error)) from error
        return None if node is None else str(node, "utf-8", "replace")

    # ---- leases

    async def claim(self, leases: Sequence[tuple[bytes, Lease]]) -> list[Lease | None]:
        """Take or renew the leases of calls. Returns for each the lease that another node had, or has, if there is one:
        with a higher number the call is that node's."""
        commands = [(CLAIM, _lease_keys(call), [lease.encode(), LEASE_TTL_MS, self._publish]) for call, lease in leases]
        return [None if text is None else Lease.decode(text) for text in await self._eval(commands)]

    async def release(self, leases: Sequence[tuple[bytes, Lease]]) -> None:
        """Give leases back."""
        await self._eval([(RELEASE, _lease_keys(call), [lease.encode(), self._publish]) for call, lease in leases])

    async def find(self, calls: Sequence[bytes]) -> list[Lease | None]:
        """Return the leases of calls."""
        found: list[Any] = []
        try:
            for at in range(0, len(calls), AT_ONCE):
                async with self._client.pipeline(transaction=False) as pipe:
                    asked = [pipe.get(_lease_keys(call)[0]) for call in calls[at : at + AT_ONCE]]
                found += [await each for each in asked]
        except FAILURES as error:
            raise Unavailable(str(error)) from error
        return [None if text is None else Lease.decode(text) for text in found]

    async def tell(self, node: str, message: bytes) -> None:
        """Send a message to a node's channel."""
        try:
            publish = self._client.spublish if self._publish == "SPUBLISH" else self._client.publish
            await publish(node_channel(node), message)
        except FAILURES as error:
            raise Unavailable(str(error)) from error

    async def _eval(self, commands: Iterable[tuple[str, list[str], list[Any]]]) -> list[Any]:
        found: list[Any] = []
        given = list(commands)
        try:
            for at in range(0, len(given), AT_ONCE):
                async with self._client.pipeline(transaction=False) as pipe:
                    asked = [pipe.eval(script, keys=keys, args=args) for script, keys, args in given[at : at + AT_ONCE]]
                found += [await each for each in asked]
        except FAILURES as error:
            raise Unavailable(str(error)) from error
        return found

    @asynccontextmanager
    async def listening(self, channels: Iterable[str]) -> AsyncIterator[Channels]:
        """Yield what hears these channels, and others that are added."""
        sharded = self._publish == "SPUBLISH"
        pubsub = self._client.sharded_pubsub if sharded else self._client.pubsub
        async with pubsub(channels=list(channels), ignore_subscribe_messages=True) as heard:
            yield Channels(heard)


class Channels:
    """Hears channels. coredis subscribes again by itself when a connection is lost."""

    def __init__(self, pubsub: Any) -> None:
        self._pubsub = pubsub

    async def add(self, channels: Sequence[str]) -> None:
        """Hear more channels."""
        try:
            await self._pubsub.subscribe(*channels)
        except FAILURES as error:
            raise Unavailable(str(error)) from error

    async def remove(self, channels: Sequence[str]) -> None:
        """Hear these channels no more."""
        try:
            await self._pubsub.unsubscribe(*channels)
        except FAILURES as error:
            raise Unavailable(str(error)) from error

    async def receive(self) -> tuple[str, bytes]:
        """Wait for a message; return its channel and the message."""
        while True:
            found = await self._pubsub.get_message()
            if found is not None and isinstance(found["data"], bytes):
                return str(found["channel"], "utf-8"), found["data"]


def call_channel(call: bytes) -> str:
    """Return the channel that tells of a call's lease."""
    return _lease_keys(call)[1]


def call_of_channel(channel: str) -> bytes | None:
    """Return the call whose channel this is; None: of none."""
    _, _, rest = channel.partition("{")
    digits, brace, _ = rest.partition("}")
    try:
        return bytes.fromhex(digits) if brace else None
    except ValueError:
        return None


def node_channel(node: str) -> str:
    """Return the channel on which a node is told things."""
    return f"patchbay:node:{node}"


def _lease_keys(call: bytes) -> list[str]:
    return [f"patchbay:{{{call.hex()}}}:lease", f"patchbay:{{{call.hex()}}}:moved"]
