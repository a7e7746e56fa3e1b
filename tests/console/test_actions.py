"""Restarting over HTTP: what is believed, what is refused, and what is passed on to the supervisor."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.console import actions
from actors.console.actions import PATH, Actions
from actors.console.page_rights import session
from patchbay.auth.csrf import csrf_error
from patchbay.http.message import Request, Response

OURS = {
    "host": "127.0.0.1:5006",
    "origin": "http://127.0.0.1:5006",
    "sec-fetch-site": "same-origin",
    "x-patchbay-request": "console",
    "content-type": "application/json",
}
DONE: dict[str, Any] = {"ok": True, "reports": [{"actor": "fanout.0", "ok": True, "text": "rolled"}]}


class FakeSupervisor:
    def __init__(self, answer: dict[str, Any] | None) -> None:
        self.answer = answer
        self.asked: list[tuple[dict[str, Any], float]] = []
        self.done = trio.Event()
        self.done.set()

    async def command(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any] | None:
        self.asked.append((request, timeout_s))
        await self.done.wait()
        return self.answer


def request(
    method: str = "POST", body: bytes = b"{}", claims: dict[str, Any] | None = None, **headers: str | None
) -> Request:
    given = {**OURS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [(name.encode(), value.encode()) for name, value in given.items() if value is not None]
    return Request(method, "/actors/fanout/roll", {}, lines, body, "127.0.0.1:1", claims)


async def answer(asked: Request, supervisor: FakeSupervisor | None = None) -> Response:
    return await Actions(supervisor or FakeSupervisor(DONE)).respond(asked, "fanout", "roll")


async def test_it_is_done_and_said_in_the_supervisors_words() -> None:
    supervisor = FakeSupervisor(DONE)
    response = await answer(request(), supervisor)
    assert (response.status, orjson.loads(response.body)) == (200, {"done": True, "reports": DONE["reports"]})
    assert supervisor.asked == [({"command": "roll", "name": "fanout"}, actions.WAIT_S)]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (None, 503),
        ({}, 202),
        ({"ok": False, "error": "there is no actor 'fanout.9'"}, 404),
        ({"ok": False, "reports": [], "error": "fanout.0: not ready in time"}, 409),
    ],
)
async def test_what_the_supervisor_says_is_passed_on(said: dict[str, Any] | None, status: int) -> None:
    response = await answer(request(), FakeSupervisor(said))
    assert response.status == status
    if said and "error" in said:
        assert said["error"].encode() in response.body


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"method": "GET"}, 405),
        ({"method": "PUT"}, 405),
        ({"x_patchbay_request": None}, 403),
        ({"x_patchbay_request": "other"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "none"}, 403),
        ({"sec_fetch_site": None, "origin": "http://evil.example"}, 403),
        ({"sec_fetch_site": None, "origin": "http://127.0.0.1:5007"}, 403),
        ({"sec_fetch_site": None, "origin": "null"}, 403),
        ({"sec_fetch_site": None, "origin": "http://[oh"}, 403),
        ({"host": "rebound.example:5006", "origin": "http://rebound.example:5006"}, 403),
        ({"host": "[oh"}, 403),
        ({"host": None}, 403),
        ({"content_type": None}, 415),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"body": b""}, 400),
        ({"body": b"[]"}, 400),
        ({"body": b'{"all":true}'}, 400),
        ({"claims": {"can": ["listen", "talk", "events"]}}, 403),
        ({"claims": {}}, 403),
        ({"claims": {"can": "admin"}}, 403),
    ],
)
async def test_what_is_not_believed_does_nothing(wrong: dict[str, Any], status: int) -> None:
    supervisor = FakeSupervisor(DONE)
    assert (await answer(request(**wrong), supervisor)).status == status
    assert supervisor.asked == []


@pytest.mark.parametrize(
    "right",
    [
        {},
        {"content_type": "application/json; charset=utf-8"},
        {"host": "localhost:5006", "origin": "http://localhost:5006"},
        {"host": "[::1]:5006", "origin": "http://[::1]:5006"},
        {"sec_fetch_site": None},
        {"sec_fetch_site": None, "origin": None},  # a program, which needs no browser to be misled
        {"host": "calls.example", "origin": "https://calls.example", "claims": {"can": ["admin"]}},
        {
            "host": "calls.example",
            "origin": "https://calls.example:8443",
            "sec_fetch_site": None,
            "claims": {"can": ["admin"]},
        },
    ],
)
async def test_what_is_believed(right: dict[str, Any]) -> None:
    assert (await answer(request(**right))).status == 200


async def test_the_console_does_not_wait_for_its_own_end() -> None:
    supervisor = FakeSupervisor({})
    response = await Actions(supervisor).respond(request(), "console.0", "restart")
    assert response.status == 202
    assert supervisor.asked == [({"command": "restart", "name": "console.0"}, actions.OWN_WAIT_S)]


async def test_only_so_many_at_once() -> None:
    supervisor = FakeSupervisor(DONE)
    supervisor.done = trio.Event()
    served = Actions(supervisor)
    statuses: list[int] = []

    async def ask() -> None:
        statuses.append((await served.respond(request(), "fanout", "roll")).status)

    async with trio.open_nursery() as nursery:
        for _ in range(actions.AT_ONCE_MAX + 2):
            nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        assert statuses == [503, 503]
        supervisor.done.set()
    assert sorted(statuses) == [200] * actions.AT_ONCE_MAX + [503, 503]


@pytest.mark.parametrize(
    ("path", "groups"),
    [
        ("/actors/fanout/roll", ("fanout", "roll")),
        ("/actors/call_events.12/restart", ("call_events.12", "restart")),
        ("/api/actors/ingest.0/roll", ("ingest.0", "roll")),
        ("/actors/fanout/stop", None),
        ("/actors/fanout.0.0/roll", None),
        ("/actors/../roll", None),
        ("/actors/fanout/roll/", None),
        ("/actors//roll", None),
    ],
)
def test_paths(path: str, groups: tuple[str, str] | None) -> None:
    found = PATH.fullmatch(path)
    assert (found and found.groups()) == groups


def test_a_read_needs_no_proof() -> None:
    """`csrf_error` is asked about what changes something; it does not look at the method itself."""
    assert csrf_error(request(method="DELETE")) is None


def test_sessions() -> None:
    assert session(None) == {
        "authentication": False,
        "sub": None,
        "can": ["listen", "talk", "events", "admin"],
        "calls": "*",
        "expires_at": None,
    }
    claims = {"sub": "ann", "exp": 5, "calls": ["a"], "can": ["admin", "listen", "stream"]}
    assert session(claims) == {
        "authentication": True,
        "sub": "ann",
        "can": ["listen", "admin"],
        "calls": ["a"],
        "expires_at": 5,
    }
    assert session({"can": "admin"})["can"] == []
