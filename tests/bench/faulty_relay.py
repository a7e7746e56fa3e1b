"""A relay with a fault of its own, to see whether the generator notices. `python -m tests.bench.faulty_relay PORT
FAULT`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bench.peers.relay import Relay, is_telnyx

EVERY = 10  # frames
Sent = tuple[tuple[str, str], bytes]  # for whom (call, track), what
Fault = Callable[[int, tuple[str, str], bytes], Iterable[Sent]]

relay: Relay[ServerConnection] = Relay()
held: list[Sent] = []


def none(_: int, key: tuple[str, str], audio: bytes) -> Iterable[Sent]:
    return [(key, audio)]


def lose(count: int, key: tuple[str, str], audio: bytes) -> Iterable[Sent]:
    return [] if count % EVERY == 0 else [(key, audio)]


def double(count: int, key: tuple[str, str], audio: bytes) -> Iterable[Sent]:
    return [(key, audio)] * (2 if count % EVERY == 0 else 1)


def swap(count: int, key: tuple[str, str], audio: bytes) -> Iterable[Sent]:
    if count % EVERY == 0:
        held.append((key, audio))
        return []
    late = [sent for sent in held if sent[0] == key]
    held[:] = [sent for sent in held if sent[0] != key]
    return [(key, audio), *late]


def spoil(count: int, key: tuple[str, str], audio: bytes) -> Iterable[Sent]:
    return [(key, audio[:-1] + bytes([audio[-1] ^ 1]) if count % EVERY == 0 else audio)]


def misdirect(count: int, key: tuple[str, str], audio: bytes) -> Iterable[Sent]:
    others = [other for other in relay.listeners if other[0] != key[0]]
    return [(key, audio), *([(others[0], audio)] if count % EVERY == 0 and others else [])]


def mistrack(count: int, key: tuple[str, str], audio: bytes) -> Iterable[Sent]:
    other = "inbound" if key[1] == "outbound" else "outbound"
    return [(key, audio), *([((key[0], other), audio)] if count % EVERY == 0 else [])]


FAULTS: dict[str, Fault] = {fault.__name__: fault for fault in (none, lose, double, swap, spoil, misdirect, mistrack)}


async def telnyx(connection: ServerConnection, fault: Fault) -> None:
    call, count = "", 0
    async for message in connection:
        told = relay.from_telnyx(connection, call, message)
        if isinstance(told, str):
            call = told
            continue
        count += 1
        for key, audio in fault(count, told[:2], told[2]):
            for listener in relay.listeners[key]:
                await listener.send(audio)


async def browser(connection: ServerConnection, target: str) -> None:
    call = relay.join(connection, target)
    async for message in connection:
        talk = relay.from_browser(call, message)
        if talk is not None:
            await talk[0].send(talk[1])


async def main(port: int, fault: Fault) -> None:
    async def handler(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        try:
            if is_telnyx(request.headers.get("User-Agent", "")):
                await telnyx(connection, fault)
            else:
                await browser(connection, request.path)
        except ConnectionClosed:
            return

    async with serve(handler, "127.0.0.1", port, compression=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), FAULTS[sys.argv[2]]))
