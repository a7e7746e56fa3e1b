"""Short calls and their listeners, coming and going: what is not given back when they go shows in a soak."""

from __future__ import annotations

import base64
import itertools
from typing import Final

import orjson
import trio
import trio_websocket

INTERVAL_S: Final = 0.25
FRAMES: Final = 25
FRAME_S: Final = 0.02
TIMEOUT_S: Final = 10.0
AUDIO: Final = base64.b64encode(bytes(range(160))).decode()


class Churn:
    """Places a short call every so often. `calls` and `failures` count."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.calls = 0
        self.failures = 0

    async def run(self) -> None:
        """For ever."""
        async with trio.open_nursery() as nursery:
            for number in itertools.count():
                nursery.start_soon(self._one, f"v3:churn-{number}")
                await trio.sleep(INTERVAL_S)

    async def _one(self, call: str) -> None:
        self.calls += 1
        with trio.move_on_after(TIMEOUT_S) as scope:
            try:
                async with trio_websocket.open_websocket(
                    "127.0.0.1", self._port, f"/audio-stream?call_control_id={call}", use_ssl=False
                ) as listener:
                    await self._telnyx(call)
                    while isinstance(await listener.get_message(), str):
                        pass  # the greeting and the start frame come before the audio
            except (OSError, trio_websocket.ConnectionClosed, trio_websocket.HandshakeError):
                self.failures += 1
        self.failures += scope.cancelled_caught

    async def _telnyx(self, call: str) -> None:
        async with trio_websocket.open_websocket(
            "127.0.0.1", self._port, "/audio-stream", use_ssl=False, extra_headers=[(b"User-Agent", b"Telnyx")]
        ) as telnyx:
            formats = {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
            start = {"call_control_id": call, "media_format": formats}
            await telnyx.send_message(orjson.dumps({"event": "connected", "version": "1.0.0"}).decode())
            await telnyx.send_message(orjson.dumps({"event": "start", "start": start, "stream_id": call}).decode())
            for chunk in range(1, FRAMES + 1):
                media = {"track": "inbound", "chunk": str(chunk), "timestamp": str(chunk * 20), "payload": AUDIO}
                await telnyx.send_message(orjson.dumps({"event": "media", "media": media, "stream_id": call}).decode())
                await trio.sleep(FRAME_S)
            await telnyx.send_message(orjson.dumps({"event": "stop", "stop": {"call_control_id": call}}).decode())
