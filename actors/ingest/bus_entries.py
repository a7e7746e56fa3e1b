"""What fan-outs are told of streams beside their audio: entries of the bus. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from patchbay.protocol import batches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.ingest.stream import Stream

LIVE_AT_ONCE: Final = 8192


def entry_of(stream: Stream, kind: int, payload: bytes) -> bytes:
    """What has happened to a stream."""
    flags = batches.IN_ORDER if kind == batches.START and stream.in_order else 0
    return batches.news_entry(kind, stream.number, stream.call, payload, flags)


def acknowledgement(call: bytes) -> bytes:
    """A fan-out's interest in a call has arrived."""
    return batches.news_entry(batches.ACKNOWLEDGED, 0, call)


def live_entries(streams: Iterable[Stream]) -> list[bytes]:
    """Which streams are live, so that nobody keeps a stale one. Each entry confirms those that it names; without any, one says so."""
    numbers = [stream.number.to_bytes(8, "little") for stream in streams]
    parts = [b"".join(numbers[at : at + LIVE_AT_ONCE]) for at in range(0, len(numbers), LIVE_AT_ONCE)]
    return [batches.news_entry(batches.LIVE, 0, batches.EVERY_CALL, part) for part in parts or [b""]]
