"""Audio is live or idle: each change of its state, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.telnyx import FakeIngest, media, peer_of, start

if TYPE_CHECKING:
    from actors.ingest.stream.stream import Stream
    from patchbay.bus.batcher import EntryQueue


def is_idle(stream: Stream) -> bool:
    """Whether the connection is read now and then only."""
    peer = peer_of(stream)
    assert (peer.on_bulk is None) == (peer.on_text == stream.on_text)
    return peer.on_bulk is not None


@pytest.fixture
async def stream() -> Stream:
    made = FakeIngest().stream(7)
    made.audio.set_source(7, bytes(16))
    return made


async def test_each_change(stream: Stream) -> None:
    """`route` to nobody makes it idle, `route` to somebody and `detach` make it live; a second time changes nothing."""
    queue: EntryQueue = []
    steps = [
        (None, False),
        ((queue,), False),
        ((), True),
        ((), True),
        ((queue,), False),
        ((), True),
        ("detach", False),
        ("detach", False),
    ]
    for step, expected in steps:
        if isinstance(step, str):
            stream.audio.detach()
        elif step is not None:
            stream.audio.route(step)
        assert is_idle(stream) is expected


async def test_what_is_said_while_idle_comes_first(stream: Stream) -> None:
    """When somebody listens again. Not after the call."""
    queue: EntryQueue = []
    stream.audio.route(())
    peer_of(stream).on_text(media(1, b"first"))
    stream.audio.route((queue,))
    stream.on_text(media(2, b"second"))
    assert [part for part in queue if part in (b"first", b"second")] == [b"first", b"second"]
    stream.audio.route(())
    peer_of(stream).on_text(media(3))
    stream.audio.detach()
    queue.clear()
    stream.on_text(media(4))
    assert queue == []
    assert stream.audio.frames == [4, 0]


async def test_one_that_is_released_holds_on_to_nobody() -> None:
    """Its connection has ended, and whatever still comes is nobody's."""
    ingest = FakeIngest()
    stream = ingest.stream(7, start())
    stream.release()
    stream.on_text(b'{"event":"stop"}')
    assert stream.start is not None
    assert ingest.streams.registry.holds(stream)
