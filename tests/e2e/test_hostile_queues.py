"""Peers that say what is dear to read, to keep or to tell, beside a call that has nothing to do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from bench.hostile.guarded import GUARDED
from bench.hostile.kinds import Target
from bench.hostile.tokens import SECRET, STREAM_HEADER, STREAM_TOKEN
from tests.e2e.calls import media, new_call_id, numbered
from tests.e2e.clients import client
from tests.e2e.guarded import guarded_system
from tests.e2e.test_hostile_tokens import beside_a_call, start_frame, victim_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.system import System

pytestmark = pytest.mark.slow
JOURNAL_MAX_MB, JOURNAL_SLACK_MB = 4, 12  # SQLite's log besides
# Kinds: connections of each, and how much of what each says.
KINDS = {
    "cookies": (20, 1.0),
    "webhooks in small chunks": (4, 1.0),
    "odd words": (9, 1.0),
    "subscribe and unsubscribe": (4, 1.0),
    "marks": (2, 1.0),
    "keys": (2, 1.0),
    "unknown events": (2, 1.0),
    "long marks": (2, 1.0),
    "AMR-WB of ones": (1, 1.0),
    "L16 at 1 Hz": (1, 1.0),
    "long starts": (4, 1.0),
    "long starts to the deaf": (40, 0.3),
    "all at once": (40, 0.2),
}


@pytest.fixture(scope="module")
def attacked() -> Iterator[System]:
    """A listener may be late here, since the machine may be busy: that must not count as a loss."""
    settings = {"AUTH__JWT_SECRET": SECRET, "TELNYX__STREAM_TOKEN": STREAM_TOKEN, "FANOUT__QUEUE_MS": "30000"}
    with guarded_system(**settings, EVENTS__JOURNAL_MAX_MB=str(JOURNAL_MAX_MB)) as system:
        yield system


@pytest.mark.parametrize("name", KINDS)
async def test_no_call_pays_for_another(attacked: System, name: str) -> None:
    """Whatever the others do."""
    connections, scale = KINDS[name]
    await beside_a_call(attacked, GUARDED[name].attack, connections, scale)


async def test_a_fanout_that_comes_is_told_of_all_calls(attacked: System) -> None:
    """However much their streams have said of themselves."""
    call, target = new_call_id(), Target(attacked.port)
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(GUARDED["long starts"].attack, target, number)
        async with client(attacked, "/audio-stream", headers={STREAM_HEADER: STREAM_TOKEN}) as telnyx:
            await telnyx.send(start_frame(call))
            await trio.sleep(1)
            await attacked.command("restart", "fanout")
            async with client(attacked, victim_path(call)) as listener:
                await listener.until(lambda: listener.of("start"))
                frames = list(numbered(2, 20).frames)
                for chunk, frame in enumerate(frames):
                    await telnyx.send(media(chunk, frame))
                await listener.until(lambda: len(listener.audio) == len(frames))
                assert listener.audio == frames
        nursery.cancel_scope.cancel()


async def test_the_journal_keeps_its_size(attacked: System) -> None:
    """After all of the above."""
    journal = sum(path.stat().st_size for path in (attacked.home / "data").glob("journal*"))
    assert journal < (JOURNAL_MAX_MB + JOURNAL_SLACK_MB) * 2**20
