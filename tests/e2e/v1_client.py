"""A client of `patchbay.v1` as somebody would write it from docs/protocol-v1.md: nothing of ours is imported."""

from __future__ import annotations

import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.e2e.clients import Client, client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.system import System

HEADER = struct.Struct("<BBBBHHIII")


class Audio(NamedTuple):
    """A binary message, taken apart."""

    kind: int
    track: int
    codec: int
    flags: int
    call: int
    unused: int
    stream: int
    sequence: int
    timestamp: int
    payload: bytes


class V1Client:
    """One connection."""

    def __init__(self, inner: Client) -> None:
        self.inner = inner
        self.until = inner.until
        self.of = inner.of

    @property
    def audio(self) -> list[Audio]:
        """All that came."""
        return [Audio._make((*HEADER.unpack_from(message), message[HEADER.size :])) for message in self.inner.audio]

    def track(self, number: int, call: int = 1) -> list[Audio]:
        """The audio of one track of one call."""
        return [frame for frame in self.audio if (frame.track, frame.call) == (number, call)]

    async def say(self, kind: str, **fields: Any) -> None:
        """Send a request."""
        await self.inner.send({"type": kind, **fields})

    async def subscribe(self, call_control_id: str, *tracks: str, **fields: Any) -> dict[str, Any]:
        """Subscribe, and wait for the answer."""
        count = len(self.of("subscribed"))
        await self.say("subscribe", call_control_id=call_control_id, tracks=tracks, **fields)
        await self.until(lambda: len(self.of("subscribed")) > count)
        return self.of("subscribed")[-1]

    async def start_talk(self, call_control_id: str, request_id: int = 77) -> dict[str, Any]:
        """Take the floor; the answer, whatever it is."""
        await self.say("talk.start", call_control_id=call_control_id, id=request_id)
        await self.until(lambda: self._answers(request_id))
        return self._answers(request_id)[-1]

    async def talk(self, started: dict[str, Any], sequence: int, payload: bytes, **fields: int) -> None:
        """20 ms."""
        codec = {"PCMU": 0, "PCMA": 1}[started["codec"]]
        given = {"call": started["call"], "talk": started["talk"], **fields}
        header = HEADER.pack(2, 0, codec, 0, given["call"], 0, given["talk"], sequence, sequence * 20)
        await self.inner.send(header + payload)

    def _answers(self, request_id: int) -> list[dict[str, Any]]:
        return [message for message in self.inner.events if message.get("id") == request_id]


@asynccontextmanager
async def v1_client(system: System, query: str = "", *, token: str | None = None) -> AsyncIterator[V1Client]:
    """A connected client that has had its welcome, or its goodbye."""
    offered = ["patchbay.v1", *([f"patchbay.token.{token}"] if token else [])]
    async with client(system, f"/audio-stream{query}", subprotocols=offered) as inner:
        assert inner.websocket.subprotocol == "patchbay.v1"
        await inner.until(lambda: inner.of("welcome") or inner.ended)
        yield V1Client(inner)
