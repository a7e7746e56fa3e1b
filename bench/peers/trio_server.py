"""A relay on plain trio-websocket: a task and a channel for each listener. `python -m bench.peers.trio_server PORT`."""

from __future__ import annotations

import logging
import sys

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from bench.peers.relay import Relay, is_telnyx

log = logging.getLogger(__name__)

QUEUE_MESSAGES = 500

Channel = trio.MemorySendChannel[bytes]
relay: Relay[WebSocketConnection] = Relay()
channels: dict[WebSocketConnection, Channel] = {}


async def telnyx(connection: WebSocketConnection) -> None:
    call = ""
    while True:
        told = relay.from_telnyx(connection, call, await connection.get_message())
        if isinstance(told, str):
            call = told
            continue
        for listener in relay.listeners[told[:2]]:
            try:
                channels[listener].send_nowait(told[2])
            except trio.WouldBlock:
                log.warning("a listener is too slow")


async def send_all(connection: WebSocketConnection, queue: trio.MemoryReceiveChannel[bytes]) -> None:
    try:
        async for audio in queue:
            await connection.send_message(audio)
    except ConnectionClosed:
        return


async def browser(connection: WebSocketConnection, target: str) -> None:
    channels[connection], queue = trio.open_memory_channel[bytes](QUEUE_MESSAGES)
    call = relay.join(connection, target)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_all, connection, queue)
            try:
                while True:
                    talk = relay.from_browser(call, await connection.get_message())
                    if talk is not None:
                        await talk[0].send_message(talk[1])
            finally:
                nursery.cancel_scope.cancel()
    finally:
        relay.leave(connection, target)
        del channels[connection]


async def handler(request: WebSocketRequest) -> None:
    connection = await request.accept()
    agents = [value for name, value in request.headers if name.lower() == b"user-agent"]
    try:
        if is_telnyx(agents[0].decode() if agents else ""):
            await telnyx(connection)
        else:
            await browser(connection, request.path)
    except ConnectionClosed:
        return


if __name__ == "__main__":
    trio.run(serve_websocket, handler, "127.0.0.1", int(sys.argv[1]), None)
