"""The far party's ear: takes what comes in on a stream, plays it by the clock, answers marks and errors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from simulator.clips import Echo
from simulator.playback import Playback
from simulator.recorder import TalkRecorder
from simulator.talk import Clear, Mark, Media, Refused, parse

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Awaitable, Callable

    from simulator.messages import StreamMessages
    from simulator.options import CallOptions

    Notify = Callable[[str], None]
    Send = Callable[[str], Awaitable[bool]]

PLAY_PERIOD_S = 0.5  # how often what was played is taken out of the queue


@dataclass(frozen=True)
class Talk:
    """A media frame received: when (seconds since the stream began) and the audio in it."""

    at_s: float
    payload: bytes


class FarEnd:
    """What one call hears, over all its connections. The lists stay empty when the call is not to `record`."""

    def __init__(
        self, options: CallOptions, numbers: StreamMessages, counters: Counter[str], send: Send, notify: Notify
    ) -> None:
        self.received: list[Talk] = []
        self.messages: list[str | bytes] = []  # as they came in
        self.played = bytearray()  # coded audio since the stream began, silence where nothing was played
        self.marks_sent: list[str] = []
        self.errors_sent: list[Refused] = []
        self._options = options
        self._numbers = numbers
        self._counters = counters
        self._send = send
        self._notify = notify
        self._began_at = math.nan
        self._playback = Playback(options.codec, 0.0)
        self._recorder: TalkRecorder | None = None
        self._wake = trio.Event()
        self._echoes = [source for source in options.tracks.values() if isinstance(source, Echo)]

    @property
    def talk(self) -> bytes:
        """All audio received, in one piece."""
        return b"".join(talk.payload for talk in self.received)

    def queued_s(self) -> float:
        """How much received audio is still to be played."""
        return self._playback.queued_s(trio.current_time())

    def begin(self, now: float) -> None:
        """The stream begins: time counts from here."""
        self._began_at = now
        self._playback = Playback(self._options.codec, now)
        if self._options.save_talk:
            self._recorder = TalkRecorder(self._options.save_talk, self._options.talk_name, self._options.codec)

    def close(self) -> None:
        """The stream is over: take out what was played, finish the files."""
        if not math.isnan(self._began_at):
            self.take_played()
        if self._recorder:
            self._recorder.close()
            self._recorder = None

    async def take(self, message: str | bytes) -> None:
        """Act on a message from the application; a bad one is answered with an error frame."""
        now = trio.current_time()
        if self._options.record:
            self.messages.append(message)
        if self._recorder:
            self._recorder.received(message, now - self._began_at)
        try:
            self._apply(parse(message, self._options.codec), now)
        except Refused as refused:
            self._counters["errors"] += 1
            if self._options.record:
                self.errors_sent.append(refused)
            await self._send(self._numbers.error(refused))

    async def run(self) -> None:
        """Send marks back when they are reached, and take what was played out of the queue."""
        while True:
            wake, now = self._wake, trio.current_time()
            for name in self._playback.reached(now):
                await self._send_mark(name)
            self.take_played()
            with trio.move_on_at(min(self._playback.next_mark_at(), now + PLAY_PERIOD_S)):
                await wake.wait()

    def take_played(self) -> None:
        """Pass on what was played by now: to the files, the record, and tracks that echo it."""
        played = self._playback.played(trio.current_time())
        if self._recorder:
            self._recorder.played(played)
        if self._options.record:
            self.played += played
        for echo in self._echoes:
            echo.feed(played)

    def _apply(self, frame: Media | Mark | Clear, now: float) -> None:
        match frame:
            case Media(payload):
                self._playback.media(payload, now)
                self._counters["talk_frames"] += 1
                self._counters["talk_bytes"] += len(payload)
                if self._counters["talk_frames"] == 1:
                    self._notify("somebody talks")
                if self._options.record:
                    self.received.append(Talk(now - self._began_at, payload))
            case Mark(name):
                self._playback.mark(name, now)
                self._wake_up()
            case Clear():
                self._playback.clear(now)
                self._counters["clears"] += 1
                self._wake_up()

    async def _send_mark(self, name: str) -> None:
        if await self._send(self._numbers.mark(name)):
            self._counters["marks"] += 1
            if self._options.record:
                self.marks_sent.append(name)

    def _wake_up(self) -> None:
        self._wake.set()
        self._wake = trio.Event()
