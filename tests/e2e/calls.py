"""Simulated calls to the system under test."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import simulator
from simulator.call import place
from simulator.clips import Clip, clip_of, load_clip
from simulator.codecs import PCMU, Codec
from simulator.identity import new_identity
from simulator.options import CallOptions

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from simulator.call import SimulatedCall
    from tests.e2e.system import System

RECORDING = Path(simulator.__file__).parent / "recordings" / "demo-congrats.wav"
_random = Random(20)


def recording(codec: Codec = PCMU, frames: int | None = None) -> Clip:
    """The shipped clip, or the beginning of it."""
    clip = load_clip(RECORDING, codec)
    return clip if frames is None else clip_of(b"".join(clip.frame(tick) for tick in range(frames)), codec)


def new_call_id() -> str:
    """A call control id that nobody has used."""
    return new_identity(_random, from_number="+33100000001", to_number="+33100000002").call_control_id


def call(system: System, call_control_id: str | None = None, **options: Any) -> AbstractAsyncContextManager[SimulatedCall]:
    """Place a call; it runs while the block does."""
    identity = new_identity(_random, from_number="+33100000001", to_number="+33100000002", call_control_id=call_control_id)
    return place(CallOptions(url=system.url("/audio-stream"), identity=identity, **options))
