"""What the console, and the journal of events, are told of streams. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from patchbay.protocol.batches import STATS_TOPIC
from patchbay.protocol.lenient_json import encode_any
from patchbay.protocol.times import utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from actors.ingest.stream import Stream
    from patchbay.process.identity import Identity
    from patchbay.protocol.telnyx import Start

REPORT_MAX_BYTES: Final = 8 * 1024 * 1024


def report(identity: Identity, live: Iterable[tuple[Stream, int | None]], counters: Mapping[str, int]) -> bytes:
    """What there is, as a message for the bus; where that is too long, not of all calls.

    Args:
        live: the streams, each with who talks into it.
    """
    calls = [describe(stream, talker) for stream, talker in live]
    source = {"from": identity.instance, "epoch": identity.epoch}
    while True:
        told = encode_any({**source, "calls": calls, "counters": counters})
        if len(told) <= REPORT_MAX_BYTES or not calls:
            return STATS_TOPIC + told
        calls = calls[: len(calls) // 2]


def describe(stream: Stream, talker: int | None) -> dict[str, Any]:
    """One live call."""
    if stream.start is None:
        return {}
    if stream.told is None:
        stream.told = {**about(stream), **_codec(stream.start), "started_at": utc(stream.started_at)}
    inbound, outbound = stream.frames
    return {
        **stream.told,
        "frames": {"inbound": inbound, "outbound": outbound},
        "talker": None if talker is None else str(talker),
        **stream.counters(),
    }


def _codec(start: Start) -> dict[str, Any]:
    given = start.media_format
    return {"codec": given.encoding, "sample_rate": given.sample_rate, "channels": given.channels}


def about(stream: Stream) -> dict[str, Any]:
    """Which call, in every event of a stream."""
    start = stream.start
    if start is None:
        return {"stream_id": None}
    return {
        "call_control_id": start.call_control_id,
        "call_session_id": start.call_session_id,
        "stream_id": start.stream_id,
        "from": start.from_,
        "to": start.to,
    }


def media_format(stream: Stream) -> dict[str, Any]:
    """How its audio is encoded."""
    if stream.start is None:
        return {}
    given = stream.start.media_format
    return {"encoding": given.encoding, "sample_rate": given.sample_rate, "channels": given.channels}
