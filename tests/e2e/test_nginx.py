"""Debian's nginx in front, with the configuration in deploy/: everything works through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.calls import SPEECH, call, new_call_id, recording, until_over, until_said
from tests.e2e.clients import client, listener
from tests.e2e.nginx import needs_nginx, nginx
from tests.e2e.test_call_events import envelope, event_of, post
from tests.e2e.test_talking import say_floats, say_rtp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.system import System

pytestmark = needs_nginx
FRAMES = 50
# What the existing nginx does: the same header with every request, upgrade or not.
VARIANTS = {"shipped": {}, "existing": {"$connection_upgrade;": '"upgrade";'}}


@pytest.fixture(scope="module", params=VARIANTS)
def proxied(patchbay: System, request: pytest.FixtureRequest) -> Iterator[System]:
    """The shared system, as it is reached through nginx."""
    with nginx(patchbay, VARIANTS[request.param]) as system:
        assert system.status() == 200
        yield system


async def test_a_call(proxied: System) -> None:
    """Telnyx and browsers through nginx: heard byte for byte, by the paths of the frontend; talk comes back."""
    call_id, clip = new_call_id(), recording(frames=2 * FRAMES, start=20)
    said = recording(frames=FRAMES, start=SPEECH)
    await proxied.until_no_call()
    async with (
        listener(proxied, call_id) as browser,
        client(proxied, "/ws/audio-stream?format=json") as older,
        call(proxied, call_id, tracks={"inbound": clip}) as running,
    ):
        await browser.until_start()
        for tick in range(FRAMES):
            await (say_rtp if tick < FRAMES // 2 else say_floats)(browser, said, tick)
        await until_said(running, FRAMES)
        await until_over(running)
        await browser.until_stop()
        await older.until_stop()
        assert browser.audio == list(clip.frames)
        assert older.json_audio == list(clip.frames)
        assert running.far_end.talk == said.payload
        assert running.counters["connections"] == 1


async def test_call_events(proxied: System) -> None:
    """The webhook and the socket."""
    async with client(proxied, "/api/call-events") as browser:
        await browser.until(lambda: browser.messages)
        assert browser.messages[0] == '{"type":"welcome","message":"Connected to call events WebSocket"}'
        posted = envelope()
        assert await post(proxied, posted) == 200
        await event_of(browser, posted)


@pytest.mark.parametrize(
    ("path", "status"), [("/", 200), ("/healthz", 200), ("/api/calls", 200), ("/nothing", 404), ("/audio-stream", 426)]
)
async def test_plain_requests(proxied: System, path: str, status: int) -> None:
    """Are answered as without it."""
    assert (await proxied.get(path))[0] == status
