"""Processes come and go while a call runs: nobody is disconnected, and what was going on goes on."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.e2e.calls import call, new_call_id, numbered, until
from tests.e2e.clients import client, listener
from tests.e2e.system import ACTORS, eventually, running_system
from tests.e2e.test_talking import say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from simulator.call import SimulatedCall
    from tests.e2e.clients import Client
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
CLIP = numbered(1, 10_000)
POSITION = {frame: tick for tick, frame in enumerate(CLIP.frames)}
BACK_S = 60.0  # a second is the aim; a busy machine may take longer
REREAD_LOSS_MAX = 10  # frames that an ingest had taken and not yet passed on when it was killed


@pytest.fixture(scope="module")
def patchbay() -> Iterator[System]:
    """A system of our own to do harm to."""
    with running_system() as system:
        yield system


class Scene:
    """A call with everybody who may be at one."""

    def __init__(self, running: SimulatedCall, ear: Client, late: Client, events: Client) -> None:
        self.running = running
        self.ear = ear  # has named its call
        self.everything = late  # has named none
        self.events = events

    async def goes_on(self, frames: int = 25) -> None:
        """Wait until both listeners have heard more."""
        for browser in (self.ear, self.everything):
            sofar = len(browser.audio)
            await browser.until(lambda browser=browser, sofar=sofar: len(browser.audio) >= sofar + frames)  # type: ignore[misc]

    async def nobody_noticed(self, system: System) -> list[int]:
        """Check that all are still connected, talk and events come through, and audio is in order.

        Returns:
            How many frames were lost, at each place where some were.
        """
        await self.goes_on()
        said = len(self.running.far_end.received)
        await eventually(lambda: self._is_heard(said))
        seen = len(self.events.of("call.ringing"))
        await eventually(lambda: post_event(system))
        await self.events.until(lambda: len(self.events.of("call.ringing")) > seen)
        assert self.running.counters["connections"] == 1
        assert self.running.endings == []
        assert not any(browser.ended for browser in (self.ear, self.everything, self.events))
        assert len(self.ear.of("start")) == len(self.everything.of("start")) == 1
        assert len(self.events.of("welcome")) == 1
        return [loss for browser in (self.ear, self.everything) for loss in losses(browser)]

    async def _is_heard(self, before: int) -> bool:
        await say(self.ear, b"\x01" * 160)
        return len(self.running.far_end.received) > before


def losses(browser: Client) -> list[int]:
    """How many frames are missing, at each place where some are; there must be no repeats and nothing out of order."""
    heard = [POSITION[frame] for frame in browser.audio]
    steps = [later - earlier for earlier, later in pairwise(heard)]
    assert all(step > 0 for step in steps)
    return [step - 1 for step in steps if step > 1]


async def post_event(system: System) -> bool:
    """A webhook, as Telnyx posts it; false when it had no answer, upon which Telnyx posts it again."""
    body = b'{"data":{"event_type":"call.ringing","id":"%d","payload":{}}}' % time.monotonic_ns()
    try:
        status, _ = await system.post("/api/calls/telnyx/webhook", body)
    except ConnectionError:
        return False
    assert status == 200
    return True


@pytest.fixture
async def scene(patchbay: System) -> AsyncIterator[Scene]:
    await patchbay.until_ready()
    await patchbay.until_no_call()
    call_id = new_call_id()
    async with (
        client(patchbay, "/call-events") as events,
        listener(patchbay, call_id) as ear,
        listener(patchbay) as everything,
        call(patchbay, call_id, tracks={"inbound": CLIP}) as running,
    ):
        scene = Scene(running, ear, everything, events)
        await events.until(lambda: events.of("welcome"))
        await scene.goes_on()
        yield scene


async def hears_at_once(system: System, scene: Scene) -> None:
    """Somebody who comes now hears the call."""
    async with listener(system, scene.running.identity.call_control_id) as late:
        await late.until(lambda: len(late.audio) >= 10)
        assert late.events[1]["event"] == "start"


@pytest.mark.parametrize("name", ACTORS)
async def test_restart(patchbay: System, scene: Scene, name: str) -> None:
    """`restart NAME` stops it and starts it again."""
    before = await patchbay.actor(name)
    await patchbay.command("restart", name)
    after = await patchbay.actor(name)
    assert after["pid"] != before["pid"]
    assert after["generation"] == before["generation"] + 1
    assert after["state"] == "READY"
    lost = await scene.nobody_noticed(patchbay)
    await hears_at_once(patchbay, scene)
    if name != "fanout":
        assert lost == []


@pytest.mark.parametrize("name", ACTORS)
async def test_kill(patchbay: System, scene: Scene, name: str) -> None:
    """`kill -9`: it is back soon, and it is counted."""
    before = await patchbay.actor(name)
    os.kill(before["pid"], signal.SIGKILL)

    async def is_back() -> bool:
        entry = await patchbay.actor(name)
        return bool(entry["state"] == "READY" and entry["pid"] != before["pid"])

    await eventually(is_back, BACK_S)
    after = await patchbay.actor(name)
    assert after["generation"] == before["generation"] + 1
    assert after["restarts"] == before["restarts"] + 1
    others = {entry["name"]: entry["pid"] for entry in await patchbay.actors() if entry["name"] != name}
    lost = await scene.nobody_noticed(patchbay)
    await hears_at_once(patchbay, scene)
    if name == "ingest":
        assert sum(lost) <= 2 * REREAD_LOSS_MAX
    elif name != "fanout":
        assert lost == []
    assert others == {entry["name"]: entry["pid"] for entry in await patchbay.actors() if entry["name"] != name}


@pytest.mark.parametrize("name", ACTORS)
async def test_roll(patchbay: System, scene: Scene, name: str) -> None:
    """`roll NAME` has the new process ready first: not a frame is lost."""
    before = await patchbay.actor(name)
    await patchbay.command("roll", name)
    after = await patchbay.actor(name)
    assert after["pid"] != before["pid"]
    assert await scene.nobody_noticed(patchbay) == []
    await hears_at_once(patchbay, scene)


@pytest.mark.parametrize("name", ["ingest", "fanout"])
async def test_a_sentence_that_is_being_played(patchbay: System, name: str) -> None:
    """Goes on over a roll, at its pace and with its floor; its marks come back."""
    await patchbay.until_ready()
    said = b"".join(CLIP.frames[:200]) + CLIP.frames[200][:100]
    async with call(patchbay) as running, listener(patchbay, running.identity.call_control_id) as browser:
        await browser.until_start()
        await browser.send({"event": "mark", "mark": {"name": "first"}})
        await say(browser, said)
        await browser.send({"event": "mark", "mark": {"name": "last"}})
        await until(running, lambda: len(running.far_end.received) > 20)
        await patchbay.command("roll", name)
        assert running.far_end.queued_s() < 1
        await browser.until(lambda: len(browser.of("mark")) == 2)
        assert running.far_end.talk == said.ljust(201 * 160, b"\xff")
        assert not browser.of("error")


async def test_a_call_ends_while_fanout_is_away(patchbay: System) -> None:
    """Whoever heard it is told by the next process, once."""
    await patchbay.until_ready()
    call_id = new_call_id()
    async with listener(patchbay, call_id) as ear:
        async with call(patchbay, call_id, tracks={"inbound": CLIP}):
            await ear.until(lambda: len(ear.audio) > 10)
            os.kill((await patchbay.actor("fanout"))["pid"], signal.SIGKILL)
        await ear.until_stop()
        await patchbay.until_ready()
        await patchbay.command("roll", "fanout")
        async with call(patchbay, call_id, tracks={"inbound": CLIP}):
            await ear.until(lambda: len(ear.of("start")) == 2)
        await ear.until(lambda: len(ear.of("stop")) >= 2)
        assert [message["event"] for message in ear.events if message["event"] in ("start", "stop")] == [
            "start",
            "stop",
            "start",
            "stop",
        ]


async def test_a_webhook_while_call_events_is_away(patchbay: System) -> None:
    """Waits for it, and is answered 200; or has no answer when it was half taken, and is posted again."""
    await patchbay.until_ready()
    pid = (await patchbay.actor("call_events"))["pid"]
    async with client(patchbay, "/call-events") as events:
        await events.until(lambda: events.of("welcome"))
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: post_event(patchbay))
        await events.until(lambda: events.of("call.ringing"))


async def test_a_connection_while_the_gateway_is_away(patchbay: System) -> None:
    """Waits in the port's queue, which is the supervisor's: nobody is refused."""
    await patchbay.until_ready()
    pid = (await patchbay.actor("gateway"))["pid"]
    os.kill(pid, signal.SIGKILL)
    async with listener(patchbay) as browser:
        assert browser.of("connected")
