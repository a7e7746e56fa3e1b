"""HTTP/1.1 over a real TCP connection: framing, bounds, errors, and never a byte too many."""

from __future__ import annotations

import logging
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import orjson
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from patchbay.http.body import STEPS_A_TURN
from patchbay.http.head import RequestHead, parse_head
from patchbay.http.message import Request, Response
from patchbay.http.routes import Routes
from patchbay.http.server import HttpServer, Limits
from tests.fakes.connections import Dialogue, dialogue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import h11
    from trio.testing import MockClock

    from patchbay.http.routes import Handler

LARGE = 24 * 1024 * 1024
BODY_MAX = 2 * 1024 * 1024
GET = b"GET /calls HTTP/1.1\r\nHost: x\r\n\r\n"


async def echo(request: Request) -> Response:
    """Says what it got."""
    return Response.json(
        {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "size": len(request.body),
            "peer": request.peer,
        }
    )


async def echo_body(request: Request) -> Response:
    return Response(200, request.body, "application/octet-stream")


def server(handler: Handler = echo) -> HttpServer:
    return HttpServer(handler, actor="console", limits=Limits(body_max_bytes=BODY_MAX))


@asynccontextmanager
async def served(http: HttpServer) -> AsyncIterator[Dialogue]:
    with trio.fail_after(20):
        async with dialogue(http.serve) as talk:
            yield talk


async def test_a_request_gets_its_answer_and_the_headers_that_every_answer_has() -> None:
    async with served(server()) as talk:
        await talk.send(b"GET /api/calls?a=1&a=2 HTTP/1.1\r\nHost: x\r\n\r\n")
        status, headers, body = await talk.response()
        assert status == 200
        assert orjson.loads(body) == {
            "method": "GET", "path": "/calls", "query": {"a": ["1", "2"]}, "size": 0, "peer": "192.0.2.7",
        }  # fmt: skip
        assert headers["content-type"] == "application/json"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["date"].endswith("GMT")
        assert "connection" not in headers


async def test_the_connection_is_kept_and_requests_may_be_pipelined() -> None:
    async with served(server(echo_body)) as talk:
        post = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
        await talk.send(b"".join(post % (len(text), text) for text in (b"one", b"", b"three")))
        assert [(await talk.response())[2] for _ in range(3)] == [b"one", b"", b"three"]


