"""Answers the requests of one `patchbay.v1` client: checks its rights and limits, then subscribes, talks, and so on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from actors.fanout.v1.subscription import Subscription
from actors.fanout.v1.subscriptions import AUDIO_CALLS_MAX
from patchbay.auth.tokens import BadToken
from patchbay.net.rate_limit import RateLimit
from patchbay.protocol import batches, errors, times
from patchbay.protocol.v1 import control

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.fanout.v1.context import V1Context
    from actors.fanout.v1.subscription import Client
    from actors.fanout.v1.subscriptions import Subscriptions
    from actors.fanout.v1.talk import V1Talk
    from patchbay.auth.session import Session

COSTLY: Final = (control.Subscribe, control.TalkStart, control.Token)  # requests that cost other clients something


class Requests:
    """Handles the text messages of one client.

    Args:
        client: the connection, which answers are sent to.
    """

    def __init__(
        self, client: Client, session: Session, subscriptions: Subscriptions, talk: V1Talk, context: V1Context
    ) -> None:
        self._client = client
        self._session = session
        self._subscriptions = subscriptions
        self._talk = talk
        self._context = context
        self._rate_limit = RateLimit(context.requests_per_s, context.requests_burst)

    def on_text(self, message: bytes, now: float) -> None:
        """Handle a request. Raises UnicodeDecodeError for text that is not UTF-8, for the WebSocket to handle."""
        try:
            request = control.decode(message)
        except control.BadRequest as error:
            message.decode()
            self._send_error(errors.MALFORMED_MESSAGE, str(error), error.id)
            return
        if isinstance(request, COSTLY) and not self._rate_limit.spend(1, now):
            self._context.calls.counters["requests_refused"] += 1
            self._send_error(errors.TOO_MANY_REQUESTS, "Too many requests: wait a little.", request.id)
            return
        match request:
            case control.Subscribe():
                self._subscribe(request, now)
            case control.Unsubscribe():
                self._unsubscribe(request.call, now)
            case control.TalkStart():
                self._start_talk(request, now)
            case control.TalkStop():
                if request.call == self._talk.call_number:
                    self._talk.stop()
            case control.TalkClear():
                self._talk.clear(request.id, now)
            case control.TalkMark():
                self._talk.mark(request.name, request.id)
            case control.Playout():
                self._add_playout(request)
            case control.Token():
                self._renew_token(request)
            case None:
                self._context.calls.counters["requests_ignored"] += 1
            case control.Ping():
                self._client.send(control.pong(request, time.time()))

    def subscribe_all(self, call_control_ids: Sequence[str], tracks: list[control.TrackName], now: float) -> None:
        """Subscribe to the calls that the connection's URL names."""
        for call_control_id in call_control_ids:
            self._subscribe(control.Subscribe(call_control_id, tracks), now)

    def _subscribe(self, wanted: control.Subscribe, now: float) -> None:
        call_control_id = wanted.call_control_id
        before = self._subscriptions.by_call(call_control_id)
        if (error := self._subscribe_error(before, wanted)) is not None:
            self._send_error(*error, wanted.id)
            return
        number = self._subscriptions.next_number() if before is None else before.call_number
        new = Subscription(self._client, number, call_control_id, wanted.tracks, peaks=wanted.peaks)
        is_live = batches.digest(call_control_id) in self._context.calls.live
        if before is not None and before.key == new.key:
            self._subscriptions.set_peaks(before, wanted.peaks, now)
            before.send_subscribed(wanted.id, is_live=is_live)
        else:
            self._subscriptions.add(new)
            new.send_subscribed(wanted.id, is_live=is_live)
            self._subscriptions.activate(new, before, now)
        self._client.mark_unsaved()

    def _subscribe_error(
        self, before: Subscription | None, wanted: control.Subscribe
    ) -> tuple[tuple[int, str], str] | None:
        """Return why the client may not subscribe to this; None: it may."""
        calls, call_control_id = self._context.calls, wanted.call_control_id
        adds_audio = bool(wanted.tracks) and (before is None or before.participant is None)
        if not self._is_granted(call_control_id):
            return errors.NOT_ALLOWED, "The token is not for this call."
        if before is None and (refusal := self._subscriptions.refusal(call_control_id)) is not None:
            return errors.TOO_MANY_CALLS, refusal
        if adds_audio and not self._subscriptions.can_add_audio:
            return errors.TOO_MANY_CALLS, f"At most {AUDIO_CALLS_MAX} calls can be heard at once."
        if adds_audio and calls.interest(batches.digest(call_control_id)) >= self._context.listeners_per_call:
            calls.counters["too_many_listeners"] += 1
            return errors.TOO_MANY_LISTENERS, "This call has as many listeners as it may have."
        return None

    def _unsubscribe(self, number: int, now: float) -> None:
        before = self._subscriptions.by_number(number)
        if before is None:
            return
        if before.call_control_id == self._talk.call_control_id:  # the talk needs the call's number
            silent = Subscription(
                self._client, number, before.call_control_id, stream=before.stream, digest=before.digest
            )
            self._subscriptions.add(silent)
            self._subscriptions.activate(silent, before, now)
        else:
            self._subscriptions.remove(before)
        self._client.mark_unsaved()

    def _start_talk(self, request: control.TalkStart, now: float) -> None:
        if not self._session.may_talk or not self._is_granted(request.call_control_id):
            self._send_error(errors.NOT_ALLOWED, "The token does not grant talking into this call.", request.id)
            return
        subscription = self._subscriptions.by_call(request.call_control_id)
        if subscription is None:
            if (refusal := self._subscriptions.refusal(request.call_control_id)) is not None:
                self._send_error(errors.TOO_MANY_CALLS, refusal, request.id)
                return
            number = self._subscriptions.next_number()
            subscription = Subscription(self._client, number, request.call_control_id)
            self._subscriptions.add(subscription)
            self._subscriptions.activate(subscription, None, now)
            self._client.save_state()
        self._talk.start(request.call_control_id, subscription.call_number, request.id, now)

    def _add_playout(self, report: control.Playout) -> None:
        subscription = self._subscriptions.by_number(report.call)
        if subscription is None or subscription.participant is None:
            return
        call = self._context.calls.live.get(batches.digest(subscription.call_control_id))
        encoder = None if call is None else call.encoder(subscription.key)
        subscription.playout = self._context.playout.add(report, encoder, time.monotonic_ns() // 1000)

    def _renew_token(self, request: control.Token) -> None:
        try:
            expiry = self._session.take(request.token, time.time())
        except BadToken as error:
            self._send_error(errors.TOKEN_NOT_ACCEPTED, str(error), request.id)
            return
        expires_at = None if expiry is None else times.utc_seconds(expiry)
        self._client.send(control.message("token.accepted", request.id, expires_at=expires_at))

    def _is_granted(self, call_control_id: str) -> bool:
        return self._session.calls is None or call_control_id in self._session.calls

    def _send_error(self, error: tuple[int, str], detail: str, request_id: int | None) -> None:
        self._client.send(control.error(*error, detail, request_id=request_id))
