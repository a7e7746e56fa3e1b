"""Small things that the simulator's tests share."""

from __future__ import annotations

from base64 import b64encode
from random import Random
from typing import Any

from simulator.clips import Clip
from simulator.codecs import PCMU, Codec
from simulator.identity import Identity, new_identity


def identity(seed: int = 1, **fields: Any) -> Identity:
    return new_identity(Random(seed), from_number="+12025550100", to_number="+12025550150", **fields)


def numbered_clip(frames: int, codec: Codec = PCMU, first: int = 0) -> Clip:
    """A clip whose every frame is told from the others."""
    return Clip(codec, tuple((first + n).to_bytes(4, "big") * (codec.frame_bytes // 4) for n in range(frames)))


def media(payload: bytes) -> dict[str, Any]:
    return {"event": "media", "media": {"payload": b64encode(payload).decode()}}
