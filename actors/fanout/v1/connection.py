"""One connection of `patchbay.v1`: what its client asks for, done. Its state is in its note, so it outlives this process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from actors.fanout.v1.state import Note, decode, encode
from actors.fanout.v1.subscription import Subscription
from actors.fanout.v1.subscriptions import AUDIO_CALLS_MAX, Subscriptions
from actors.fanout.v1.talk import V1Talk
from patchbay.auth.rights import PAGE_RIGHTS
from patchbay.auth.tokens import BadToken, expires_at
from patchbay.net.rate_limit import RateLimit
from patchbay.protocol import batches, errors, times
from patchbay.protocol.v1 import control, frames
from patchbay.websocket.frames import text_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.fanout.calls.call import Call
    from actors.fanout.v1.connections import Surroundings
    from patchbay.auth.session import Session
    from patchbay.handover.connection import HandedConnection
    from patchbay.protocol.batches import EndReason
    from patchbay.protocol.v1.control import TrackName
    from patchbay.websocket.connection import WebSocketConnection
    from patchbay.websocket.send_queue import SendQueue

EXPIRING_S: Final = 60.0
COSTLY: Final = (control.Subscribe, control.TalkStart, control.Token)  # requests that cost others something


class V1Connection:
    """The server's side of one client."""

    def __init__(
        self, peer: WebSocketConnection, session: Session, rate_limit: RateLimit, around: Surroundings
    ) -> None:
        self._peer = peer
        self._session = session
        self._around = around
        self._requests = RateLimit(around.requests_per_s, around.requests_burst)
        self._warned_of: float | None = None  # the expiry that the client was told of
        sub = str((peer.handed.claims or {}).get("sub", ""))
        self.subscriptions = Subscriptions(around.calls, around.peaks, around.note_max_bytes, around.subscriptions, sub)
        self.talk = V1Talk(
            peer.handed.id,
            sub,
            peer.send_queue,
            around.talk_sender,
            around.fanout_index,
            session=session,
            rate_limit=rate_limit,
            counters=around.calls.counters,
            find=self._live_call,
            noted=self.write_note,
        )

    # ---- as its subscriptions and the process see it

    @property
    def person(self) -> V1Connection:
        return self

    @property
    def number(self) -> int:
        return self._peer.handed.id

    @property
    def handed(self) -> HandedConnection:
        return self._peer.handed

    @property
    def send_queue(self) -> SendQueue:
        return self._peer.send_queue

    @property
    def track(self) -> str:
        return ""

    @property
    def may_talk(self) -> bool:
        return self._session.may_talk

    def was_told(self, stream: int) -> bool:
        """Of any of its calls."""
        return any(each.was_told(stream) for each in self.subscriptions)

    def about_to_tell(self) -> None:
        """Note down what a successor must know once the client has been told, which is done next."""
        self.handed.set_note_once_written(self._note())

    def floor_changed(self, call: Call) -> None:
        self.talk.floor_changed(call)

    def call_ended(self, call: Call, reason: EndReason) -> None:
        """A talk goes on in a call's next stream."""
        if reason != "superseded":
            self.talk.call_ended(call)

    def refused(self, title: str, detail: str) -> None:
        """The ingest does not take this connection's talk."""
        self.talk.refused(title, detail)

    def marked(self, name: str, stream_id: str | None) -> None:
        """Telnyx has sent a mark of this connection back."""
        del stream_id
        self.talk.marked(name)

    def dropped(self, title: str, ms: float) -> None:
        """So much of this connection's talk was dropped."""
        self.talk.dropped(title, ms)

    # ---- its life

    def open(self, asked: Sequence[str], tracks: list[TrackName], now: float) -> None:
        """Say welcome, and subscribe to what the URL names."""
        claims = self.handed.claims
        can = [right for right in PAGE_RIGHTS if right != "admin"] if claims is None else list(claims.get("can", ()))
        expiry = None if claims is None else expires_at(claims)
        self.about_to_tell()
        self._say(control.welcome(self.number, frames.EPOCH, can, expiry))
        for call_control_id in asked:
            self._subscribe(control.Subscribe(call_control_id, tracks), now)
        self.write_note()

    def resume(self, now: float) -> None:
        """Go on where a predecessor was."""
        left = decode(self.handed.note)
        self.subscriptions.last_number = left.last_number
        for each in left.subscriptions:
            self.subscriptions.enter(Subscription.resumed(self, each))
        self.talk.talk = left.talks
        if (talked_to := self.subscriptions.call(left.talk_call)) is not None:
            self.talk.resume(left.talk_call, talked_to.call_number, left.talks)
        for subscription in self.subscriptions:
            self.subscriptions.hear(subscription, None, now)
            if subscription.stream and self._live_call(subscription.call_control_id) is None:
                subscription.stream_ended("gone")

    def leave(self) -> None:
        """It has ended, or a successor goes on with it."""
        if not self.handed.is_transferred:
            self.talk.stop()
        for subscription in self.subscriptions:
            self.subscriptions.drop(subscription)
        self._around.unnoted.pop(self, None)

    def hand_over(self) -> None:
        """To a successor, which is to go on with the very next frame."""
        self.write_note(heard=True)
        self._peer.park()

    def tick(self, now: float, wall: float) -> None:
        """What time alone brings. `wall`: seconds since 1970."""
        self.talk.tick(now)
        expiry = expires_at(self.handed.claims)
        left_s = expiry - wall
        if left_s <= EXPIRING_S and self._warned_of != expiry:
            self._warned_of = expiry
            self._say(control.message("token.expiring", in_s=max(0, round(left_s))))

    # ---- from the client

    def on_text(self, message: bytes, now: float) -> None:
        """A request. Raises UnicodeDecodeError for text that is not UTF-8, which is the WebSocket's business."""
        try:
            request = control.decode(message)
        except control.BadRequest as error:
            message.decode()
            self._fail(*errors.MALFORMED_MESSAGE, str(error), error.id)
            return
        if isinstance(request, COSTLY) and not self._requests.spend(1, now):
            self._around.calls.counters["requests_refused"] += 1
            self._fail(*errors.TOO_MANY_REQUESTS, "Too many requests: wait a little.", request.id)
            return
        match request:
            case control.Subscribe():
                self._subscribe(request, now)
            case control.Unsubscribe():
                self._unsubscribe(request.call, now)
            case control.TalkStart():
                self._start_talk(request, now)
            case control.TalkStop():
                if request.call == self.talk.call_number:
                    self.talk.stop()
            case control.TalkClear():
                self.talk.clear(request.id, now)
            case control.TalkMark():
                self.talk.mark(request.name, request.id)
            case control.Playout():
                self._playout(request)
            case control.Token():
                self._renew(request)
            case None:
                self._around.calls.counters["requests_ignored"] += 1
            case control.Ping():
                self._say(control.pong(request, time.time()))

    def on_binary(self, message: bytes, now: float) -> None:
        """Talk."""
        self.talk.take(message, now)

    def _subscribe(self, wanted: control.Subscribe, now: float) -> None:
        call_control_id = wanted.call_control_id
        before = self.subscriptions.call(call_control_id)
        if not self._may_subscribe(before, wanted):
            return
        number = self.subscriptions.next_number() if before is None else before.call_number
        new = Subscription(self, number, call_control_id, wanted.tracks, peaks=wanted.peaks)
        is_live = self._live_call(call_control_id) is not None
        if before is not None and before.key == new.key:
            self.subscriptions.set_peaks(before, wanted.peaks, now)
            before.say_subscribed(wanted.id, is_live=is_live)
        else:
            self.subscriptions.enter(new)
            new.say_subscribed(wanted.id, is_live=is_live)
            self.subscriptions.hear(new, before, now)
        self._set_note()

    def _may_subscribe(self, before: Subscription | None, wanted: control.Subscribe) -> bool:
        calls = self._around.calls
        is_another = bool(wanted.tracks) and (before is None or before.person is None)
        if not self._is_granted(wanted.call_control_id):
            self._fail(*errors.NOT_ALLOWED, "The token is not for this call.", wanted.id)
        elif before is None and (full := self.subscriptions.fullness(wanted.call_control_id)) is not None:
            self._fail(*errors.TOO_MANY_CALLS, full, wanted.id)
        elif is_another and not self.subscriptions.has_ears:
            self._fail(*errors.TOO_MANY_CALLS, f"At most {AUDIO_CALLS_MAX} calls can be heard at once.", wanted.id)
        elif is_another and calls.interest(batches.digest(wanted.call_control_id)) >= self._around.listeners_per_call:
            calls.counters["too_many_listeners"] += 1
            self._fail(*errors.TOO_MANY_LISTENERS, "This call has as many listeners as it may have.", wanted.id)
        else:
            return True
        return False

    def _unsubscribe(self, number: int, now: float) -> None:
        before = self.subscriptions.number(number)
        if before is None:
            return
        if before.call_control_id == self.talk.call_control_id:  # its number is needed
            silent = Subscription(self, number, before.call_control_id, stream=before.stream, digest=before.digest)
            self.subscriptions.enter(silent)
            self.subscriptions.hear(silent, before, now)
        else:
            self.subscriptions.drop(before)
        self._set_note()

    def _start_talk(self, request: control.TalkStart, now: float) -> None:
        if not self._session.may_talk or not self._is_granted(request.call_control_id):
            self._fail(*errors.NOT_ALLOWED, "The token does not grant talking into this call.", request.id)
            return
        subscription = self.subscriptions.call(request.call_control_id)
        if subscription is None:
            if (full := self.subscriptions.fullness(request.call_control_id)) is not None:
                self._fail(*errors.TOO_MANY_CALLS, full, request.id)
                return
            number = self.subscriptions.next_number()
            subscription = Subscription(self, number, request.call_control_id)
            self.subscriptions.enter(subscription)
            self.subscriptions.hear(subscription, None, now)
            self.write_note()
        self.talk.start(request.call_control_id, subscription.call_number, request.id, now)

    def _playout(self, report: control.Playout) -> None:
        subscription = self.subscriptions.number(report.call)
        if subscription is None or subscription.person is None:
            return
        call = self._live_call(subscription.call_control_id)
        encoder = None if call is None else call.encoder(subscription.key)
        subscription.playout = self._around.meter.take(report, encoder, time.monotonic_ns() // 1000)

    def _renew(self, request: control.Token) -> None:
        try:
            expiry = self._session.take(request.token, time.time())
        except BadToken as error:
            self._fail(*errors.TOKEN_NOT_ACCEPTED, str(error), request.id)
            return
        told = None if expiry is None else times.utc_seconds(expiry)
        self._say(control.message("token.accepted", request.id, expires_at=told))

    # ---- helpers

    def _is_granted(self, call_control_id: str) -> bool:
        return self._session.calls is None or call_control_id in self._session.calls

    def _live_call(self, call_control_id: str) -> Call | None:
        return self._around.calls.live.get(batches.digest(call_control_id))

    def _set_note(self) -> None:
        """Note down what a successor must know, with the end of the round: it may change again until then."""
        self._around.unnoted[self] = None

    def write_note(self, *, heard: bool = False) -> None:
        """Do so now."""
        self._around.unnoted.pop(self, None)
        self.handed.set_note(self._note(heard=heard))

    def _note(self, *, heard: bool = False) -> bytes:
        talk_call = self.talk.call_control_id if self.talk.is_active else ""
        subscriptions = self.subscriptions.notes(heard=heard)
        return encode(Note(subscriptions, self.subscriptions.last_number, self.talk.talk, talk_call))

    def _fail(self, code: int, title: str, detail: str, request_id: int | None = None) -> None:
        self._say(control.error(code, title, detail, request_id=request_id))

    def _say(self, text: bytes) -> None:
        self._peer.send_queue.write_control(text_frame(text))
