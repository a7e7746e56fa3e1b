"""A relay on picows and uvloop. `python -m bench.peers.picows_server PORT`."""

from __future__ import annotations

import asyncio
import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from bench.peers.relay import Relay, is_telnyx

relay: Relay[WSTransport] = Relay()


class Telnyx(WSListener):
    """A call."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.call = ""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            told = relay.from_telnyx(transport, self.call, frame.get_payload_as_bytes())
            if isinstance(told, str):
                self.call = told
                return
            audio = told[2]
            for listener in relay.listeners[told[:2]]:
                listener.send(WSMsgType.BINARY, audio)
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()


class Browser(WSListener):
    """A listener, or a talker."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.call = ""

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.call = relay.join(transport, self.target)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        relay.leave(transport, self.target)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            talk = relay.from_browser(self.call, frame.get_payload_as_bytes())
            if talk is not None:
                talk[0].send(WSMsgType.TEXT, talk[1].encode())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()


def listener_for(request: WSUpgradeRequest) -> WSListener:
    if is_telnyx(request.headers.get("User-Agent", "")):
        return Telnyx()
    return Browser(request.path.decode())


async def main(port: int) -> None:
    server = await ws_create_server(listener_for, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(int(sys.argv[1])))
