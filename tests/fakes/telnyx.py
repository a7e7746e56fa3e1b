"""Telnyx's side of a media stream as text frames, and a peer that carries them without a socket."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, cast

import orjson
import trio

from actors.ingest.native import take_talk_in_c
from actors.ingest.stream.stream import Stream
from actors.ingest.streams import Streams
from config import load
from patchbay.bus.event_sender import EventSender
from patchbay.process.identity import Identity
from patchbay.protocol import batches
from tests.fakes.bus import FakeSocket, entries_of
from tests.fakes.connections import FakeHandedConnection, FakeSendQueue

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from patchbay.bus.sockets import BusSocket
    from patchbay.websocket.connection import WebSocketConnection
    from patchbay.websocket.send_queue import SendQueue


def start(call: str = "v3:call", stream_id: str = "stream", encoding: str = "PCMU", **more: Any) -> bytes:
    media_format = {"encoding": encoding, "sample_rate": 8000, "channels": 1}
    body = {
        "call_control_id": call,
        "call_session_id": "session",
        "from": "+1",
        "to": "+2",
        "media_format": media_format,
    }
    return orjson.dumps({"event": "start", "sequence_number": "1", "stream_id": stream_id, "start": {**body, **more}})


def media(chunk: int, payload: bytes = b"\x55" * 160, track: str = "inbound") -> bytes:
    body = {
        "track": track,
        "chunk": str(chunk),
        "timestamp": str(chunk * 20),
        "payload": base64.b64encode(payload).decode(),
    }
    return orjson.dumps({"event": "media", "sequence_number": str(chunk), "media": body, "stream_id": "stream"})


def stop(call: str = "v3:call") -> bytes:
    return orjson.dumps({"event": "stop", "stream_id": "stream", "stop": {"call_control_id": call}})


class FakePeer:
    """What a stream needs of `patchbay.websocket.connection.WebSocketConnection`."""

    def __init__(self, number: int, now: Callable[[], float]) -> None:
        self._now = now
        self.handed = FakeHandedConnection(cast("socket.socket", None), b"", kind="ws")
        self.handed.id = number
        self.send_queue: FakeSendQueue | SendQueue = FakeSendQueue()
        self.on_bulk: Callable[[memoryview, int, int], int] | None = None
        self.take_soon = False
        self.on_text: Callable[[bytes], None] = lambda message: None
        self.counted = 0
        self.closed = trio.Event()
        self.closed_with: list[tuple[int, str]] = []

    @property
    def last_heard(self) -> float:
        return self._now()

    @property
    def written(self) -> list[bytes]:
        return cast("FakeSendQueue", self.send_queue).frames

    def write(self, frame: bytes) -> None:
        self.send_queue.write(frame)

    def read_periodically(self, on_bulk: Callable[[memoryview, int, int], int]) -> None:
        self.on_bulk = on_bulk

    def read_now(self) -> None:
        """There is nothing more to be read."""

    def read_on_arrival(self) -> None:
        self.on_bulk = None

    def count(self, messages: int) -> None:
        self.counted += messages

    async def close(self, code: int, reason: str) -> None:
        self.closed_with.append((code, reason))
        self.closed.set()


class FakeIngest:
    """The streams of an ingest process whose bus and clock are the test's. `entries(fanout)`: what it got since the
    last call.

    `in_c`: with the routine in C in front, where it was built.
    """

    def __init__(self, *, in_c: bool = False, **environ: str) -> None:
        self.publisher, self.dealer = FakeSocket(), FakeSocket()
        settings = load({"PATCHBAY_RUN_DIR": "/nonexistent", **environ})
        self.events = EventSender(self.dealer, limit=1000)
        take_talk = take_talk_in_c(wanted=in_c)
        self.now = 100.0
        self.clock: Callable[[], float] = lambda: self.now
        publisher = cast("BusSocket", self.publisher)
        self.streams = Streams(
            settings, Identity("ingest"), publisher, self.events, take_talk, now=lambda: self.clock()
        )

    def stream(self, number: int = 1, *messages: bytes, send_queue: SendQueue | None = None) -> Stream:
        peer = FakePeer(number, lambda: self.clock())
        peer.send_queue = peer.send_queue if send_queue is None else send_queue
        made = Stream(self.streams, cast("WebSocketConnection", peer))
        peer.on_text = made.on_text
        for message in messages:
            made.on_text(message)
        return made

    def fanout(self, index: int = 0, *calls: str, everything: bool = False) -> None:
        """A fan-out process subscribes, and wants these calls."""
        self.streams.batcher.on_subscription(b"\x01" + batches.batch_topic(index))
        wanted = [batches.EVERY_CALL] if everything else [batches.digest(call) for call in calls]
        for call in wanted:
            self.streams.batcher.on_subscription(b"\x01" + batches.interest_topic(index, call))

    def uninterested(self, index: int, call: str) -> None:
        self.streams.batcher.on_subscription(b"\x00" + batches.interest_topic(index, batches.digest(call)))
        self.streams.batcher.expire_interest(float("inf"))

    def entries(self, index: int = 0) -> list[batches.Entry]:
        self.streams.batcher.flush()
        mine = [message for message in self.publisher.sent if message.startswith(batches.batch_topic(index))]
        self.publisher.sent = [message for message in self.publisher.sent if message not in mine]
        return [entry for message in mine for entry in entries_of(message)]

    def kinds(self, index: int = 0) -> list[int]:
        return [entry.kind for entry in self.entries(index)]

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """The events that were sent, by type."""
        return [(event["type"], event["payload"]) for event in map(orjson.loads, self.dealer.sent)]


def peer_of(stream: Stream) -> FakePeer:
    return cast("FakePeer", stream.peer)
