"""Asks a running supervisor, from a command line or a test: blocking, one request to a connection."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import msgspec

from config.paths import CONTROL_NAME, unix_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class NoSupervisorError(Exception):
    """Nobody answers in this run directory."""


def ask(run_dir: Path, request: dict[str, Any], *, timeout_s: float | None = None) -> dict[str, Any]:
    """Send a request and return its answer.

    Raises:
        NoSupervisorError: there is none, or it went before it answered.
        TimeoutError: no answer within `timeout_s` (None: wait as long as it takes).
    """
    for answer in follow(run_dir, request, timeout_s=timeout_s):
        return answer
    raise NoSupervisorError(f"the supervisor with run_dir = {run_dir} went before it answered")


def follow(run_dir: Path, request: dict[str, Any], *, timeout_s: float | None = None) -> Iterator[dict[str, Any]]:
    """Send a request and give its answers, until the supervisor closes the connection. Errors as `ask`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout_s)
        try:
            sock.connect(unix_path(run_dir, CONTROL_NAME))
            sock.sendall(msgspec.json.encode(request) + b"\n")
        except (FileNotFoundError, ConnectionError) as error:
            raise NoSupervisorError(f"no supervisor runs with run_dir = {run_dir}") from error
        with sock.makefile("rb") as lines:
            try:
                for line in lines:
                    yield msgspec.json.decode(line)
            except ConnectionError:
                return
