"""A connection of `patchbay.v1` outlives the processes behind it: subscriptions, numbers and talk are as before."""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import trio

from tests.e2e.calls import call, new_call_id, numbered, until_said
from tests.e2e.system import eventually, running_system
from tests.e2e.v1_client import v1_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from simulator.call import SimulatedCall
    from tests.e2e.system import System
    from tests.e2e.v1_client import V1Client

pytestmark = pytest.mark.slow
CLIPS = {"inbound": numbered(1, 10_000), "outbound": numbered(2, 10_000)}
SAID = numbered(9, 10_000).frames


@pytest.fixture(scope="module")
def patchbay() -> Iterator[System]:
    """A system of our own to do harm to."""
    # On a busy machine a restart may take longer than a talker may be silent.
    with running_system(TALK__RELEASE_MS="30000") as system:
        yield system


class Scene:
    """A call, and a page that hears it, watches it, and talks into it."""

    def __init__(self, page: V1Client, running: SimulatedCall) -> None:
        self.page = page
        self.running = running

    async def begins(self) -> None:
        await self.page.subscribe("v3:another")  # so that the call is not the connection's first
        await self.page.subscribe(self.running.identity.call_control_id, "inbound", "outbound", peaks=True)
        await self.goes_on()
        self.talk = await self.page.start_talk(self.running.identity.call_control_id)
        assert self.talk["type"] == "talk.started"

    async def goes_on(self) -> None:
        """Wait until more of both sides has been heard, in the same stream."""
        for number in (0, 1):
            sofar = len(self.page.track(number, 2))
            await self.page.until(lambda number=number, sofar=sofar: len(self.page.track(number, 2)) >= sofar + 25)  # type: ignore[misc]

    async def talk_on(self) -> None:
        """Talk, with the number of the talk as it was, whatever happens. For ever."""
        for sequence, frame in enumerate(SAID):
            await self.page.talk(self.talk, sequence, frame)
            await trio.sleep(0.02)

    async def is_heard(self) -> None:
        """Wait until more of that has reached Telnyx."""
        await until_said(self.running, len(self.running.far_end.received) + 10)

    def lost(self) -> int:
        """How many frames are missing; numbers and audio must agree, and nothing come twice or out of order."""
        missing = 0
        for number, clip in enumerate(CLIPS.values()):
            place = {frame: index for index, frame in enumerate(clip.frames)}
            heard = [(frame.sequence, place[frame.payload]) for frame in self.page.track(number, 2)]
            assert len({sequence - at for sequence, at in heard}) == 1
            steps = [later[0] - earlier[0] for earlier, later in pairwise(heard)]
            assert all(step > 0 for step in steps)
            missing += sum(step - 1 for step in steps)
        assert len({frame.stream for frame in self.page.audio}) == 1
        return missing

    async def nothing_has_changed(self) -> int:
        await self.goes_on()
        await self.is_heard()
        told = len(self.page.of("peaks"))
        await self.page.until(lambda: len(self.page.of("peaks")) > told + 1)
        assert not self.page.inner.ended
        assert len(self.page.of("welcome")) == len(self.page.of("stream")) == 1
        assert not self.page.of("stream.ended")
        assert not self.page.of("talk.ended")
        return self.lost()


@pytest.fixture
async def scene(patchbay: System) -> AsyncIterator[Scene]:
    await patchbay.until_ready()
    async with call(patchbay, new_call_id(), tracks=CLIPS) as running, v1_client(patchbay) as page:
        scene = Scene(page, running)
        await scene.begins()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.talk_on)
            yield scene
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", ["fanout", "ingest", "gateway"])
async def test_roll(patchbay: System, scene: Scene, name: str) -> None:
    """Not a frame is missing."""
    await scene.is_heard()
    await patchbay.command("roll", name)
    assert await scene.nothing_has_changed() == 0


@pytest.mark.parametrize("name", ["fanout", "ingest", "gateway"])
async def test_kill(patchbay: System, scene: Scene, name: str) -> None:
    """Only what came while nobody was there to pass it on is missing."""
    await scene.is_heard()
    before = await patchbay.actor(name)
    os.kill(before["pid"], signal.SIGKILL)
    await eventually(lambda: _is_another(patchbay, name, before["pid"]))
    lost = await scene.nothing_has_changed()
    if name == "gateway":
        assert lost == 0


async def _is_another(system: System, name: str, pid: int) -> bool:
    actor = await system.actor(name)
    return bool(actor["pid"] != pid and actor["state"] == "READY")
