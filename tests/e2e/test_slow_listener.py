"""A listener that does not read: it costs the others nothing, no memory, and when it reads again it is live."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import trio

from tests.e2e.calls import call, new_call_id, recording, until_over
from tests.e2e.clients import client, listener

if TYPE_CHECKING:
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
STALL_S = 10.0
CLIP = recording(frames=650, start=20)
GROWTH_MAX_KIB = 4096


def resident_kib(pid: int) -> int:
    """The memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


async def test_ten_seconds_without_reading(patchbay: System) -> None:
    """While a call of 13 s runs."""
    call_id = new_call_id()
    path = f"/audio-stream?call_control_id={quote(call_id, safe='')}"
    fanout = int((await patchbay.actor("fanout"))["pid"])
    async with (
        listener(patchbay, call_id) as other,
        client(patchbay, path, reads=False, receive_buffer_bytes=4096) as stalled,
        call(patchbay, call_id, tracks={"inbound": CLIP}) as running,
    ):
        await other.until(lambda: len(other.audio) >= 50)
        before = resident_kib(fanout)
        await trio.sleep(STALL_S)
        growth = resident_kib(fanout) - before
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stalled.read)
            await stalled.until(lambda: CLIP.frames[-1] in stalled.audio)  # it is live again
            await until_over(running)
            await other.until_stop()
            await stalled.until_stop()
            nursery.cancel_scope.cancel()
    assert other.audio == list(CLIP.frames)
    assert growth < GROWTH_MAX_KIB
    position = {frame: tick for tick, frame in enumerate(CLIP.frames)}
    heard = [position[frame] for frame in stalled.audio]
    assert heard == sorted(set(heard))  # in order, nothing twice
    longest = max(later - earlier for earlier, later in pairwise(heard))
    assert longest > STALL_S * 50 * 0.8  # what it slept through is skipped, not played late
    assert len(stalled.of("start")) == 1
