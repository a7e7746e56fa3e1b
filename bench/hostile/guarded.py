"""What peers with the smallest tokens do to a system with authentication on, and peers with none: one function for each
kind.

They mean the calls of others by what they do to their own. Each says so many messages at most, and stays for so long at
most; a connection that is closed has been told why, and that is what its kind returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from bench.hostile.saying import (
    ATTACKER,
    listen_path,
    opening,
    repeating,
    said,
    start,
    status_of,
    stream_headers,
    word_of,
)
from bench.hostile.tokens import STREAM_HEADER, STREAM_TOKEN, token
from bench.hostile.wire import BINARY, TEXT, frame, raw

if TYPE_CHECKING:
    from bench.hostile.kinds import Attack, Target

STAY_S: Final = 8.0
MIB: Final = 1024 * 1024
FRAMES: Final = 19_000  # just within what a stream may say at once
TURNS: Final = 1_980  # just within what events remember
PINGS: Final = 9_900  # just within what a listener may say at once
MANY_TYPES: Final = 500
OWN: Final = "v3:own-{}"
V1: Final = "Sec-WebSocket-Protocol: patchbay.v1\r\n"
LINES: Final = "\\u001b[2J\\nINFO all is well\\r\\n"  # in JSON
WEBHOOK: Final = "/api/calls/telnyx/webhook"


@dataclass(frozen=True)
class Kind:
    """A kind of peers.

    Attributes:
        attack: what one connection does.
        most: connections of it that are enough.
        last_s: how long the last one has to do harm.
    """

    attack: Attack
    most: int = 1000
    last_s: float = 2.0


def on_a_stream(*messages: object, times: int = FRAMES, heard: bool = False, **media_format: object) -> Attack:
    """Say messages on a stream of one's own call, again and again. `heard`: to a listener of one's own."""

    async def attack(target: Target, number: int) -> str:
        call = OWN.format(number)
        async with raw(target.port, "/audio-stream", stream_headers(call)) as peer:
            await peer.say(said(start(call, **media_format)))
            if not heard:
                return await repeating(peer, said(*messages), target.scaled(times))
            async with raw(target.port, listen_path(call)) as listener, trio.open_nursery() as nursery:
                nursery.start_soon(listener.to_the_end)
                told = await repeating(peer, said(*messages), target.scaled(times))
                nursery.cancel_scope.cancel()
                return told

    return attack


async def subscriptions(target: Target, number: int) -> str:
    """Subscribe and unsubscribe in turn: each is an event for the audit."""
    call = OWN.format(number)
    headers = f"{V1}Authorization: Bearer {token(ATTACKER, 'listen', calls=(call,))}\r\n"
    both = said({"type": "subscribe", "call_control_id": call}, {"type": "unsubscribe", "call": 1})
    async with (
        raw(target.port, "/audio-stream", stream_headers(call)) as live,
        raw(target.port, "/audio-stream", headers) as peer,
    ):
        await live.say(said(start(call)))
        return await repeating(peer, both, target.scaled(TURNS))


async def pings(target: Target, number: int) -> str:
    """As many pings as each connection may send, on many connections."""
    del number
    headers = f"{V1}Authorization: Bearer {token(ATTACKER, 'listen', calls=(OWN,))}\r\n"
    async with raw(target.port, "/audio-stream", headers) as peer:
        return await repeating(peer, said({"type": "ping", "sent": 1}), target.scaled(PINGS))


async def long_starts(target: Target, number: int) -> str:
    """Start frames of nearly the longest message, which all who come later are told of."""
    call = OWN.format(number)
    long = start(call)
    long["start"]["client_state"] = "x" * (MIB - 4096)  # type: ignore[index]
    async with raw(target.port, "/audio-stream", stream_headers(call)) as peer:
        return await repeating(peer, said(long), 1)


async def starts_to_the_deaf(target: Target, number: int) -> str:
    """The same to listeners that never read, again and again."""
    call = OWN.format(number % 20)
    if number >= 20:
        async with raw(target.port, listen_path(call)):
            await trio.sleep(STAY_S)
        return "stayed"
    async with raw(target.port, "/audio-stream", stream_headers(call)) as peer:
        for turn in range(target.scaled(100)):
            long = start(call, turn=turn)
            long["start"]["client_state"] = "x" * (MIB - 4096)  # type: ignore[index]
            if not await peer.say(said(long)):
                break
        return word_of(await peer.close_code())


async def silent_streams(target: Target, number: int) -> str:
    """Take a slot and say nothing. One in fifty is Telnyx, for which there must be one."""
    if number % 50 == 49:
        async with raw(target.port) as carrier:
            await carrier.say(opening("/audio-stream", f"{STREAM_HEADER}: {STREAM_TOKEN}\r\n"))
            return f"Telnyx {await status_of(carrier)}"
    async with raw(target.port) as peer:
        await peer.say(opening("/audio-stream", stream_headers(OWN.format(number))))
        status = await status_of(peer)
        if status == "101":
            with trio.move_on_after(STAY_S):
                return word_of(await peer.close_code())
        return status


async def cookies(target: Target, number: int) -> str:
    """Quoted values, and names without values, that a parser may look through again for each character."""
    values = (b'a="' + b'\\"' * 7_800 + b'"', b"a=" * 7_800, b'a="' + b"\\1" * 7_800, b";" * 15_000)
    async with raw(target.port) as peer:
        head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: "
        await peer.say(head + values[number % len(values)] + b"\r\n\r\n")
        return await status_of(peer)


async def small_chunks(target: Target, number: int) -> str:
    """A webhook's body of one-byte chunks, 1.5 MiB on the wire."""
    del number
    async with raw(target.port) as peer:
        await peer.say(f"POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(target.scaled(64)):
            if not await peer.say(b"1\r\nx\r\n" * 4096):
                break
        await peer.say(b"0\r\n\r\n")
        return await status_of(peer)


async def held_bodies(target: Target, number: int) -> str:
    """All of a webhook's body but its last byte."""
    del number
    async with raw(target.port) as peer:
        await peer.say(f"POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: 262144\r\n\r\n".encode())
        await peer.say(b"x" * 262_143)
        with trio.move_on_after(STAY_S):
            return await status_of(peer)
        return "stayed"


async def never_read(target: Target, number: int) -> str:
    """Requests without end whose answers are not read."""
    del number
    async with raw(target.port) as peer:
        with trio.move_on_after(STAY_S):
            while await peer.say(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 100):
                await trio.lowlevel.checkpoint()
            return "closed"
    return "slowed"


async def odd_words(target: Target, number: int) -> str:
    """What is not text where text is expected, and what a terminal would obey: all of it may be logged."""
    call = OWN.format(number)
    if number % 3 == 0:
        async with raw(target.port) as peer:
            await peer.say(opening("/audio-stream", "Sec-WebSocket-Protocol: patchbay.v1, \x80\r\n"))
            return await status_of(peer)
    if number % 3 == 1:
        async with raw(target.port, listen_path(call)) as peer:
            return await repeating(peer, frame(TEXT, b'{"event":"auth","token":"%s"}' % LINES.encode()), 1_000)
    async with raw(target.port, "/audio-stream", stream_headers(call)) as peer:
        await peer.say(said(start(call)))
        return await repeating(peer, frame(TEXT, b'{"event":"error","payload":{"title":"%s"}}' % LINES.encode()), 1_000)


async def odd_tokens(target: Target, number: int) -> str:
    """Well signed, but nobody's, or of what can't be written."""
    subs = ("half \ud83d", "", " ", "x" * 5_000, ATTACKER)
    calls = ("c\udc00",) if subs[number % len(subs)] == ATTACKER else ("c",)
    signed = token(subs[number % len(subs)], "listen", calls=calls)
    async with raw(target.port) as peer:
        await peer.say(opening(f"/audio-stream?token={signed}", ""))
        return await status_of(peer)


async def many_types(target: Target, number: int) -> str:
    """As many types of events as one request may name."""
    types = ",".join(f"{number}.{each}.*" for each in range(MANY_TYPES))
    async with raw(target.port) as peer:
        lines = f"Host: x\r\nConnection: close\r\nAuthorization: Bearer {token(ATTACKER, 'events')}\r\n"
        await peer.say(f"GET /api/events?since=0&limit=1000&type={types} HTTP/1.1\r\n{lines}\r\n".encode())
        return await status_of(peer)


async def dripped(target: Target, number: int) -> str:
    """A frame, a byte now and then; pings are not answered."""
    async with raw(target.port, listen_path(OWN.format(number))) as peer:
        for byte in frame(BINARY, b"x" * 300)[: target.scaled(200)]:
            if not await peer.say(bytes([byte])):
                break
            await trio.sleep(0.4)
        return word_of(await peer.close_code())


async def everything(target: Target, number: int) -> str:
    """One kind after the other, all of one token, at once."""
    kinds = [kind for name, kind in GUARDED.items() if name != "all at once"]
    return await kinds[number % len(kinds)].attack(target, number)


MARK: Final = {"event": "mark", "mark": {"name": "m"}}
LONG_MARK: Final = {"event": "mark", "mark": {"name": "m" * (MIB - 100)}}
KEY: Final = {"event": "dtmf", "dtmf": {"digit": "1"}}


def _media(payload: str) -> dict[str, object]:
    return {"event": "media", "media": {"track": "inbound", "chunk": "1", "timestamp": "20", "payload": payload}}


GUARDED: dict[str, Kind] = {
    "cookies": Kind(cookies, 400),
    "webhooks in small chunks": Kind(small_chunks, 40),
    "webhooks without their last byte": Kind(held_bodies, 800),
    "answers that are not read": Kind(never_read, 200),
    "odd words": Kind(odd_words),
    "odd tokens": Kind(odd_tokens),
    "dripped frames": Kind(dripped),
    "subscribe and unsubscribe": Kind(subscriptions, 40),
    "pings of one token": Kind(pings, 150),
    "marks": Kind(on_a_stream(MARK), 20),
    "keys": Kind(on_a_stream(KEY), 20),
    "unknown events": Kind(on_a_stream({"event": "x"}), 20),
    "long marks": Kind(on_a_stream(LONG_MARK, times=40), 20),
    "AMR-WB of ones": Kind(on_a_stream(_media("////" * 13_000), times=40, heard=True, encoding="AMR-WB"), 10),
    "L16 at 1 Hz": Kind(on_a_stream(_media("AAAA" * 10_000), times=40, heard=True, encoding="L16", sample_rate=1), 10),
    "long starts": Kind(long_starts, 40),
    "long starts to the deaf": Kind(starts_to_the_deaf, 120),
    "silent streams": Kind(silent_streams),
    "many types of events": Kind(many_types, 40),
    "all at once": Kind(everything),
}
