"""A frontend that sends no token, behind a real nginx: one that knows its users, as documented, and one that only says
where they are."""

from __future__ import annotations

import base64
import re
from functools import partial

import trio
import trio_websocket

from bench.hostile.wire import UPGRADE
from tests.e2e.clients import client
from tests.e2e.guarded import STREAM_TOKEN, guarded_system, token
from tests.e2e.http_client import status_of
from tests.e2e.nginx import needs_nginx, nginx
from tests.e2e.system import ROOT, System, running_system

pytestmark = needs_nginx
DOCS = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
APP = "https://app.example"
OFFICE, ELSEWHERE = "127.0.0.5", "127.0.0.6"


def documented() -> tuple[str, str]:
    """What the documentation has for the site, and for its location."""
    snippet = re.search(r"```nginx\n(.*?)```", DOCS, re.DOTALL)
    assert snippet is not None
    site, _, location = snippet[1].partition("# In the location:\n")
    return site, location


def changes(site: str, location: str) -> dict[str, str]:
    """More for the shipped configuration."""
    return {"server {": f"{site}\nserver {{", "location / {": f"location / {{\n{location}"}


async def ask(
    system: System, path: str, headers: str = "", *, source: str = "127.0.0.1", upgrade: bool = True
) -> tuple[int, bytes]:
    """One request from an address; its status and the beginning of what follows."""
    lines = UPGRADE if upgrade else "Host: localhost\r\nConnection: close\r\n"
    answer = b""
    with trio.fail_after(60):
        async with await trio.open_tcp_stream("127.0.0.1", system.port, local_address=source) as stream:
            await stream.send_all(f"GET {path} HTTP/1.1\r\n{lines}{headers}\r\n".encode())
            while piece := await stream.receive_some():
                answer += piece
                head, end, body = answer.partition(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                if head.startswith(b"HTTP/1.1 101") or (end and length and len(body) >= int(length[1])):
                    break
    return status_of(answer), answer.partition(b"\r\n\r\n")[2]


def basic(user: str, password: str = "secret") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def test_a_proxy_that_knows_its_users() -> None:
    """It shows a token for each; nobody else is let in, and Telnyx comes with what it shows itself."""
    with guarded_system(AUTH__ALLOWED_ORIGINS=APP) as behind:
        site, location = documented()
        site = site.replace("eyJ...", token(sub="ann", calls="*", can=("listen", "talk", "events")))
        location = location.replace("/etc/nginx/patchbay.users", str(behind.home / "users"))
        (behind.home / "users").write_text("ann:{PLAIN}secret\nbob:{PLAIN}secret\n")
        behind.home.chmod(0o755)
        with nginx(behind, changes(site, location)) as system:
            for path in ("/audio-stream", "/ws/call-events"):
                mine = {"Authorization": basic("ann"), "Origin": APP}
                async with client(system, path, headers=mine) as browser:
                    await browser.until(partial(getattr, browser, "messages"))
                assert (await ask(system, path))[0] == 401
                assert (await ask(system, path, f"Authorization: {basic('ann', 'wrong')}\r\n"))[0] == 401
                status, why = await ask(system, path, f"Authorization: {basic('bob')}\r\nOrigin: {APP}\r\n")
                assert (status, b"no token" in why) == (401, True)
                evil = f"Authorization: {basic('ann')}\r\nOrigin: https://evil.example\r\n"
                assert (await ask(system, path, evil))[0] == 403
            assert (await ask(system, "/api/calls", f"Authorization: {basic('ann')}\r\n", upgrade=False))[0] == 403
            stream = "X-Telnyx-Streaming-Auth-Token: {}\r\n"
            assert (await ask(system, "/audio-stream", stream.format(STREAM_TOKEN)))[0] == 101
            status, why = await ask(system, "/audio-stream", stream.format("invented"))
            assert (status, b"stream token" in why) == (401, True)
            status, why = await ask(system, "/call-events", stream.format("invented"))
            assert (status, b"no token" in why) == (401, True)


async def test_the_network_of_an_office() -> None:
    """Is told by the address that nginx names; others need a token as ever. The log warns."""
    with guarded_system(AUTH__ANONYMOUS_NETWORKS=f"{OFFICE}/32", AUTH__ALLOWED_ORIGINS=APP) as behind:
        assert f"clients from {OFFICE}/32 need no token" in behind.log()
        with nginx(behind, {}) as system:
            for path in ("/audio-stream", "/frontend-audio", "/call-events"):
                assert (await ask(system, path, f"Origin: {APP}\r\n", source=OFFICE))[0] == 101
                assert (await ask(system, path, "Origin: https://evil.example\r\n", source=OFFICE))[0] == 403
                assert (await ask(system, path, f"Origin: {APP}\r\n", source=ELSEWHERE))[0] == 401
                invented = f"X-Forwarded-For: {OFFICE}\r\n"
                assert (await ask(system, path, invented, source=ELSEWHERE))[0] == 401
            assert (await ask(system, "/api/calls", source=OFFICE, upgrade=False))[0] == 401


async def test_without_authentication_nobody_comes_from_elsewhere() -> None:
    """Whatever the path; from this machine everything works."""
    with running_system() as behind, nginx(behind, changes("", "proxy_set_header X-Real-IP 203.0.113.9;")) as system:
        for path in ("/audio-stream", "/audio-stream?role=telnyx", "/call-events"):
            status, why = await ask(system, path)
            assert (status, b"PATCHBAY_AUTH__ENABLED" in why) == (403, True)
        for path in ("/", "/api/calls", "/api/calls/telnyx/webhook"):
            assert (await ask(system, path, upgrade=False))[0] == 403
        assert (await ask(behind, "/audio-stream"))[0] == 101
        for host in ("evil.example", f"evil.example:{behind.port}", "192.0.2.1"):
            rebound = UPGRADE.replace("localhost", host)
            with trio.fail_after(60):
                async with await trio.open_tcp_stream("127.0.0.1", behind.port) as stream:
                    await stream.send_all(f"GET /audio-stream HTTP/1.1\r\n{rebound}\r\n".encode())
                    assert status_of(bytes(await stream.receive_some())) == 403
        async with trio_websocket.open_websocket_url(behind.url("/call-events")) as websocket:
            assert "welcome" in await websocket.get_message()
