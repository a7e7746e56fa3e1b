"""What peers with tokens say, and how they hear what is said to that."""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import quote

import trio

from bench.hostile.tokens import STREAM_HEADER, token
from bench.hostile.wire import TEXT, UPGRADE, Raw, frame

ATTACKER: Final = "attacker"  # the `sub` of all of them: one token's limits are tried
AT_ONCE_BYTES: Final = 64 * 1024  # of messages in one write
CLOSE_WAIT_S: Final = 3.0  # for the word that comes with an end
NO_CODE: Final = 1005  # RFC 6455 §7.1.5


def start(call: str, **media_format: object) -> dict[str, object]:
    """A stream's first word."""
    given = {"encoding": "PCMU", "sample_rate": 8000, "channels": 1, **media_format}
    return {"event": "start", "stream_id": call, "start": {"call_control_id": call, "media_format": given}}


def said(*messages: object) -> bytes:
    """Messages as frames of text."""
    return b"".join(frame(TEXT, json.dumps(each).encode()) for each in messages)


def stream_headers(call: str) -> str:
    """Of a stream of one's own call."""
    return f"{STREAM_HEADER}: {token(ATTACKER, 'stream', calls=(call,))}\r\n"


def listen_path(call: str) -> str:
    """To hear one's own call."""
    return f"/audio-stream?track=both&call_control_id={quote(call)}&token={token(ATTACKER, 'listen', calls=(call,))}"


async def repeating(peer: Raw, message: bytes, times: int) -> str:
    """Say a message so often; return what is said to that, `stayed` where nothing is."""
    told = ["stayed"]

    async def hear(cancel: trio.CancelScope) -> None:
        told[0] = word_of(await peer.close_code())
        cancel.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, nursery.cancel_scope)
        at_once = max(1, AT_ONCE_BYTES // len(message))
        for done in range(0, times, at_once):
            if not await peer.say(message * min(at_once, times - done)):
                nursery.cancel_scope.deadline = trio.current_time() + CLOSE_WAIT_S
                await trio.sleep_forever()
        nursery.cancel_scope.deadline = trio.current_time() + CLOSE_WAIT_S
        await trio.sleep_forever()
    return told[0]


def opening(path: str, headers: str) -> bytes:
    """Ask for a WebSocket."""
    return f"GET {path} HTTP/1.1\r\n{UPGRADE}{headers}\r\n".encode("latin-1")


async def status_of(peer: Raw) -> str:
    """The status of an answer."""
    answer = b""
    while len(answer) < 12 and (piece := await peer.stream.receive_some(4096)):
        answer += piece
    return answer[9:12].decode("ascii", "replace") or "closed"


def word_of(code: int | None) -> str:
    """What a connection was ended with."""
    return "closed" if code is None else str(code or NO_CODE)
