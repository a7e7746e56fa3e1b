"""Webhooks that are delivered badly, and Telnyx's list of deliveries."""

from __future__ import annotations

from random import Random

import orjson
import pytest
import trio

from simulator import poster
from simulator.deliveries import DeliveryBook, DeliveryFaults
from simulator.http import request
from simulator.poster import WebhookPoster
from simulator.rest import PATH, serve_api
from tests.simulator.application import receiver


@pytest.fixture(autouse=True)
def _no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poster, "RETRY_DELAYS_S", (0.0, 0.0))


async def deliver(url: str, book: DeliveryBook, *event_types: str, **faults: float) -> WebhookPoster:
    posting = WebhookPoster(url, faults=DeliveryFaults(**faults), random=Random(7), book=book)
    for event_type in event_types:
        posting.post(event_type, {"call_control_id": "v3:a"})
    posting.close()
    with trio.fail_after(60):
        await posting.run()
    return posting


async def test_doubled() -> None:
    async with receiver() as hooks:
        await deliver(hooks.url, DeliveryBook(), "a", "b", doubled_pct=100)
        assert sorted(hooks.types) == ["a", "a", "b", "b"]
        assert len({sent.json["data"]["id"] for sent in hooks.requests}) == 2


async def test_out_of_order() -> None:
    async with receiver() as hooks:
        sent = [str(number) for number in range(20)]
        await deliver(hooks.url, DeliveryBook(), *sent, shuffle_s=0.2)
        assert sorted(hooks.types) == sorted(sent)
        assert hooks.types != sent


async def test_late() -> None:
    async with receiver() as hooks:
        began = trio.current_time()
        await deliver(hooks.url, DeliveryBook(), "a", late_s=0.1)
        assert trio.current_time() - began >= 0.1


async def test_redirects_are_followed_three_times() -> None:
    async with receiver() as hooks:
        hooks.location = hooks.url
        hooks.statuses = [307, 302, 308]
        posting = await deliver(hooks.url, DeliveryBook(), "a")
        assert [attempt.status for attempt in posting.deliveries] == [200]
        hooks.statuses = [307] * 12
        posting = await deliver(hooks.url, DeliveryBook(), "a")
        assert [attempt.status for attempt in posting.deliveries] == [None] * 3


async def test_what_was_never_delivered_is_in_the_list() -> None:
    book = DeliveryBook()
    async with receiver() as hooks, trio.open_nursery() as nursery:
        await deliver(hooks.url, book, "call.answered")
        await deliver(hooks.url, book, "call.initiated", "call.hangup", dead_pct=100)
        port = await nursery.start(lambda task_status: serve_api(book, port=0, api_key="k", task_status=task_status))

        async def get(query: str, key: str = "k", path: str = PATH) -> tuple[int, list[str]]:
            url = f"http://127.0.0.1:{port}{path}{query}"
            answer = await request("GET", url, headers={"Authorization": f"Bearer {key}"})
            data = orjson.loads(answer.body).get("data", [])
            return answer.status, [delivery["webhook"]["event_type"] for delivery in data]

        failed = "filter[status][eq]=failed"
        assert await get("") == (200, ["call.hangup", "call.initiated", "call.answered"])
        assert await get(f"?{failed}") == (200, ["call.hangup", "call.initiated"])
        assert await get(f"?{failed}&page[size]=1&page[number]=2") == (200, ["call.initiated"])
        assert await get("?filter[event_type]=call.answered,call.hangup") == (200, ["call.hangup", "call.answered"])
        assert await get("?filter[started_at][gte]=2099-01-01T00:00:00Z") == (200, [])
        assert (await get("?filter[finished_at][lte]=2099-01-01T00:00:00Z"))[1]
        assert await get("", key="x") == (401, [])
        assert await get("", path="/v2/calls") == (404, [])
        nursery.cancel_scope.cancel()
