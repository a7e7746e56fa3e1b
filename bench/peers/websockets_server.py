"""A relay on `websockets` (asyncio): broadcast() to a call's listeners. `python -m bench.peers.websockets_server
PORT`."""

from __future__ import annotations

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from bench.peers.relay import Relay, is_telnyx

relay: Relay[ServerConnection] = Relay()


async def telnyx(connection: ServerConnection) -> None:
    call = ""
    async for message in connection:
        told = relay.from_telnyx(connection, call, message)
        if isinstance(told, str):
            call = told
        else:
            broadcast(relay.listeners[told[:2]], told[2])


async def browser(connection: ServerConnection, target: str) -> None:
    call = relay.join(connection, target)
    try:
        async for message in connection:
            talk = relay.from_browser(call, message)
            if talk is not None:
                await talk[0].send(talk[1])
    finally:
        relay.leave(connection, target)


async def handler(connection: ServerConnection) -> None:
    request = connection.request
    assert request is not None
    try:
        if is_telnyx(request.headers.get("User-Agent", "")):
            await telnyx(connection)
        else:
            await browser(connection, request.path)
    except ConnectionClosed:
        return


async def main(port: int) -> None:
    async with serve(handler, "127.0.0.1", port, compression=None, backlog=4096) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
