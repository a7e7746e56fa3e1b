"""One simulated call: its media stream and its webhooks, from beginning to end.

    async with place(CallOptions(url=url, identity=identity, tracks={"inbound": clip})) as call:
        await call.wait_until(lambda: len(call.far_end.received) >= 50)

What goes over the wire is built in `messages`, what comes in is `far_end`'s; this module runs the call by the clock.
"""

from __future__ import annotations

import math
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING

import trio

from simulator.clips import Echo, total_ticks
from simulator.codecs import FRAMES_PER_S
from simulator.connection import Connection, ConnectionEnded, attend
from simulator.far_end import FarEnd
from simulator.faults import FaultPlan
from simulator.messages import TOKEN_HEADER, MediaFrame, StreamMessages
from simulator.poster import WebhookPoster
from simulator.reconnect import Ending, Outcome, Reconnecting
from simulator.times import timestamp_text
from simulator.webhooks import CallHooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from simulator.options import CallOptions

    Notify = Callable[[str], None]

STOP_TIMEOUT_S = 0.5  # for the stop frame and the close handshake
WEBHOOKS_TIMEOUT_S = 10.0  # for webhooks that are still to be delivered when the call is over
ENDINGS_KEPT = 100


class CallEnded(Exception):
    """The call ended before what was waited for. The text says how."""

    def __init__(self, outcome: Outcome | None) -> None:
        super().__init__(f"{outcome.kind} {outcome.reason}".rstrip() if outcome else "cancelled")
        self.outcome = outcome


