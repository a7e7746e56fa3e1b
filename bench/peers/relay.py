"""What the Python peers have in common: which call and track a message is for. No I/O, no library of theirs."""

from __future__ import annotations

import base64
import binascii
from collections import defaultdict
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs, urlsplit

import orjson

RTP_HEADER_BYTES = 12
Connection = TypeVar("Connection")


class Relay(Generic[Connection]):
    """Who listens to what, and where a call's Telnyx connection is."""

    def __init__(self) -> None:
        self.listeners: defaultdict[tuple[str, str], dict[Connection, None]] = defaultdict(dict)
        self.telnyx: dict[str, Connection] = {}

    def from_telnyx(self, connection: Connection, call: str, text: bytes | str) -> tuple[str, str, bytes] | str:
        """Take a message: (call, track, audio) of media, else the call it is about."""
        message = orjson.loads(text)
        if message["event"] == "media":
            media = message["media"]
            return call, media["track"], binascii.a2b_base64(media["payload"])
        if message["event"] == "start":
            call = message["start"]["call_control_id"]
            self.telnyx[call] = connection
        return call

    def from_browser(self, call: str, text: bytes | str) -> tuple[Connection, str] | None:
        """Take talk: where it goes, and what goes there."""
        message: dict[str, Any] = orjson.loads(text)
        connection = self.telnyx.get(call)
        if message.get("event") != "media" or connection is None:
            return None
        audio = binascii.a2b_base64(message["media"]["payload"])[RTP_HEADER_BYTES:]
        payload = base64.b64encode(audio).decode()
        return connection, orjson.dumps({"event": "media", "media": {"payload": payload}}).decode()

    def join(self, connection: Connection, target: str) -> str:
        """A browser has connected to this URL; return its call."""
        call, tracks = _wanted(target)
        for track in tracks:
            self.listeners[call, track][connection] = None
        return call

    def leave(self, connection: Connection, target: str) -> None:
        """A browser has gone."""
        call, tracks = _wanted(target)
        for track in tracks:
            self.listeners[call, track].pop(connection, None)


def is_telnyx(user_agent: str) -> bool:
    """Whether a peer with this User-Agent is Telnyx."""
    return "telnyx" in user_agent.lower()


def _wanted(target: str) -> tuple[str, tuple[str, ...]]:
    query = parse_qs(urlsplit(target).query)
    track = query.get("track", ["inbound"])[0]
    return query["call_control_id"][0], ("inbound", "outbound") if track == "both" else (track,)
