"""Debian's nginx in front of a system, with the configuration in deploy/."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from bench.ports import reserved_port
from tests.e2e.system import POLL_S, READY_TIMEOUT_S, ROOT, System

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
needs_nginx = [
    pytest.mark.slow,
    pytest.mark.nginx,
    pytest.mark.skipif(NGINX is None, reason="needs nginx: apt install nginx-light"),
]
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


def _write_configuration(directory: Path, port: int, behind: int, changes: Mapping[str, str]) -> None:
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


@contextmanager
def nginx(behind: System, changes: Mapping[str, str]) -> Iterator[System]:
    """A system as it is reached through nginx.

    Args:
        changes: what stands in the shipped configuration, and what is to stand there.
    """
    assert NGINX is not None
    with reserved_port() as port, TemporaryDirectory(prefix="patchbay-nginx-") as name:
        directory = Path(name)
        _write_configuration(directory, port, behind.port, changes)
        with (directory / "errors").open("wb") as errors:
            command = [NGINX, "-p", str(directory), "-c", "nginx.conf", "-e", "stderr"]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        try:
            system = replace(behind, port=port, process=None)
            deadline = time.monotonic() + READY_TIMEOUT_S
            while not system.status():
                assert process.poll() is None, (directory / "errors").read_text()
                assert time.monotonic() < deadline
                time.sleep(POLL_S)
            yield system
        finally:
            process.terminate()
            process.wait(READY_TIMEOUT_S)