class SimulatedCall:
    """A call. `run` it once; everything else may be looked at and called meanwhile and afterwards, from trio."""

    def __init__(self, options: CallOptions, notify: Notify | None = None) -> None:
        self.options = options
        self.identity = options.identity
        # frames_sent, frames_unsent, connections; talk_frames, talk_bytes, marks, clears, errors
        self.counters: Counter[str] = Counter()
        self.endings: list[Ending] = []  # of connections, the last ones
        self.outcome: Outcome | None = None
        self.began_at = math.nan  # trio's clock, when the first start frame was sent
        self.webhooks = WebhookPoster(
            options.webhook_url, options.sign, faults=options.delivery_faults, book=options.deliveries
        )
        self._notify = notify or (lambda text: None)
        self._sent: dict[str, dict[int, bytes]] = {track: {} for track in options.tracks}
        self._numbers = StreamMessages(options.identity, options.codec, shared_chunks=options.shared_chunks)
        self._plan = FaultPlan[MediaFrame](options.faults, Random(options.seed))
        self.far_end = FarEnd(options, self._numbers, self.counters, self.send_raw, self._notify)
        self._connection: Connection | None = None
        self._reading = trio.CancelScope()
        self._over = False  # the stop frame has been sent
        self._begun = trio.Event()
        self._stopping = trio.Event()
        self._changed = trio.Event()
        self._scope = trio.CancelScope()

    # what the caller may do

    @property
    def connected(self) -> bool:
        """Whether frames go out now: the start frame has been sent on an open connection."""
        return self._connection is not None

    @property
    def frames_sent(self) -> dict[str, list[bytes]]:
        """The payloads that were sent, by track, in the order of their chunks, each once."""
        return {track: [sent[chunk] for chunk in sorted(sent)] for track, sent in self._sent.items()}

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on this call holds; looked at whenever something happens. Raises CallEnded."""
        while not condition():
            if self.outcome is not None:
                raise CallEnded(self.outcome)
            await self._changed.wait()

    async def begins(self) -> bool:
        """Wait until the first start frame has been sent; false when the call ends without one."""
        await self.wait_until(lambda: self._begun.is_set() or self.outcome is not None)
        return self._begun.is_set()

    async def send_raw(self, message: str | bytes) -> bool:
        """Send any message, unnumbered; false when there is no connection."""
        connection = self._connection
        if connection is None:
            return False
        try:
            await connection.send(message)
        except ConnectionEnded:
            return False
        return True

    async def send_frame(self, track: str, payload: bytes) -> MediaFrame:
        """Send a media frame now, with the track's next chunk number, past the faults."""
        frame = self._numbers.media(track, payload)
        await self._send_media_frame(frame)
        return frame

    async def send_dtmf(self, digit: str) -> bool:
        """The far party presses a key."""
        return await self.send_raw(self._numbers.dtmf(digit, timestamp_text(datetime.now(UTC))))

    def drop(self) -> None:
        """Break the connection with a TCP reset, as a failing network does."""
        if self._connection:
            self._connection.abort()

    def stop(self) -> None:
        """Hang up: the stop frame, a close, the last webhooks. `run` returns soon, also when the peer hangs."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._scope.deadline = trio.current_time() + STOP_TIMEOUT_S

    async def run(self) -> None:
        """Live the call from call.initiated to call.hangup. Cancelling is safe; it ends the call without stop frame."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.webhooks.run)
                self.outcome = await self._live()
                self._pulse()
                nursery.cancel_scope.deadline = trio.current_time() + WEBHOOKS_TIMEOUT_S
                self.webhooks.close()
        finally:
            self.far_end.close()

    # the call's life

    async def _live(self) -> Outcome:
        hooks, post = CallHooks.of(self.options, datetime.now(UTC)), self.webhooks.post
        post("call.initiated", hooks.initiated())
        post("call.answered", hooks.answered())
        post("streaming.started", hooks.streaming())
        outcome = await self._stream()
        if outcome.kind == "failed":
            post("streaming.failed", hooks.streaming_failed("connection_failed"))
        else:
            post("streaming.stopped", hooks.streaming())
        post("call.hangup", hooks.hangup(datetime.now(UTC), self.counters))
        return outcome

    async def _stream(self) -> Outcome:
        """The media stream over as many connections as it takes."""
        outcome = Outcome("stopped")
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send_tracks)
                nursery.start_soon(self._play)
                outcome = await self._stay_connected()
                nursery.cancel_scope.cancel()
        return outcome

    async def _stay_connected(self) -> Outcome:
        retry = Reconnecting(wanted=self.options.reconnect, for_s=self.options.reconnect_for_s)
        while True:
            ending = await attend(self.options.url, self._headers(), self._serve)
            self.endings = [*self.endings[-ENDINGS_KEPT + 1 :], ending]
            self._pulse()
            if self._stopping.is_set():
                return Outcome("stopped")
            verdict = retry.after(ending, trio.current_time(), begun=self._begun.is_set())
            if isinstance(verdict, Outcome):
                return verdict
            if retry.just_lost:
                self._notify(f"connection lost ({ending.text}), connecting again")
            if await self._stops_by(trio.current_time() + verdict):
                return Outcome("stopped")

    async def _serve(self, connection: Connection) -> None:
        """One connection, from the connected frame on."""
        await connection.send(self._numbers.connected(self.options.token))
        await connection.send(self._numbers.start())
        if self._begun.is_set() and self.options.restart_chunks:
            self._numbers.restart_chunks()  # only now: until the connection is there, ticks use numbers up
        self.counters["connections"] += 1
        self._begin()
        self._connection = connection
        self._pulse()
        try:
            while (message := await self._receive(connection)) is not None:
                await self.far_end.take(message)
                self._pulse()
        finally:
            self._connection = None
            self._plan.flush()

    async def _receive(self, connection: Connection) -> str | bytes | None:
        """The next message; None once the stop frame is sent."""
        with trio.CancelScope() as self._reading:
            return None if self._over else await connection.receive()
        return None

    def _begin(self) -> None:
        if self._begun.is_set():
            self._notify("connected again")
            return
        self.began_at = trio.current_time()
        self.far_end.begin(self.began_at)
        self._begun.set()
        self._notify("started")

    def _headers(self) -> list[tuple[str, str]]:
        token = self.options.token
        return [*self.options.headers.items(), *([(TOKEN_HEADER, token)] if token else [])]

    # Telnyx's end of the audio

    async def _send_tracks(self) -> None:
        """A tick every 20 ms by the clock, late ones at once, so that the pace does not drift."""
        await self._begun.wait()
        tracks = self.options.tracks
        duration_s = math.inf if self.options.duration_s is None else self.options.duration_s
        ticks = total_ticks(tracks.values(), self.options.duration_s) if tracks else None
        tick = 0
        while tracks and tick != ticks and not await self._stops_by(self._due(tick)):
            await self._send_tick(tick)
            tick += 1
        for frame in self._plan.flush():
            await self._send_media_frame(frame)
        await self._stops_by(self.began_at + duration_s if not tracks else self._due(tick))
        self.stop()
        await self.send_raw(self._numbers.stop())
        self._over = True
        self._reading.cancel()

    async def _send_tick(self, tick: int) -> None:
        if any(isinstance(source, Echo) for source in self.options.tracks.values()):
            self.far_end.take_played()
        for track, source in self.options.tracks.items():
            payload = source.frame(tick)
            if self.connected:
                self._plan.offer(tick, self._numbers.media(track, payload))
            else:
                self._numbers.skip(track)
                self.counters["frames_unsent"] += 1
        for frame in self._plan.take(tick):
            await self._send_media_frame(frame)
        self._pulse()

    async def _send_media_frame(self, frame: MediaFrame) -> None:
        if await self.send_raw(frame.text):
            self.counters["frames_sent"] += 1
            if self.options.record:
                self._sent.setdefault(frame.track, {})[frame.chunk] = frame.payload

    async def _play(self) -> None:
        await self._begun.wait()
        await self.far_end.run()

    def _due(self, tick: int) -> float:
        return self.began_at + tick / FRAMES_PER_S / self.options.speed + self._plan.delay_s()

    # waiting

    async def _stops_by(self, deadline: float) -> bool:
        """Wait until a time, or until the call is stopped; whether it is."""
        with trio.move_on_at(deadline):
            await self._stopping.wait()
        return self._stopping.is_set()

    def _pulse(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@asynccontextmanager
async def place(options: CallOptions, notify: Notify | None = None) -> AsyncIterator[SimulatedCall]:
    """Place a call: the block runs once its start frame is sent, and leaving it hangs up and waits for the end.

    Raises CallEnded when the stream can't be opened. What else leaves the block does so in an exception group.
    """
    call = SimulatedCall(options, notify)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call.run)
        if await call.begins():
            try:
                yield call
            finally:
                call.stop()
    if math.isnan(call.began_at):
        raise CallEnded(call.outcome)
