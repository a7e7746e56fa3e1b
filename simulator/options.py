"""What a simulated call is to be: everything that can be chosen for one call. Data only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator.codecs import PCMU, Codec
from simulator.deliveries import DeliveryBook, DeliveryFaults
from simulator.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from simulator.clips import Source
    from simulator.identity import Identity
    from simulator.signing import Sign

USER_AGENT = "telnyx-media-streaming-simulator"


@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """One call. With no tracks nothing is sent by itself, and the call lasts until it is stopped."""

    url: str  # ws:// or wss://, whole: with /audio-stream
    identity: Identity
    codec: Codec = PCMU
    tracks: Mapping[str, Source] = field(default_factory=dict)  # "inbound", "outbound"
    duration_s: float | None = None  # None: as long as the longest clip; for ever when none ends
    speed: float = 1.0  # of sending; 2: twice real time; math.inf: as fast as the peer reads
    token: str | None = None  # stream_auth_token
    headers: Mapping[str, str] = field(default_factory=lambda: {"User-Agent": USER_AGENT})
    faults: Faults = field(default_factory=Faults)
    seed: int | None = None  # of the faults; None: another each time
    reconnect: bool = True  # after a drop, as Telnyx's enableReconnect
    reconnect_for_s: float = 30.0  # then the stream has failed
    restart_chunks: bool = False  # a reconnected stream counts its chunks from 1 again
    shared_chunks: bool = False  # chunks are counted over both tracks
    record: bool = True  # keep what was sent and received; off for calls that last
    save_talk: Path | None = None  # directory for what was played and received
    save_name: str | None = None  # of the files in it; None: from the call's id
    webhook_url: str | None = None  # None: no webhooks
    sign: Sign | None = None  # signs the webhooks
    delivery_faults: DeliveryFaults = field(default_factory=DeliveryFaults)  # of the webhooks
    deliveries: DeliveryBook | None = None  # where what becomes of the webhooks is noted down

    @property
    def talk_name(self) -> str:
        """The name, without an ending, of the files in `save_talk`."""
        return self.save_name or re.sub(r"[^\w.+-]", "_", self.identity.call_control_id)
