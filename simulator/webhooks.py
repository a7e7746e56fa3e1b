"""The webhooks of a call: envelopes, payloads, headers. Pure.

Sources: Telnyx's "Voice API Webhooks", "Receiving Webhooks", and the payload types of its SDK.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from simulator.times import timestamp_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from simulator.codecs import Codec
    from simulator.identity import Identity
    from simulator.options import CallOptions
    from simulator.signing import Sign

RETRIED_STATUSES = frozenset({408, 429})  # and all from 500 on; other 4xx are final


@dataclass(frozen=True)
class CallHooks:
    """The payloads of one call's webhooks."""

    identity: Identity
    codec: Codec
    stream_url: str
    stream_track: str  # as streaming was asked for: inbound_track, outbound_track, both_tracks
    started_at: datetime

    @classmethod
    def of(cls, options: CallOptions, started_at: datetime) -> CallHooks:
        tracks = [*options.tracks] or ["inbound"]
        asked = f"{tracks[0]}_track" if len(tracks) == 1 else "both_tracks"
        stream_url = options.url.partition("?")[0]  # a token may be in the query
        return cls(options.identity, options.codec, stream_url, asked, started_at)

    def initiated(self) -> dict[str, Any]:
        return self._call(
            direction="incoming",
            state="parked",
            caller_id_name=self.identity.from_number,
            **self._times(),
        )

    def answered(self) -> dict[str, Any]:
        return self._call(
            state="answered",
            codec=self.codec.name,
            sampling_rate=self.codec.sample_rate,
            stream_url=self.stream_url,
            stream_track=self.stream_track,
            **self._times(),
        )

    def streaming(self) -> dict[str, Any]:
        """Of streaming.started and streaming.stopped: they have neither numbers nor a stream id."""
        return {**self._ids(), "stream_url": self.stream_url}

    def streaming_failed(self, reason: str) -> dict[str, Any]:
        return {
            **self._ids(),
            "failure_reason": reason,
            "stream_id": self.identity.stream_id,
            "stream_type": "websocket",
            "stream_params": {"stream_url": self.stream_url, "track": self.stream_track},
        }

    def hangup(self, ended_at: datetime, counters: Mapping[str, int]) -> dict[str, Any]:
        """All of `call_quality_stats` are strings."""
        inbound = {
            "mos": "4.50",
            "jitter_max_variance": "0.00",
            "jitter_packet_count": "0",
            "packet_count": str(counters["frames_sent"]),
            "skip_packet_count": "0",
        }
        outbound = {"packet_count": str(counters["talk_frames"]), "skip_packet_count": "0"}
        return self._call(
            state="hangup",
            hangup_cause="normal_clearing",
            hangup_source="caller",
            sip_hangup_cause="200",
            end_time=timestamp_text(ended_at),
            call_quality_stats={"inbound": inbound, "outbound": outbound},
            **self._times(),
        )

    def _ids(self) -> dict[str, Any]:
        identity = self.identity
        return {
            "call_control_id": identity.call_control_id,
            "call_leg_id": identity.call_leg_id,
            "call_session_id": identity.call_session_id,
            "connection_id": identity.connection_id,
            "client_state": identity.client_state,
        }

    def _call(self, **fields: Any) -> dict[str, Any]:
        identity = self.identity
        numbers = {
            "from": identity.from_number,
            "to": identity.to_number,
            "tags": list(identity.tags),
        }
        return {**self._ids(), **numbers, **fields}

    def _times(self) -> dict[str, str]:
        return {"start_time": timestamp_text(self.started_at)}


def envelope(
    event_type: str,
    payload: dict[str, Any],
    *,
    event_id: str,
    occurred_at: datetime,
    attempt: int,
    delivered_to: str,
) -> bytes:
    """The body of a webhook. A repeated delivery has the same id and a higher attempt."""
    data = {
        "record_type": "event",
        "event_type": event_type,
        "id": event_id,
        "occurred_at": timestamp_text(occurred_at),
        "payload": payload,
    }
    return orjson.dumps({"data": data, "meta": {"attempt": attempt, "delivered_to": delivered_to}})


def headers(body: bytes, timestamp: int, sign: Sign | None) -> dict[str, str]:
    """The headers of a webhook that is sent at a time (Unix seconds); the signature is over `timestamp|body`."""
    found = {"Content-Type": "application/json", "User-Agent": "telnyx-webhooks"}
    if sign is not None:
        signature = sign(str(timestamp).encode() + b"|" + body)
        found["Telnyx-Signature-Ed25519"] = base64.b64encode(signature).decode()
        found["Telnyx-Timestamp"] = str(timestamp)
    return found


def is_retried(status: int | None) -> bool:
    """Whether Telnyx sends again after this answer; None: there was none in time."""
    return status is None or status in RETRIED_STATUSES or status >= 500
