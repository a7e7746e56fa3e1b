"""The objects that the audio of all calls of a process shares."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.fanout.calls.encoder import IngestClock
from actors.fanout.decoder.queue import DecodingQueue

if TYPE_CHECKING:
    from actors.fanout.calls.replay_buffer import ReplayBuffer
    from patchbay.net.batched_send import BatchedSend


@dataclass(frozen=True, slots=True)
class AudioContext:
    """Holds what is shared.

    Attributes:
        replay_s: seconds of audio that a subscriber gets when it joins.
        replay_buffer: keeps the frames for that.
        clock: tells when ingest had the frame that is being delivered.
        batched_send: writes frames to many connections at once; None: each connection is written to by itself.
        counters: get the faults of audio.
        queue: decodes frames.
    """

    replay_s: float
    replay_buffer: ReplayBuffer
    clock: IngestClock = field(default_factory=IngestClock)
    batched_send: BatchedSend | None = None
    counters: Counter[str] = field(default_factory=Counter)
    queue: DecodingQueue = field(default_factory=DecodingQueue)
