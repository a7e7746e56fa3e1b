"""`patchbay.v1` connections without sockets: a fan-out, what its clients were sent, and what ingest would be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from actors.fanout.peak_meter import PeakMeter
from actors.fanout.playout_stats import PlayoutStats
from actors.fanout.v1.connection import V1Connection
from actors.fanout.v1.context import V1Context
from patchbay.auth.session import Session
from patchbay.net.quota import Quota
from patchbay.net.rate_limit import RateLimit
from patchbay.protocol import batches
from tests.fakes.listening import FakeBrowser, FakeFanout, entry, messages

if TYPE_CHECKING:
    from actors.fanout.talk_sender import TalkSender
    from patchbay.handover.connection import HandedConnection
    from patchbay.websocket.connection import WebSocketConnection

CALL = "v3:call"


class Room:
    """A process, with one connection of number 5."""

    def __init__(self, claims: dict[str, Any] | None = None, **limits: int) -> None:
        self.limits = {
            "state_max_bytes": 16 * 1024,
            "listeners_per_call": 100,
            "subscriptions_per_token": 1000,
            "requests_burst": 500,
            **limits,
        }
        self.claims = claims
        self.state = b""
        self.begin()

    def begin(self) -> None:
        """A new process, which knows nothing."""
        self.fanout = FakeFanout()
        self.subscriptions = Quota[str](self.limits["subscriptions_per_token"])
        self.said: list[batches.Talk] = []
        self.peaks = PeakMeter(self.fanout.calls)
        self.connection = self.connect(5)

    def connect(self, number: int, state: bytes = b"") -> V1Connection:
        self.browser = FakeBrowser(number)
        self.browser.handed.claims = self.claims
        self.browser.handed.state = state
        self.context = context = V1Context(
            self.fanout.calls,
            cast("TalkSender", self),
            self.peaks,
            PlayoutStats(),
            0,
            self.limits["state_max_bytes"],
            self.limits["listeners_per_call"],
            self.subscriptions,
            requests_burst=self.limits["requests_burst"],
        )
        session = Session(cast("HandedConnection", self.browser.handed), None, "listen")
        return V1Connection(cast("WebSocketConnection", self.browser), session, RateLimit(8000, 80_000), context)

    def restart(self, *entries: bytes, in_order: bool = False) -> None:
        """The process dies, or hands over; the next one hears `entries` first."""
        if in_order:
            self.connection.save_state(with_positions=True)
        state = self.browser.handed.state
        self.begin()
        self.fanout.hears(*entries)
        self.connection = self.connect(5, state)
        self.connection.resume(self.fanout.now)

    def send(self, call: object, speaker: object, packed: bytes) -> None:
        """What the talk sender get."""
        del call, speaker
        self.said += batches.unpack_talk(packed)

    def asks(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """The client says something; what it is told by that."""
        self.told()
        self.connection.on_text(json.dumps({"type": kind, **fields}).encode(), self.fanout.now)
        self.ends_round()
        return self.told()

    def ends_round(self) -> None:
        """Notes are written."""
        while self.context.unsaved:
            self.context.unsaved.popitem()[0].save_state()

    def told(self) -> list[dict[str, Any]]:
        """The texts since last asked. Audio is left where it is."""
        frames = self.browser.send_queue.control
        got = [json.loads(payload) for _, payload in messages(b"".join(frames))]
        frames.clear()
        return got

    def audio(self) -> list[tuple[int, int, int, bytes]]:
        """Call, track, sequence and payload of what was heard since last asked."""
        heard = self.browser.send_queue.frames
        got = [payload for first, payload in messages(b"".join(heard)) if first == 0x82]
        heard.clear()
        return [
            (int.from_bytes(each[4:6], "little"), each[1], int.from_bytes(each[12:16], "little"), each[20:])
            for each in got
        ]


def floor(talker: int | None, call: str = CALL, flags: int = 0, **more: str) -> bytes:
    """News of who may talk."""
    return entry(batches.FLOOR, call, payload=json.dumps({"talker": talker, **more}).encode(), flags=flags)
