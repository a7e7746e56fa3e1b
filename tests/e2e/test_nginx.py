"""Debian's nginx in front, with the configuration in deploy/: everything works through it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.calls import SPEECH, call, new_call_id, recording, until_over, until_said
from tests.e2e.clients import client, listener
from tests.e2e.system import POLL_S, READY_TIMEOUT_S, ROOT, System, free_port
from tests.e2e.test_call_events import envelope, event_of, post
from tests.e2e.test_talking import say_floats, say_rtp

if TYPE_CHECKING:
    from collections.abc import Iterator

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.nginx,
    pytest.mark.skipif(NGINX is None, reason="needs nginx: apt install nginx-light"),
]
FRAMES = 50
# What the existing nginx does: the same header with every request, upgrade or not.
VARIANTS = {"shipped": {}, "existing": {"$connection_upgrade;": '"upgrade";'}}
MAIN = """
daemon off;
pid nginx.pid;
error_log stderr;
{user}
events {{}}
http {{
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include site.conf;
}}
"""


def write_configuration(directory: Path, port: int, behind: int, changes: dict[str, str]) -> None:
    """The configuration as it is shipped, with the ports of this test and its log here."""
    site = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    for old, new in {
        "listen 80;": f"listen 127.0.0.1:{port};",
        "listen [::]:80;": "",
        "http://127.0.0.1:5006": f"http://127.0.0.1:{behind}",
        "/var/log/nginx/patchbay.log": "access.log",
        **changes,
    }.items():
        assert old in site, old
        site = site.replace(old, new)
    (directory / "site.conf").write_text(site, encoding="utf-8")
    user = "user root;" if os.getuid() == 0 else ""
    (directory / "nginx.conf").write_text(MAIN.format(user=user), encoding="utf-8")


@pytest.fixture(scope="module", params=VARIANTS)
def proxied(patchbay: System, request: pytest.FixtureRequest) -> Iterator[System]:
    """The shared system, as it is reached through nginx."""
    assert NGINX is not None
    directory = Path(tempfile.mkdtemp(prefix="patchbay-nginx-"))
    port = free_port()
    write_configuration(directory, port, patchbay.port, VARIANTS[request.param])
    with (directory / "errors").open("wb") as errors:
        command = [NGINX, "-p", str(directory), "-c", "nginx.conf", "-e", "stderr"]
        nginx = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
    try:
        system = replace(patchbay, port=port, process=None)
        deadline = time.monotonic() + READY_TIMEOUT_S
        while system.status() != 200:
            assert nginx.poll() is None, (directory / "errors").read_text()
            assert time.monotonic() < deadline
            time.sleep(POLL_S)
        yield system
    finally:
        nginx.terminate()
        nginx.wait(READY_TIMEOUT_S)
        shutil.rmtree(directory)


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
