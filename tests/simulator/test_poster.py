from __future__ import annotations

import pytest
import trio

from bench.ports import reserved_port
from simulator import poster
from simulator.http import HttpError, request
from simulator.poster import Delivery, WebhookPoster
from tests.simulator.application import listener_that, receiver


@pytest.fixture(autouse=True)
def _no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poster, "RETRY_DELAYS_S", (0.0, 0.0))


async def delivered(posting: WebhookPoster, *event_types: str) -> list[tuple[str, int, int | None]]:
    for event_type in event_types:
        posting.post(event_type, {})
    posting.close()
    with trio.fail_after(60):
        await posting.run()
    return [(delivery.event_type, delivery.attempt, delivery.status) for delivery in posting.deliveries]


async def test_what_was_not_taken_is_sent_again_with_the_same_id() -> None:
    async with receiver() as hooks:
        hooks.statuses = [503, None]
        assert await delivered(WebhookPoster(hooks.url), "call.answered") == [
            ("call.answered", 1, 503),
            ("call.answered", 2, None),
            ("call.answered", 3, 200),
        ]
    assert [sent.json["meta"]["attempt"] for sent in hooks.requests] == [1, 2, 3]
    assert len({sent.json["data"]["id"] for sent in hooks.requests}) == 1
    assert len({sent.json["data"]["occurred_at"] for sent in hooks.requests}) == 1


async def test_a_refusal_is_final_and_the_next_one_is_sent() -> None:
    async with receiver() as hooks:
        hooks.statuses = [401, 200]
        posting = WebhookPoster(hooks.url)
        assert await delivered(posting, "a", "b") == [("a", 1, 401), ("b", 1, 200)]
        assert [failure.status for failure in posting.failures] == [401]


async def test_it_gives_up_after_three_attempts() -> None:
    with reserved_port() as port:
        posting = WebhookPoster(f"http://127.0.0.1:{port}/")
        assert [attempt[1:] for attempt in await delivered(posting, "a")] == [(1, None), (2, None), (3, None)]
    assert isinstance(posting.failures[0], Delivery)


async def test_signatures_are_sent_with_their_time() -> None:
    async with receiver() as hooks:
        await delivered(WebhookPoster(hooks.url, lambda message: message[-4:]), "a")
    assert hooks.requests[0].headers["telnyx-timestamp"].isdecimal()
    assert hooks.requests[0].headers["telnyx-signature-ed25519"]


async def test_without_an_address_nothing_happens() -> None:
    assert await delivered(WebhookPoster(None), "a") == []


def test_the_queue_is_bounded() -> None:
    posting = WebhookPoster(None)
    for _ in range(poster.QUEUE_MAX + 5):
        posting.post("a", {})
    assert posting.dropped == 5


async def test_a_request_brings_status_and_body() -> None:
    async with receiver() as server:
        answer = await request("GET", server.url + "?a=1")
    assert (answer.status, answer.body) == (200, b"some words")
    assert server.requests[0].target.endswith("?a=1")


@pytest.mark.parametrize("answer", [b"", b"rubbish\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"])
async def test_no_answer_is_an_error(answer: bytes) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(answer)

    async with listener_that(handle) as url:
        with pytest.raises(HttpError):
            await request("GET", url.replace("ws", "http", 1))


async def test_a_silent_server_is_not_waited_for() -> None:
    async def handle(_: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with listener_that(handle) as url:
        with pytest.raises(HttpError, match="no answer within"):
            await request("GET", url.replace("ws", "http", 1), timeout_s=0.05)
