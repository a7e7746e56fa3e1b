"""Hears a call as a browser does and keeps it: the other end of the demo, for people without a browser at hand."""

from __future__ import annotations

import sys
import wave
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

import trio

from simulator.codecs import PCM_SAMPLE_BYTES, PCMU
from simulator.connection import attend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simulator.connection import Connection
    from simulator.reconnect import Ending

    Write = Callable[[bytes], object]
    Say = Callable[[str], None]

USER_AGENT = "patchbay-listener"
TEXT_SHOWN_CHARS = 300


async def listen(url: str, write: Write, say: Say, seconds: float | None) -> tuple[int, Ending | None]:
    """Write a call's µ-law audio as it comes, say what else comes; returns the bytes written and how it ended.

    None for the ending: the time was over. Cancelling is safe.
    """
    size = 0

    async def serve(connection: Connection) -> None:
        nonlocal size
        while True:
            message = await connection.receive()
            if isinstance(message, str):
                say(message[:TEXT_SHOWN_CHARS])
            else:
                size += len(message)
                write(message)

    ending = None
    with trio.move_on_after(float("inf") if seconds is None else seconds):
        ending = await attend(url, [("User-Agent", USER_AGENT)], serve)
    return size, ending


def listen_url(base: str, *, call_control_id: str | None, track: str, token: str | None) -> str:
    """The URL with the query that names what is wanted."""
    wanted = {"call_control_id": call_control_id, "track": track, "token": token}
    query = urlencode({name: value for name, value in wanted.items() if value})
    return urlunsplit(urlsplit(base)._replace(query=query))


@contextmanager
def audio_file(name: str) -> Iterator[Write]:
    """What takes µ-law: a WAV file of 16 bits, or standard output as it is."""
    if name == "-":
        yield write_to_stdout
        return
    with wave.open(name, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(PCM_SAMPLE_BYTES)
        wav.setframerate(PCMU.audio_rate)
        yield lambda payload: wav.writeframes(PCMU.decode(payload))


def write_to_stdout(payload: bytes) -> None:
    sys.stdout.buffer.write(payload)
    sys.stdout.buffer.flush()
