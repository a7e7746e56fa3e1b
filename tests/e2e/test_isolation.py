"""Many calls at once: nobody hears another's frame, and what happens to one is nothing to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.e2e.calls import call, new_call_id, numbered, recording, until_over, until_said
from tests.e2e.clients import Client, client, listener
from tests.e2e.system import running_system
from tests.e2e.test_talking import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.call import SimulatedCall
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
CALLS = 50
FRAMES = 50


@pytest.fixture(scope="module", params=[1, 2], ids=["one of each", "two of each"])
def patchbay(patchbay: System, request: pytest.FixtureRequest) -> Iterator[System]:
    """The shared system, and one whose calls are spread over two ingest and two fan-out processes."""
    if request.param == 1:
        yield patchbay
        return
    with running_system(INGEST__PROCESSES="2", FANOUT__PROCESSES="2") as system:
        yield system


async def test_fifty_calls_at_once(quiet: System) -> None:
    """Each listener hears all of its call and nothing else; one who named no call hears of all of them."""
    ids = [new_call_id() for _ in range(CALLS)]
    heard: dict[int, Client] = {}
    told: list[Client] = []

    async def listen(number: int, task_status: trio.TaskStatus[None]) -> None:
        async with listener(quiet, ids[number], format="json" if number % 5 == 0 else "binary") as browser:
            heard[number] = browser
            task_status.started()
            await browser.until_stop()

    async def listen_to_all(task_status: trio.TaskStatus[None]) -> None:
        async with listener(quiet, format="json") as browser:
            told.append(browser)
            task_status.started()
            await browser.until(lambda: len(browser.of("stop")) == CALLS)

    async def place(number: int) -> None:
        async with call(quiet, ids[number], tracks={"inbound": numbered(number, FRAMES)}) as running:
            await until_over(running)

    async with trio.open_nursery() as nursery:
        await nursery.start(listen_to_all)
        for number in range(CALLS):
            await nursery.start(listen, number)
        for number in range(CALLS):
            nursery.start_soon(place, number)
    for number, browser in heard.items():
        assert (browser.audio or browser.json_audio) == list(numbered(number, FRAMES).frames), number
        assert [start["start"]["call_control_id"] for start in browser.of("start")] == [ids[number]]
    # So much at once may be more than a busy machine can read in time, which is no reason to hear other things
    assert set(told[0].json_audio) <= {frame for number in range(CALLS) for frame in numbered(number, FRAMES).frames}
    assert {start["start"]["call_control_id"] for start in told[0].of("start")} == set(ids)


async def test_what_is_said_reaches_the_call_it_is_for(patchbay: System) -> None:
    """Ten calls, ten talkers."""
    calls: dict[int, SimulatedCall] = {}

    async def converse(number: int, all_here: trio.Event) -> None:
        async with call(patchbay) as running, listener(patchbay, running.identity.call_control_id) as browser:
            calls[number] = running
            if len(calls) == 10:
                all_here.set()
            await all_here.wait()
            await browser.until_start()
            for frame in numbered(number, 10).frames:
                await say(browser, frame)
                await trio.sleep(0.02)
            await until_said(running, 10)

    async with trio.open_nursery() as nursery:
        all_here = trio.Event()
        for number in range(10):
            nursery.start_soon(converse, number, all_here)
    for number, running in calls.items():
        assert running.far_end.talk == numbered(number, 10).payload


async def test_a_second_socket_for_the_same_call(patchbay: System) -> None:
    """Supersedes the first: listeners hear the new one, talk goes there, and another call notices nothing."""
    call_id, other_id = new_call_id(), new_call_id()
    async with (
        listener(patchbay, call_id) as browser,
        listener(patchbay, other_id) as other_browser,
        call(patchbay, other_id, tracks={"inbound": numbered(3, FRAMES)}) as other,
        call(patchbay, call_id, tracks={"inbound": numbered(1, FRAMES).looped()}) as first,
    ):
        await browser.until(lambda: len(browser.audio) >= 10)
        async with call(patchbay, call_id, tracks={"inbound": numbered(2, FRAMES)}) as second:
            await until_over(first)
            assert first.outcome is not None
            assert first.outcome.kind == "closed"
            assert "superseded" in first.outcome.reason
            await browser.until_start(2)
            await say(browser, b"\x01" * 160)
            await until_said(second, 1)
            await until_over(second)
            assert first.far_end.talk == b""
        await browser.until_stop()
        await until_over(other)
        await other_browser.until_stop()
        assert [start["stream_id"] for start in browser.of("start")] == [
            first.identity.stream_id,
            second.identity.stream_id,
        ]
        assert browser.audio[-FRAMES:] == list(numbered(2, FRAMES).frames)
        assert all(frame.strip().startswith(b"1 ") for frame in browser.audio[:-FRAMES])
        assert len(browser.of("stop")) == 1
        assert other_browser.audio == list(numbered(3, FRAMES).frames)


async def test_a_listener_that_vanishes(patchbay: System) -> None:
    """Without a word, in the middle of a call: the others lose nothing."""
    call_id, clip = new_call_id(), recording(frames=FRAMES, start=20)
    async with listener(patchbay, call_id) as browser:
        async with call(patchbay, call_id, tracks={"inbound": clip}) as running:
            with trio.CancelScope() as scope:
                async with client(patchbay, "/audio-stream") as vanishing:
                    await vanishing.until(lambda: len(vanishing.audio) >= 10)
                    scope.cancel()
            await until_over(running)
        await browser.until_stop()
        assert browser.audio == list(clip.frames)


async def test_telnyx_that_vanishes(patchbay: System) -> None:
    """Is back with the same ids: the call goes on for those who listen."""
    call_id, clip = new_call_id(), numbered(7, 3 * FRAMES)
    async with listener(patchbay, call_id) as browser:
        async with call(patchbay, call_id, tracks={"inbound": clip}) as running:
            await browser.until(lambda: len(browser.audio) >= FRAMES)
            running.drop()
            await until_over(running)
        await browser.until_stop()
        assert running.counters["connections"] == 2
        assert browser.audio == sorted(set(browser.audio))
        assert browser.audio[-1] == clip.frames[-1]
        assert len(browser.audio) >= len(running.frames_sent["inbound"]) - 5  # what the reset has destroyed on its way