async def test_each_head_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the decision whose request it is, for the handler, and for the body."""
    parsed: list[bytes] = []

    def parse(head: bytes, connection: h11.Connection | None = None) -> RequestHead:
        parsed.append(head)
        return parse_head(head, connection)

    monkeypatch.setattr("patchbay.http.received_head.parse_head", parse)
    async with served(server(echo_body)) as talk:
        post = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"
        await talk.send((post + b"one") * 2)
        assert [(await talk.response())[2] for _ in range(2)] == [b"one"] * 2
    assert parsed == [post] * 2


async def test_a_request_may_come_byte_by_byte() -> None:
    async with served(server(echo_body)) as talk:
        for request in (b"first", b"second"):
            data = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (
                len(request),
                request,
            )
            for index in range(len(data)):
                await talk.send(data[index : index + 1])
                await wait_all_tasks_blocked()
            assert (await talk.response())[2] == request


@pytest.mark.parametrize("size", [0, 1, 65536, 1024 * 1024])
async def test_a_body_of_any_size_arrives_whole(size: int) -> None:
    async with served(server(echo_body)) as talk:
        body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        async with trio.open_nursery() as nursery:
            head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
            nursery.start_soon(talk.send, head + body)
            assert (await talk.response())[2] == body


async def test_a_chunked_body_arrives_whole_and_ends_the_connection() -> None:
    async with served(server(echo_body)) as talk:
        await talk.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        await talk.send(b"3\r\nabc\r\n4;name=value\r\ndefg\r\n0\r\nTrailer: x\r\n\r\n" + GET)
        _, headers, body = await talk.response()
        assert body == b"abcdefg"
        assert headers["connection"] == "close"
        assert await talk.rest() == b""


async def test_head_gets_the_headers_of_get_without_the_body() -> None:
    routes = Routes()
    routes.add("GET", "/calls", echo)
    async with served(server(routes)) as talk:
        await talk.send(GET)
        _, got, _ = await talk.response()
        await talk.send(GET.replace(b"GET", b"HEAD"))
        status, headers, _ = await talk.response(head_only=True)
        assert status == 200
        # The echo names the method, one letter longer.
        assert int(headers["content-length"]) == int(got["content-length"]) + 1
        await talk.send(GET)
        assert (await talk.response())[0] == 200


async def test_a_client_that_asks_first_is_told_to_continue() -> None:
    async with served(server(echo_body)) as talk:
        await talk.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await talk.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await talk.send(b"ok")
        assert (await talk.response())[2] == b"ok"


async def test_a_client_that_asks_first_is_told_when_its_body_is_too_large() -> None:
    async with served(server(echo_body)) as talk:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n"
        await talk.send(head % (BODY_MAX + 1))
        assert (await talk.response())[0] == 413
        assert await talk.rest() == b""


async def test_a_body_that_says_it_is_too_large_is_refused_and_the_answer_read_while_it_is_still_sent() -> None:
    async with served(server(echo_body)) as talk:
        size = BODY_MAX + 1
        await talk.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk.send, b"x" * (1024 * 1024))
            status, headers, body = await talk.response()
        assert (status, body) == (413, b"Content Too Large: at most 2097152 bytes\n")
        assert headers["connection"] == "close"


@pytest.mark.parametrize("chunk", [b"10000\r\n" + b"x" * 65536 + b"\r\n", b"1;" + b"e" * 8000 + b"\r\nx\r\n"])
async def test_a_chunked_body_is_counted_in_content_and_on_the_wire(chunk: bytes) -> None:
    http = HttpServer(echo_body, actor="console", limits=Limits(body_max_bytes=100_000))
    async with served(http) as talk:
        await talk.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk.send, chunk * (1_200_000 // len(chunk)))
            assert (await talk.response())[0] == 413


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_bytes_one_by_one_are_refused_and_let_others_go_on() -> None:
    """Chunks of one byte are mostly framing; chunks that are a little longer are decoded a part at a time."""
    async with served(server(echo_body)) as talk:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk.send, CHUNKED + b"1\r\nx\r\n" * 250_000)
            status, _, body = await talk.response()
            nursery.cancel_scope.cancel()
        assert (status, body[:17]) == (413, b"Content Too Large")
    others = 0

    async def look_around() -> None:
        nonlocal others
        while True:
            others += 1
            await trio.lowlevel.checkpoint()

    async with served(server(echo_body)) as talk, trio.open_nursery() as nursery:
        nursery.start_soon(look_around)
        await talk.send(CHUNKED + b"4\r\nxxxx\r\n" * 7000 + b"0\r\n\r\n")
        assert (await talk.response())[2] == b"x" * 28_000
        assert others >= 2 * 7000 // STEPS_A_TURN
        nursery.cancel_scope.cancel()


async def test_bodies_that_take_long_go_for_those_that_come() -> None:
    """503 and a word; those that are at work stay, and in the end nothing is held."""
    http = HttpServer(echo_body, actor="console", limits=Limits(body_max_bytes=60_000, bodies_max_bytes=100_000))
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"
    async with served(http) as slow, served(http) as slower:
        await slow.send(post + b"x" * 59_000)
        await wait_all_tasks_blocked()
        await slower.send(CHUNKED + b"b000\r\n" + b"x" * 0xAFFF)
        assert (await slow.response())[0] == 503
        async with served(http) as quick:
            await quick.send(post + b"x" * 60_000)
            assert (await quick.response())[0] == 200
        status, headers, _ = await slower.response()
        assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
    assert http.bodies.held_bytes == 0
    assert http.counters["bodies_ended"] == 2


async def test_answers_that_are_not_read_go_for_those_that_are() -> None:
    """Each holds much; how many there are is not our choice."""

    async def large(request: Request) -> Response:
        return Response(200, b"x" * LARGE)

    http = HttpServer(large, actor="console", limits=Limits(body_max_bytes=1, answers_max_bytes=2 * LARGE + 10_000))
    async with AsyncExitStack() as stack:
        deaf = [await stack.enter_async_context(served(http)) for _ in range(4)]
        for talk in deaf:
            await talk.send(GET)
            await wait_all_tasks_blocked()
            assert http.answers.held_bytes <= 2 * LARGE + 10_000
        await deaf[0].done.wait()
        await deaf[1].done.wait()
        assert not deaf[3].done.is_set()
    assert (http.answers.held_bytes, http.counters["answers_ended"]) == (0, 2)


SMUGGLED = b"GET /secret HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\nabcde",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nabcde",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nabcde",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\nGET /secret HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\nContent-Length: 30\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
    ],
)
async def test_what_two_parsers_could_frame_differently_is_refused_and_nothing_after_it_is_served(
    request_bytes: bytes,
) -> None:
    async with served(server()) as talk:
        await talk.send(request_bytes + SMUGGLED)
        status, headers, body = await talk.response()
        assert 400 <= status < 500
        assert body.endswith(b"\n")
        assert body.count(b"\n") == 1
        assert headers["connection"] == "close"
        assert await talk.rest() == b""


async def test_a_body_that_ends_early_is_malformed() -> None:
    async with served(server()) as talk:
        await talk.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc")
        await talk.client.send_eof()
        assert (await talk.response())[0] == 400


@pytest.mark.parametrize(
    "head", [b"HEAD / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", b"HEAD bad\r\n\r\n"]
)
async def test_a_refused_head_request_is_answered(head: bytes) -> None:
    async with served(server()) as talk:
        await talk.send(head)
        assert (await talk.response(head_only=True))[0] in (400, 413)


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1\r\nConnection: close"])
async def test_a_client_that_wants_no_more_is_closed(version: bytes) -> None:
    async with served(server()) as talk:
        await talk.send(b"GET / %s\r\nHost: x\r\n\r\n" % version)
        assert (await talk.response())[1]["connection"] == "close"
        assert await talk.rest() == b""
        await talk.client.aclose()
        await talk.done.wait()


async def test_a_handler_that_fails_is_a_500_that_says_nothing_and_a_log_entry(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(request: Request) -> Response:
        raise ValueError("a secret")

    http = server(broken)
    with caplog.at_level(logging.ERROR):
        async with served(http) as talk:
            await talk.send(GET + GET)
            status, headers, body = await talk.response()
            assert (status, body) == (500, b"Internal Server Error\n")
            assert headers["connection"] == "close"
            assert await talk.rest() == b""
    assert http.counters["handler_errors"] == 1
    assert [record.getMessage() for record in caplog.records] == ["no answer to GET /calls"]


@pytest.mark.parametrize(
    "head",
    [
        b"POST /api/calls/telnyx/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
        (
            b"GET /call-events HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ),
        b"GET /calls HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\n\r\n",
        b"GET /calls HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n",
        b"GET /calls HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ],
)
async def test_the_next_request_of_another_actor_goes_back_unread(head: bytes) -> None:
    async with served(server()) as talk:
        await talk.send(GET + head + b"{}")
        await talk.response()
        await talk.done.wait()
        assert talk.handed is not None
        assert talk.handed.is_transferred
        assert talk.server.recv(4096) == head + b"{}"


@pytest.mark.parametrize(
    ("head", "status"), [(b"hello\r\n\r\n", 400), (b"GET /call-events HTTP/1.1\r\nHost: x\r\n\r\n", 426)]
)
async def test_a_next_request_that_is_nobodys_is_refused_here(head: bytes, status: int) -> None:
    async with served(server()) as talk:
        await talk.send(GET + head)
        assert (await talk.response())[0] == 200
        assert (await talk.response())[0] == status
        assert await talk.rest() == b""


async def test_an_idle_connection_goes_back_when_the_actor_drains() -> None:
    async with served(server()) as talk:
        await talk.send(GET)
        await talk.response()
        assert talk.handed is not None
        talk.handed.on_drain()
        await talk.done.wait()
        assert talk.handed.is_transferred


async def test_an_idle_connection_is_closed_after_a_while(autojump_clock: MockClock) -> None:
    async with served(server()) as talk:
        await talk.send(GET)
        await talk.response()
        started = trio.current_time()
        assert await talk.rest() == b""
        assert 14 < trio.current_time() - started < 16
        assert talk.handed is not None
        assert not talk.handed.is_transferred


@pytest.mark.parametrize(
    ("unfinished", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab", 408),
        (b"GET / HTT", 408),
        (b"G" * 20_000, 431),
    ],
)
async def test_what_is_never_finished_or_never_ends_is_refused(
    unfinished: bytes, status: int, autojump_clock: MockClock
) -> None:
    async with served(server()) as talk:
        await talk.send(GET)
        await talk.response()
        await talk.send(unfinished)
        assert (await talk.response())[0] == status
        assert await talk.rest() == b""


async def test_a_client_that_never_reads_its_answer_is_left(autojump_clock: MockClock) -> None:
    async def large(request: Request) -> Response:
        return Response(200, b"x" * 64 * 1024 * 1024)

    http = server(large)
    async with served(http) as talk:
        await talk.send(GET)
        await talk.done.wait()
    assert http.counters["timeouts"] == 1


async def test_a_client_that_goes_away_harms_nobody() -> None:
    http = server()
    for request in (GET, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"):
        async with served(http) as talk:
            await talk.send(request)
            await wait_all_tasks_blocked()
            talk.client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
            talk.client.socket.close()
            await talk.done.wait()
    assert http.counters["closed_by_peer"] == 2


async def test_what_an_address_with_a_token_answers_is_kept_nowhere() -> None:
    """Whatever it is."""

    async def page(request: Request) -> Response:
        return Response(200, b"<p>", "text/html", {"Cache-Control": "no-cache"})

    async with served(server(page)) as talk:
        for query, kept in ((b"", "no-cache"), (b"?token=x", "no-store"), (b"?a=b&token=", "no-store")):
            await talk.send(GET.replace(b"/calls", b"/calls" + query))
            assert (await talk.response())[1]["cache-control"] == kept


async def test_over_tls_of_our_own_browsers_are_told_to_stay_with_it() -> None:
    """By each answer."""
    for is_tls in (True, False):
        http = HttpServer(echo, actor="console", limits=Limits(body_max_bytes=1, is_tls=is_tls))
        async with served(http) as talk:
            await talk.send(GET + b"hello\r\n\r\n")
            for _ in range(2):
                assert ("strict-transport-security" in (await talk.response())[1]) == is_tls


async def test_routes_answer_404_and_405() -> None:
    routes = Routes(fallback=lambda request: Response.text("page") if request.path == "/page" else None)
    routes.add("GET", "/calls", echo)
    routes.add("POST", "/calls/telnyx/webhook", echo)

    async def ask(method: str, path: str) -> tuple[int, str | None]:
        response = await routes(Request(method, path, {}, [], b"", "peer"))
        return response.status, response.headers.get("allow")

    assert await ask("GET", "/nothing") == (404, None)
    assert await ask("POST", "/nothing") == (404, None)
    assert await ask("HEAD", "/calls") == (200, None)
    assert await ask("DELETE", "/calls") == (405, "GET, HEAD")
    assert await ask("GET", "/calls/telnyx/webhook") == (405, "POST")
    assert await ask("HEAD", "/page") == (200, None)
    assert await ask("POST", "/page") == (405, "GET, HEAD")


def test_headers_of_a_response_win_over_the_defaults_and_304_has_no_body_headers() -> None:
    lines = dict(Response(304, b"", headers={"Cache-Control": "no-cache", "ETag": '"1"'}).header_lines())
    assert lines["cache-control"] == "no-cache"
    assert lines["etag"] == '"1"'
    assert "content-length" not in lines
    assert "content-type" not in lines


def test_a_request_knows_its_media_type() -> None:
    def media_type(*headers: tuple[bytes, bytes]) -> str | None:
        return Request("POST", "/", {}, list(headers), b"", "peer").media_type

    assert media_type() is None
    assert media_type((b"content-type", b"Application/JSON; charset=utf-8")) == "application/json"


async def test_a_request_at_work_is_answered_before_the_connection_goes_back() -> None:
    at_work, may_go_on = trio.Event(), trio.Event()

    async def slow(request: Request) -> Response:
        at_work.set()
        await may_go_on.wait()
        return Response.text("done")

    async with served(server(slow)) as talk:
        await talk.send(GET)
        await at_work.wait()
        assert talk.handed is not None
        talk.handed.on_drain()
        may_go_on.set()
        assert (await talk.response())[2] == b"done\n"
        await talk.done.wait()
        assert talk.handed.is_transferred
