"""Simulated calls to the system under test."""

from __future__ import annotations

from base64 import b64encode
from random import Random
from typing import TYPE_CHECKING, Any

import orjson
import trio

from simulator.call import place
from simulator.clips import SHIPPED_CLIP, Clip, load_clip
from simulator.codecs import PCMU, Codec
from simulator.identity import new_identity
from simulator.options import CallOptions
from tests.e2e.clients import TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from simulator.call import SimulatedCall
    from tests.e2e.system import System

_random = Random(20)
_clips: dict[str, Clip] = {}
SPEECH = 978
FROM, TO = "+33100000001", "+33100000002"


def recording(codec: Codec = PCMU, frames: int | None = None, start: int = 0) -> Clip:
    """The shipped clip, or a part of it. No two frames of it are the same; from SPEECH on, 120 hold no silence."""
    if codec.name not in _clips:
        _clips[codec.name] = load_clip(SHIPPED_CLIP, codec)
    whole = _clips[codec.name]
    return Clip(codec, whole.frames[start : None if frames is None else start + frames])


def numbered(number: int, frames: int) -> Clip:
    """Audio that says which call and which frame it is; none of it is silence."""
    return Clip(PCMU, tuple((b"%3d %5d" % (number, tick)).rjust(160) for tick in range(frames)))


def new_call_id() -> str:
    """A call control id that nobody has used."""
    return new_identity(_random, from_number=FROM, to_number=TO).call_control_id


def call(
    system: System, call_control_id: str | None = None, **options: Any
) -> AbstractAsyncContextManager[SimulatedCall]:
    """Place a call; it runs while the block does, or until its clip has ended."""
    identity = new_identity(_random, from_number=FROM, to_number=TO, call_control_id=call_control_id)
    return place(CallOptions(url=system.url("/audio-stream"), identity=identity, **options))


async def until(running: SimulatedCall, condition: Callable[[], bool]) -> None:
    """Wait for something that happens on a call, at most for the usual time."""
    with trio.fail_after(TIMEOUT_S):
        await running.wait_until(condition)


def media(chunk: int, payload: bytes, *, track: str = "inbound", **fields: Any) -> str:
    """A media frame as Telnyx writes it, numbered by hand."""
    body = {"track": track, "chunk": str(chunk), "timestamp": str(chunk * 20), "payload": b64encode(payload).decode()}
    return orjson.dumps({"event": "media", "sequence_number": str(chunk + 1), "media": body, **fields}).decode()


async def until_said(running: SimulatedCall, count: int) -> None:
    """Wait until the simulated Telnyx has got so many frames of talk."""
    await until(running, lambda: len(running.far_end.received) >= count)


async def until_over(running: SimulatedCall) -> None:
    """Wait until a call has ended by itself."""
    with trio.fail_after(TIMEOUT_S):
        await running.wait_until(lambda: running.outcome is not None)
