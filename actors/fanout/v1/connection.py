"""One `patchbay.v1` connection: its life, the events that it gets, and its state, which outlives this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.fanout.v1.requests import Requests
from actors.fanout.v1.state import ConnectionState, decode, encode
from actors.fanout.v1.subscription import Subscription
from actors.fanout.v1.subscriptions import Subscriptions
from actors.fanout.v1.talk import V1Talk
from patchbay.auth.rights import PAGE_RIGHTS
from patchbay.auth.tokens import expires_at, sub_of
from patchbay.protocol import batches
from patchbay.protocol.v1 import control, frames
from patchbay.websocket.frames import text_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.fanout.calls.subscriber import LiveCall
    from actors.fanout.v1.context import V1Context
    from patchbay.auth.session import Session
    from patchbay.handover.connection import HandedConnection
    from patchbay.net.rate_limit import RateLimit
    from patchbay.protocol.batches import EndReason
    from patchbay.protocol.v1.control import TrackName
    from patchbay.websocket.connection import WebSocketConnection
    from patchbay.websocket.send_queue import SendQueue

EXPIRING_S: Final = 60.0


class V1Connection:
    """The server's side of one client; the `Client` of its subscriptions, and a `Participant` while it talks.

    Args:
        rate_limit: of talk, in bytes of G.711.
    """

    def __init__(self, peer: WebSocketConnection, session: Session, rate_limit: RateLimit, context: V1Context) -> None:
        self._peer = peer
        self._session = session
        self._context = context
        self._warned_of: float | None = None  # the expiry that the client was warned of
        sub = sub_of(peer.handed.claims)
        self.subscriptions = Subscriptions(
            context.calls, context.peaks, context.state_max_bytes, context.subscriptions, sub
        )
        self.talk = V1Talk(
            peer.handed.id,
            sub,
            peer.send_queue,
            context.talk_sender,
            context.fanout_index,
            session=session,
            rate_limit=rate_limit,
            counters=context.calls.counters,
            find=self._live_call,
            on_state_changed=self.save_state,
        )
        self._requests = Requests(self, session, self.subscriptions, self.talk, context)
        self.on_text = self._requests.on_text
        self.on_binary = self.talk.on_binary

    @property
    def participant(self) -> V1Connection:
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

    def knows_stream(self, stream: int) -> bool:
        """Return whether one of the subscriptions was told of this stream."""
        return any(each.knows_stream(stream) for each in self.subscriptions)

    # ---- events of calls, and of this connection's talk

    def on_floor_changed(self, call: LiveCall) -> None:
        self.talk.on_floor_changed(call)

    def on_stopped(self, call: LiveCall, reason: EndReason) -> None:
        """End the talk, unless the call goes on with its next stream."""
        if reason != "superseded":
            self.talk.on_call_ended(call)

    def on_refused(self, title: str, detail: str) -> None:
        """Handle an ingest's refusal of this connection's talk."""
        self.talk.on_refused(title, detail)

    def on_mark(self, name: str, stream_id: str | None) -> None:
        """Handle a mark of this connection that Telnyx has sent back."""
        del stream_id
        self.talk.on_mark(name)

    def on_dropped(self, title: str, ms: float) -> None:
        """Handle an ingest's message that so much of this connection's talk was dropped."""
        self.talk.on_dropped(title, ms)

    # ---- its life

    def open(self, asked: Sequence[str], tracks: list[TrackName], now: float) -> None:
        """Send `welcome`, and subscribe to the calls that the URL names (`asked`: their ids)."""
        claims = self.handed.claims
        can = [right for right in PAGE_RIGHTS if right != "admin"] if claims is None else list(claims.get("can", ()))
        expiry = None if claims is None else expires_at(claims)
        self.promise_state()
        self.send(control.welcome(self.number, frames.EPOCH, can, expiry))
        self._requests.subscribe_all(asked, tracks, now)
        self.save_state()

    def resume(self, now: float) -> None:
        """Go on from the state that the connection's previous process has left."""
        left = decode(self.handed.state)
        self.subscriptions.last_number = left.last_number
        for each in left.subscriptions:
            self.subscriptions.add(Subscription.from_state(self, each))
        self.talk.talk = left.talks
        if (talked_to := self.subscriptions.by_call(left.talk_call)) is not None:
            self.talk.resume(left.talk_call, talked_to.call_number, left.talks)
        for subscription in self.subscriptions:
            self.subscriptions.activate(subscription, None, now)
            if subscription.stream and self._live_call(subscription.call_control_id) is None:
                subscription.send_stream_ended("gone")

    def close(self) -> None:
        """Unsubscribe from all calls; the talk ends, unless a successor goes on with the connection."""
        if not self.handed.is_transferred:
            self.talk.stop()
        for subscription in self.subscriptions:
            self.subscriptions.remove(subscription)
        self._context.unsaved.pop(self, None)

    def hand_over(self) -> None:
        """Give the connection to a successor, which goes on with the next frame."""
        self.save_state(with_positions=True)
        self._peer.park()

    def tick(self, now: float, wall: float) -> None:
        """Do what is due by the clock. `wall`: seconds since 1970."""
        self.talk.tick(now)
        expiry = expires_at(self.handed.claims)
        left_s = expiry - wall
        if left_s <= EXPIRING_S and self._warned_of != expiry:
            self._warned_of = expiry
            self.send(control.message("token.expiring", in_s=max(0, round(left_s))))

    # ---- its state

    def promise_state(self) -> None:
        """Register the state that is valid as soon as the frame that is written next has been sent."""
        self.handed.set_state_once_written(self._state())

    def mark_unsaved(self) -> None:
        """Have the state saved at the end of this round: it may change again until then."""
        self._context.unsaved[self] = None

    def save_state(self, *, with_positions: bool = False) -> None:
        """Save the state now. `with_positions`: with the positions of the last frames that were delivered."""
        self._context.unsaved.pop(self, None)
        self.handed.set_state(self._state(with_positions=with_positions))

    def send(self, text: bytes) -> None:
        """Send a text message."""
        self._peer.send_queue.write_control(text_frame(text))

    def _state(self, *, with_positions: bool = False) -> bytes:
        talk_call = self.talk.call_control_id if self.talk.is_active else ""
        subscriptions = self.subscriptions.states(with_positions=with_positions)
        return encode(ConnectionState(subscriptions, self.subscriptions.last_number, self.talk.talk, talk_call))

    def _live_call(self, call_control_id: str) -> LiveCall | None:
        return self._context.calls.live.get(batches.digest(call_control_id))
