"""Who listens or talks on one node, to a call that streams into another."""

from __future__ import annotations

import os
import signal
from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio

from tests.e2e.calls import call, new_call_id, numbered, until
from tests.e2e.clients import listener
from tests.e2e.v1_client import v1_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.system import System

pytestmark = pytest.mark.slow
SOUND = {"inbound": numbered(3, 1_000)}


async def test_a_call_of_another_node_is_heard(nodes: tuple[System, System]) -> None:
    """By who waits for the call, and by who comes later; each frame once, in order. Nobody else hears the call."""
    a, b = nodes
    call_id, clip = new_call_id(), numbered(1, 150)
    async with listener(b, call_id) as waits, listener(b, new_call_id()) as other, listener(b) as any_call:
        async with call(a, call_id, tracks={"inbound": clip}):
            await waits.until(lambda: len(waits.audio) >= 20)
            async with listener(b, call_id) as late:
                await waits.until(lambda: waits.of("stop"))
                await late.until(lambda: late.of("stop"))
        assert waits.audio == list(clip.frames)
        assert late.audio == list(clip.frames)[-len(late.audio) :]
        assert len(late.audio) > 100
        assert not other.audio
        assert not any_call.audio


async def test_the_node_of_a_call_is_told(nodes: tuple[System, System]) -> None:
    """By the node into which the call streams."""
    a, b = nodes
    call_id = new_call_id()
    async with call(a, call_id, tracks=SOUND):
        told = await a.until_live(call_id)
        assert told["node"] == a.environ["PATCHBAY_CLUSTER__ADVERTISE"]
        assert call_id not in await b.calls()
        assert (await b.json("/api/actors"))["node"] == b.environ["PATCHBAY_CLUSTER__ADVERTISE"]


async def test_talk_crosses(nodes: tuple[System, System]) -> None:
    """Into the call, in the order in which a browser of another node has said the frames."""
    a, b = nodes
    call_id = new_call_id()
    said = [bytes([64 + number]) * 160 for number in range(50)]
    async with call(a, call_id, tracks=SOUND) as running, listener(b, call_id) as talker:
        await talker.until(lambda: talker.audio)
        for frame in said:
            await talker.send({"event": "media", "media": {"payload": b64encode(frame).decode()}})
            await trio.sleep(0.02)
        await until(running, lambda: len(running.far_end.talk) >= sum(map(len, said)))
        assert running.far_end.talk == b"".join(said)


async def test_a_call_that_moves_to_another_node(nodes: tuple[System, System]) -> None:
    """The later stream wins, wherever it comes; who listens stays, and hears it."""
    a, b = nodes
    call_id = new_call_id()
    async with (
        listener(a, call_id) as on_a,
        listener(b, call_id) as on_b,
        call(a, call_id, tracks={"inbound": numbered(1, 500)}),
    ):
        await on_a.until(lambda: on_a.audio)
        await on_b.until(lambda: on_b.audio)
        async with call(b, call_id, tracks={"inbound": numbered(2, 200)}):
            for ear in (on_a, on_b):
                await ear.until(lambda ear=ear: any(frame.split()[0] == b"2" for frame in ear.audio))  # type: ignore[misc]


@pytest.mark.parametrize("side", [0, 1])
async def test_a_bridge_is_rolled(nodes: tuple[System, System], side: int) -> None:
    """No frame is lost, or heard twice."""
    a, b = nodes
    call_id, clip = new_call_id(), numbered(1, 300)
    async with listener(b, call_id) as ear, call(a, call_id, tracks={"inbound": clip}):
        await ear.until(lambda: len(ear.audio) >= 20)
        await nodes[side].command("roll", "bridge")
        await ear.until(lambda: ear.of("stop"))
        assert ear.audio == list(clip.frames)


@pytest.mark.parametrize("side", [0, 1])
async def test_a_bridge_is_killed(nodes: tuple[System, System], side: int) -> None:
    """A gap, no disconnect, and nothing twice."""
    call_id, clip = new_call_id(), numbered(1, 400)
    async with listener(nodes[1], call_id) as ear, call(nodes[0], call_id, tracks={"inbound": clip}):
        await ear.until(lambda: len(ear.audio) >= 20)
        os.kill((await nodes[side].actor("bridge"))["pid"], signal.SIGKILL)
        await ear.until(lambda: ear.of("stop"))
        heard = [int(frame.split()[1]) for frame in ear.audio]
        assert heard == sorted(set(heard))
        assert heard[-1] == 399
        assert len(ear.of("start")) == 1


async def test_rubbish_from_the_network(nodes: tuple[System, System]) -> None:
    """At the port for nodes: refused, counted, and nothing else happens."""
    a, _ = nodes
    host, _, port = a.environ["PATCHBAY_CLUSTER__ADVERTISE"].rpartition(":")
    for rubbish in (b"GET / HTTP/1.1\r\n\r\n", bytes(64), os.urandom(3000)):
        stream = await trio.open_tcp_stream(host, int(port))
        async with stream:
            with suppress(trio.BrokenResourceError), trio.move_on_after(0.2):
                await stream.send_all(rubbish)
                await stream.receive_some()
    actor = await a.actor("bridge")
    assert actor["state"] == "READY"
    call_id = new_call_id()
    async with listener(nodes[1], call_id) as ear, call(a, call_id, tracks=SOUND):
        await ear.until(lambda: ear.audio)


async def test_a_node_dies(nodes: tuple[System, System], start_node: Callable[..., System]) -> None:
    """Listeners elsewhere are told within 5 s, stay, and hear the call again when it comes to another node."""
    _, b = nodes
    c, call_id = start_node(), new_call_id()
    async with v1_client(b) as page:
        await page.subscribe(call_id, "inbound")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_carry, c, call_id)
            await page.until(lambda: len(page.audio) >= 20)
            pids = [actor["pid"] for actor in await c.actors()]
            nursery.cancel_scope.cancel()
        assert c.process is not None
        for pid in (c.process.pid, *pids):
            os.kill(pid, signal.SIGKILL)
        c.process.wait()
        with trio.fail_after(5):
            await page.until(lambda: page.of("stream.ended"))
        assert page.of("stream.ended")[0]["reason"] == "gone"
        before = len(page.audio)
        async with call(b, call_id, tracks=SOUND):
            await page.until(lambda: len(page.audio) > before + 10)


async def _carry(system: System, call_id: str) -> None:
    async with call(system, call_id, tracks=SOUND):
        await trio.sleep_forever()
