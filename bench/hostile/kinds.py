"""What hostile peers do: one function for each kind, which does it on one connection and tells what came of it.

A function returns what it was answered, and then the connection is closed; or it stays, as its kind does, until it is
cancelled. The `number` of a connection chooses between the variants of a kind.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from urllib.parse import quote

import trio

from bench.hostile import payloads
from bench.hostile.wire import CLOSE, CONTINUATION, PING, TEXT, Raw, frame, raw

# A listener names a call of its own, as its token would make it; one that names none would hear all.
SOCKETS = ("/audio-stream?call_control_id=v3:its-own", "/audio-stream?role=telnyx", "/call-events")
SLOW_S = 0.5  # between two bytes
NARROW_BYTES = 4096  # what a reader that does not read has room for
REFUSED = "refused"
ASKING = 5  # times, each
FROM_ONE = "X-Forwarded-For: 203.0.113.7\r\n"
NO_CODE = 1005  # RFC 6455 §7.1.5


@dataclass(frozen=True)
class Target:
    """What is attacked.

    Attributes:
        port: of the system.
        calls: the ids of calls that are live there.
        scale: how much of what a kind says is enough.
    """

    port: int
    calls: tuple[str, ...] = ()
    scale: float = 1.0

    def scaled(self, times: int) -> int:
        """How often something is said."""
        return max(1, round(times * self.scale))

    def path(self, number: int) -> str:
        """One endpoint after the other."""
        return SOCKETS[number % len(SOCKETS)]

    def listen_path(self, number: int) -> str:
        """To hear one of the calls."""
        call = f"&call_control_id={quote(self.calls[number % len(self.calls)], safe='')}" if self.calls else ""
        return f"/audio-stream?track=inbound{call}"


Attack = Callable[[Target, int], Awaitable[str]]


async def slow_heads(target: Target, number: int) -> str:
    """A byte now and then, and never the end of the head."""
    del number
    async with raw(target.port) as peer:
        for byte in b"GET /audio-stream HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"x" * 1000:
            if not await peer.say(bytes([byte])):
                break
            await trio.sleep(SLOW_S)
        return await _status(peer)


async def slow_readers(target: Target, number: int) -> str:
    """Listeners of a live call that never read."""
    with trio.socket.socket() as sock:
        sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW_BYTES
        )  # before it connects: the window is small then
        await sock.connect(("127.0.0.1", target.port))
        await sock.send(payloads.request(target.listen_path(number)))
        await trio.sleep_forever()
    return REFUSED


async def half_open(target: Target, number: int) -> str:
    """One half of the connection closed, or nothing said ever after."""
    async with raw(target.port, target.path(number)) as peer:
        if number % 2:
            await trio.sleep_forever()
        await peer.stream.send_eof()
        return await _code(peer)


async def resets(target: Target, number: int) -> str:
    """A reset at each step of a connection's life."""
    head = payloads.request(target.path(number))
    steps = (b"", head[:10], head[:-2], head, head + frame(TEXT, b"x" * 500)[:50], head + frame(CLOSE))
    async with raw(target.port) as peer:
        await peer.say(steps[number // len(SOCKETS) % len(steps)])
        peer.reset()
    return "reset"


async def ping_flood(target: Target, number: int) -> str:
    """As many pings as go into the line."""
    return await _flood(target, number, b"", frame(PING, b"x" * 100) * 200)


async def endless_fragments(target: Target, number: int) -> str:
    """A message that never ends, in fragments of nothing."""
    return await _flood(target, number, frame(TEXT, b"{", fin=False), frame(CONTINUATION, b"", fin=False) * 500)


async def _flood(target: Target, number: int, first: bytes, again: bytes) -> str:
    async with raw(target.port, target.path(number)) as peer:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_say_for_ever, peer, first, again)
            code = await _code(peer)
            nursery.cancel_scope.cancel()
        return code


async def _say_for_ever(peer: Raw, first: bytes, again: bytes) -> None:
    await peer.say(first)
    while await peer.say(again):
        await trio.lowlevel.checkpoint()


async def compression(target: Target, number: int) -> str:
    """Offered, and used although nobody agreed to: a bomb of a kilobyte to a megabyte."""
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame\r\n"
    async with raw(target.port, target.path(number), offer) as peer:
        await peer.say(payloads.BOMB)
        return await _code(peer)


def speaking(messages: tuple[bytes, ...]) -> Attack:
    """Frames on an open WebSocket, each connection another, again and again until it is closed."""

    async def attack(target: Target, number: int) -> str:
        async with raw(target.port, target.path(number)) as peer:
            said = 0
            for turn in count(number // len(SOCKETS)):
                message = messages[turn % len(messages)]
                said += len(message)
                if said > payloads.ENOUGH_BYTES or not await peer.say(message):
                    break
            await peer.say(frame(CLOSE))
            return await _code(peer)

    return attack


def asking(requests: tuple[bytes, ...]) -> Attack:
    """Requests, each connection another one."""

    async def attack(target: Target, number: int) -> str:
        async with raw(target.port) as peer:
            await peer.say(requests[number % len(requests)])
            return await _status(peer)

    return attack


async def one_address(target: Target, number: int) -> str:
    """A crowd from one address, with the limits as they are by default: all ask, and then come back at once."""
    async with raw(target.port) as peer:
        for _ in range(ASKING):
            async with raw(target.port) as again:
                await again.say(payloads.request(target.path(number), FROM_ONE))
                await again.until(b"\r\n")
        await peer.say(payloads.request(target.path(number), FROM_ONE))
        return await _first_status(peer)


async def _first_status(peer: Raw) -> str:
    return (await peer.stream.receive_some(16))[9:12].decode("ascii", "replace")


async def _code(peer: Raw) -> str:
    code = await peer.close_code()
    return "closed" if code is None else str(code or NO_CODE)


async def _status(peer: Raw) -> str:
    answer = await peer.to_the_end()
    return answer[9:12].decode("ascii", "replace") if answer.startswith(b"HTTP/1.1 ") else "closed"


KINDS: dict[str, Attack] = {
    "slow heads": slow_heads,
    "slow readers": slow_readers,
    "half-open": half_open,
    "resets at each step": resets,
    "ping floods": ping_flood,
    "fragments without end": endless_fragments,
    "bad UTF-8": speaking(payloads.BAD_TEXT),
    "bad masks": speaking(payloads.BAD_MASKS),
    "reserved bits": speaking(payloads.RESERVED_BITS),
    "wrong opcodes": speaking(payloads.WRONG_OPCODES),
    "huge lengths": speaking(payloads.HUGE_LENGTHS),
    "compression": compression,
    "JSON of any depth": speaking(payloads.JSON),
    "base64 that is not": speaking(payloads.BASE64),
    "numbers out of range": speaking(payloads.NUMBERS),
    "request smuggling": asking(payloads.SMUGGLING),
    "path tricks": asking(payloads.PATHS),
    "header tricks": asking(payloads.HEADERS),
    "one address": one_address,
}
