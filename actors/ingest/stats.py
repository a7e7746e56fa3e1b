"""Reports about all live streams, for the console and `/metrics`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.ingest.notifier import event_fields
from patchbay.protocol.batches import STATS_TOPIC
from patchbay.protocol.lenient_json import encode_any
from patchbay.protocol.times import utc

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from actors.ingest.stream.stream import Stream
    from patchbay.process.identity import Identity

REPORT_MAX_BYTES: Final = 8 * 1024 * 1024
INTERVAL_S: Final = 50e-6  # for each stream, between reports after changes: ten times as long as the report takes


class StatsReporter:
    """Makes reports, and knows when the next one is due: each is about all streams, so not every change makes one."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._is_requested = False
        self._not_before = float("-inf")

    @property
    def due_at(self) -> float | None:
        """When the requested report is due; None when none was requested."""
        return self._not_before if self._is_requested else None

    def request(self) -> None:
        """Have a report made soon, since something has changed."""
        self._is_requested = True

    def make(self, live: Collection[tuple[Stream, int | None]], counters: Mapping[str, int], now: float) -> bytes:
        """Return a report as a message for the bus. `live`: the streams, each with the talker who has its floor."""
        self._is_requested = False
        self._not_before = now + INTERVAL_S * len(live)
        return report(self._identity, live, counters)


def report(identity: Identity, live: Collection[tuple[Stream, int | None]], counters: Mapping[str, int]) -> bytes:
    """Return a report as a message for the bus. Streams are left out where it would be longer than REPORT_MAX_BYTES."""
    calls = [_call_fields(stream, talker) for stream, talker in live]
    source = {"from": identity.instance, "epoch": identity.epoch}
    while True:
        encoded = encode_any({**source, "calls": calls, "counters": counters})
        if len(encoded) <= REPORT_MAX_BYTES or not calls:
            return STATS_TOPIC + encoded
        calls = calls[: len(calls) // 2]


def _call_fields(stream: Stream, talker: int | None) -> dict[str, Any]:
    if stream.start is None:
        return {}
    if stream.stats_fields is None:
        given = stream.start.media_format
        codec = {"codec": given.encoding, "sample_rate": given.sample_rate, "channels": given.channels}
        stream.stats_fields = {**event_fields(stream.start), **codec, "started_at": utc(stream.started_at)}
    inbound, outbound = stream.audio.frames
    return {
        **stream.stats_fields,
        "frames": {"inbound": inbound, "outbound": outbound},
        "talker": None if talker is None else str(talker),
        **stream.counters(),
    }
