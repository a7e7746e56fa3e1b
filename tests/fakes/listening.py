"""Fan-out without sockets: batches of the bus go in by hand, and each listener shows what it was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from actors.fanout.calls.registry import Calls
from actors.fanout.decoder.messages import PROGRESS_BYTES
from actors.fanout.decoder.process import Decoder
from actors.fanout.decoder.queue import DecodingQueue
from actors.fanout.legacy.listener import Listener
from actors.fanout.native import deliver_in_c
from patchbay.protocol import batches
from patchbay.protocol.legacy import ListenQuery
from tests.fakes.connections import FakeHandedConnection, FakeSendQueue
from tests.fakes.telnyx import start

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from patchbay.websocket.connection import WebSocketConnection


class FakeBrowser:
    """What a listener needs of its peer."""

    def __init__(self, number: int) -> None:
        self.send_queue = FakeSendQueue()
        self.handed = FakeHandedConnection(cast("socket.socket", None), b"", kind="ws")
        self.handed.id = number
        self.last_heard = 0.0


def listener(number: int = 1, granted: frozenset[str] | None = None, **query: str | list[str]) -> Listener:
    asked = {name: [value] if isinstance(value, str) else value for name, value in query.items()}
    return Listener(cast("WebSocketConnection", FakeBrowser(number)), ListenQuery.parse(asked), granted)


def browser_of(someone: Listener) -> FakeBrowser:
    return cast("FakeBrowser", someone.peer)


def messages(data: bytes) -> Iterable[tuple[int, bytes]]:
    """The server's frames in some bytes: first byte and payload."""
    at = 0
    while at < len(data):
        size, head = data[at + 1], 2
        if size == 126:
            size, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
        yield data[at], data[at + head : at + head + size]
        at += head + size
    assert at == len(data), "torn"


def heard(someone: Listener) -> list[bytes]:
    """What it was sent since last asked: the payloads, in order."""
    send_queue = browser_of(someone).send_queue
    got = [payload for _, payload in messages(b"".join(send_queue.frames))]
    send_queue.frames.clear()
    return got


def entry(
    kind: int,
    call: str = "v3:call",
    *,
    stream: int = 7,
    chunk: int = 0,
    track: int = 0,
    payload: bytes = b"",
    flags: int = 0,
    position: int | None = None,
) -> bytes:
    place, size = chunk if position is None else position, len(payload)
    head = batches.pack_entry(kind, track, flags, place, chunk, chunk, size, chunk * 20, stream, batches.digest(call))
    return head + payload


def started(call: str = "v3:call", *, stream: int = 7, raw: bytes | None = None, flags: int = 0) -> bytes:
    return entry(batches.START, call, stream=stream, payload=raw or start(call), flags=flags)


def spoken(
    chunk: int,
    call: str = "v3:call",
    *,
    stream: int = 7,
    track: int = 0,
    payload: bytes | None = None,
    flags: int = 0,
    position: int | None = None,
) -> bytes:
    payload = bytes([chunk % 256]) * 160 if payload is None else payload
    return entry(
        batches.AUDIO, call, stream=stream, chunk=chunk, track=track, payload=payload, flags=flags, position=position
    )


class FakeFanout:
    """The registry of calls, fed with batches.

    Args:
        in_c: with the routine in C in front, where it was built.

    Attributes:
        decodes: what must be decoded is so at once; else when `decode` is called.
    """

    def __init__(self, *, in_c: bool = False) -> None:
        self.decodes = True
        self.queue = DecodingQueue()
        self.decoder = Decoder(bytearray(PROGRESS_BYTES))
        self.topics: list[bytes] = []
        self.talk_events: list[tuple[int, dict[str, Any]]] = []
        self.now = 100.0
        self.calls = Calls(
            0,
            0.3,
            self.topics.append,
            self.topics.remove,
            lambda kind, news: self.talk_events.append((kind, news)),
            in_c=deliver_in_c(wanted=in_c),
            decoding=self.queue,
        )
        self._gaps: dict[int, int] = {}

    def hears(self, *entries: bytes, ingest: int = 0, slot: str = "a", epoch: int = 1, lost: int = 0) -> None:
        """A batch comes."""
        sequence = self._gaps[epoch] = self._gaps.get(epoch, 0) + 1 + lost
        self.calls.receive(batches.pack_batch(0, batches.Batch(ingest, slot, epoch, sequence, 0), entries), self.now)
        if self.decodes:
            self.decode()

    def decode(self) -> None:
        """Do what the decoder's process does."""
        while request := self.queue.next_request():
            for answer in self.decoder.answers(request):
                self.queue.receive(answer)
            self.calls.resume(self.now)

    def lets_go(self) -> None:
        """So long passes that what nobody wants any more is given up."""
        for _ in range(2):
            self.calls.remove_unconfirmed(self.now)

    def joins(self, someone: Listener) -> Listener:
        self.calls.add(someone, self.now)
        if self.decodes:
            self.decode()
        return someone
