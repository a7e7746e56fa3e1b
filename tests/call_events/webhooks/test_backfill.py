"""Missed webhooks, fetched from the simulator's API."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import orjson
import pytest
import trio

from actors.call_events.dispatcher import Dispatcher
from actors.call_events.journal.writer import JournalWriter
from actors.call_events.webhooks.backfill import PAGE_SIZE, Backfill, fetch
from config.settings import EventSettings
from simulator.deliveries import Delivery, DeliveryBook
from simulator.rest import serve_api
from tests.call_events.samples import arrival

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from actors.call_events.events import Arrival


def failed(name: str, *, webhook: object = None) -> Delivery:
    now = datetime.now(UTC)
    found = {"record_type": "event", "event_type": "call.hangup", "id": name, "payload": {"call_control_id": "v3:a"}}
    return Delivery(webhook or found, "http://x/", [(now, now, 503)])  # type: ignore[arg-type]


async def test_what_was_missed_is_taken_once(tmp_path: Path) -> None:
    book, settings = DeliveryBook(), EventSettings()
    dispatcher = Dispatcher(settings)
    recorder = JournalWriter(tmp_path, settings, dispatcher.opened, dispatcher.committed)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(lambda task_status: serve_api(book, port=0, api_key="k", task_status=task_status))
        nursery.start_soon(recorder.run)
        await recorder.session.ready.wait()
        assert await recorder.record([arrival("known")]) == [True]
        for name in ("missed", "known", "missed too"):
            book.add(failed(name))
        backfill = Backfill(f"http://127.0.0.1:{port}/v2", "k", recorder)
        nursery.start_soon(backfill.run)
        with trio.fail_after(30):
            while True:
                if backfill.counters["backfilled"]:
                    break
                await trio.sleep(0.01)
        assert backfill.counters == {"backfilled": 2, "backfill_known": 1}
        assert dispatcher.counters["events"] == 3
        assert not dispatcher.calls  # the hangup was among them
        nursery.cancel_scope.cancel()


async def test_pages_and_rubbish() -> None:
    book, taken = DeliveryBook(), list[str]()

    async def record(arrivals: Sequence[Arrival]) -> list[bool]:
        taken.extend(arrival.event.id for arrival in arrivals)
        return [True] * len(arrivals)

    for number in range(PAGE_SIZE + 10):
        book.add(failed(str(number)))
    book.add(failed("", webhook={"event_type": 7, "payload": {}}))
    async with trio.open_nursery() as nursery:
        port = await nursery.start(lambda task_status: serve_api(book, port=0, task_status=task_status))
        async with httpx.AsyncClient() as client:
            counters: Counter[str] = Counter()
            await fetch(client, f"http://127.0.0.1:{port}/v2/webhook_deliveries", 0, record, counters)
            assert sorted(taken, key=int) == [str(number) for number in range(PAGE_SIZE + 10)]
            with pytest.raises(httpx.HTTPError):
                await fetch(client, f"http://127.0.0.1:{port}/v2/nothing", 0, record, counters)
        nursery.cancel_scope.cancel()


async def test_a_delivery_that_can_not_be_read_keeps_no_others() -> None:
    """Half an emoji in one of a page."""
    page = (
        b'{"data":[{"webhook":{"event_type":"call.hangup","id":"1","payload":{"from":"\\ud83d"}}},'
        b'{"webhook":{"event_type":"call.hangup","id":"2","payload":{"from":"\xfc","n":1e999}}},{"webhook":"\xff"}]}'
    )
    taken: list[Arrival] = []

    async def record(arrivals: Sequence[Arrival]) -> list[bool]:
        taken.extend(arrivals)
        return [True] * len(arrivals)

    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=page))
    async with httpx.AsyncClient(transport=transport) as client:
        await fetch(client, "http://x", 0, record, Counter())
    assert [arrival.event.id for arrival in taken] == ["1", "2"]
    assert all(orjson.loads(each.body)["meta"] == {"backfilled": True} for each in taken)
