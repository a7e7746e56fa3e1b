"""A Patchbay with authentication on, and every kind of token somebody might come with."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import trio

from bench.hostile.wire import UPGRADE
from tests.e2e.http_client import status_of
from tests.e2e.system import running_system

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from tests.e2e.system import System

SECRET = "PyOmnDUJYsHRqJxz0o4yt1ABCW9Nn0xY"
OTHER_SECRET = "nB8v0kq5Zr7Jt2Xw9Lc4Hd6Fg1Ks3Mp0"
STREAM_TOKEN = "Zq7-stream-token-W4xk"
MY_CALL, OTHER_CALL = "v3:mine/+=", "v3:not-mine"
RIGHTS = ("listen", "talk", "events", "admin")


def guarded_system(**settings: str) -> AbstractContextManager[System]:
    """A running system that wants tokens."""
    given = {"AUTH__ENABLED": "true", "AUTH__JWT_SECRET": SECRET, "TELNYX__STREAM_TOKEN": STREAM_TOKEN, **settings}
    return _running(given)


@contextmanager
def _running(settings: dict[str, str]) -> Iterator[System]:
    with running_system(**settings) as system:
        yield system


def token(
    *,
    calls: Any = (MY_CALL,),
    can: Any = RIGHTS,
    ttl_s: float = 600,
    key: str = SECRET,
    algorithm: str = "HS256",
    **more: Any,
) -> str:
    """A token; by default a good one for MY_CALL."""
    granted = calls if isinstance(calls, str) else list(calls)
    claims = {"sub": "tester", "exp": int(time.time() + ttl_s), "calls": granted, "can": list(can), **more}
    return jwt.encode(claims, key, algorithm=algorithm)


def wrong_tokens() -> dict[str, str | None]:
    """Tokens that open nothing, by what is wrong with them."""
    good = token()
    head, _, signature = good.rpartition(".")
    return {
        "none": None,
        "empty": "",
        "no token": "rubbish",
        "expired": token(ttl_s=-60),
        "wrong key": token(key=OTHER_SECRET),
        "wrong algorithm": jwt.encode(_claims(), SECRET * 2, algorithm="HS512"),
        "alg none": jwt.encode(_claims(), "", algorithm="none"),
        "signature of another": f"{head}.{token(can=()).rpartition('.')[2]}",
        "signature cut off": f"{head}.",
        "signature changed": f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}",
        "without exp": jwt.encode({"sub": "tester", "calls": "*", "can": list(RIGHTS)}, SECRET),
        "for another service": token(aud="somebody-else"),
        "not valid yet": token(nbf=int(time.time() + 600)),
        "calls of no form": token(calls="all"),
        "the stream token": STREAM_TOKEN,
    }


def _claims() -> dict[str, Any]:
    return {"sub": "tester", "exp": int(time.time() + 600), "calls": "*", "can": list(RIGHTS)}


def descriptors(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def ask(system: System, path: str, *, upgrade: bool = False, headers: str = "") -> tuple[int, bytes]:
    """One request; returns its status and everything after the head that comes until the server closes, or, when a
    WebSocket was opened, its first bytes."""
    lines = UPGRADE if upgrade else "Host: localhost\r\nConnection: close\r\n"
    answer = b""
    with trio.fail_after(60):
        async with await trio.open_tcp_stream("127.0.0.1", system.port) as stream:
            await stream.send_all(f"GET {path} HTTP/1.1\r\n{lines}{headers}\r\n".encode())
            while piece := await stream.receive_some():
                answer += piece
                if answer.startswith(b"HTTP/1.1 101"):
                    break
    return status_of(answer), answer.partition(b"\r\n\r\n")[2]
