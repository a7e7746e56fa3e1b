"""Each stream that is given up is closed once, and one that is slow to go keeps no other waiting."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from actors.ingest.closer import Closer
from tests.fakes.telnyx import FakeIngest, peer_of


async def test_closed_once() -> None:
    """Whoever asks again is told so."""
    ingest = FakeIngest()
    endings, stream = Closer(), ingest.stream(1)
    assert endings.add(stream, 1008, "no")
    assert not endings.add(stream, 1000, "again")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(endings.run)
        await wait_all_tasks_blocked()
        assert not endings.add(stream, 1000, "and again")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert peer_of(stream).closed_with == [(1008, "no")]


async def test_nobody_waits_for_another() -> None:
    """One peer never answers."""
    ingest = FakeIngest()
    endings, slow, quick = Closer(), ingest.stream(1), ingest.stream(2)

    async def never(code: int, reason: str) -> None:
        await trio.sleep_forever()

    peer_of(slow).close = never  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(endings.run)
        endings.add(slow, 1000, "")
        await wait_all_tasks_blocked()
        endings.add(quick, 1000, "")
        await wait_all_tasks_blocked()
        assert peer_of(quick).closed_with == [(1000, "")]
        nursery.cancel_scope.cancel()
