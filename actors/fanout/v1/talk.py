"""The talk of one `patchbay.v1` connection: the floor is requested, frames are sent, the floor is given back.

A connection has one talk at a time; `actors.fanout.v1.talk_state` has its states. Ingest decides who has the floor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.fanout.talk_errors import (
    CLEAR_INTERVAL_S,
    ERROR_INTERVAL_S,
    UNREACHABLE_DETAIL,
)
from actors.fanout.talk_losses import TalkLosses
from actors.fanout.v1.talk_state import Event, Message, State, transition
from patchbay.audio.g711 import alaw_to_ulaw, ulaw_to_alaw
from patchbay.protocol import batches, errors
from patchbay.protocol.lenient_json import Malformed
from patchbay.protocol.v1 import control, frames
from patchbay.websocket.frames import text_frame

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from actors.fanout.calls.subscriber import LiveCall
    from actors.fanout.talk_sender import TalkSender
    from patchbay.auth.session import Session
    from patchbay.net.rate_limit import RateLimit
    from patchbay.protocol.v1.frames import TalkFrame
    from patchbay.websocket.send_queue import SendQueue

ANSWER_TIMEOUT_S: Final = 3.0  # for ingest to say whether the floor is granted
_NEVER: Final = float("-inf")


class V1Talk:
    """The talking side of one connection.

    Args:
        number: of the connection.
        sub: of the connection's token; other clients are told it.
        rate_limit: bytes of G.711.
        find: returns the live call with an id.
        on_state_changed: called when the state for a successor has changed: a talk has begun or ended.

    Attributes:
        call_control_id: of the call of the talk, or of the request for the floor; "" while IDLE.
        call_number: the number of that call, or of the last one, on this connection.
        talk: the number of the talk.
        ignored: number of frames that belonged to no talk, or came out of order.
    """

    def __init__(
        self,
        number: int,
        sub: str,
        send_queue: SendQueue,
        talk_sender: TalkSender,
        fanout_index: int,
        *,
        session: Session,
        rate_limit: RateLimit,
        counters: Counter[str],
        find: Callable[[str], LiveCall | None],
        on_state_changed: Callable[[], None],
    ) -> None:
        self._number = number
        self._sub = sub.encode(errors="replace")
        self._send_queue = send_queue
        self._talk_sender = talk_sender
        self._index = fanout_index
        self._session = session
        self._rate_limit = rate_limit
        self._counters = counters
        self._find = find
        self._on_state_changed = on_state_changed
        self._state = State.IDLE
        self.call_control_id = ""
        self.call_number = 0
        self.talk = 0
        self.ignored = 0
        self._request_id: int | None = None
        self._answer_by = _NEVER  # in REQUESTED
        self._sequence = -1
        self._is_unreachable = False  # an error about that is due
        self._reported_at: dict[int, float] = {}  # by error code
        self._cleared_at = _NEVER
        self._losses = TalkLosses()

    @property
    def is_active(self) -> bool:
        """Return whether the client has the floor, as far as this process knows."""
        return self._state is State.TALKING

    # ---- from the client

    def resume(self, call_control_id: str, call_number: int, talk: int) -> None:
        """Go on with the talk of the connection's previous process."""
        self._state, _ = transition(self._state, Event.RESUMED)
        self.call_control_id, self.call_number, self.talk = call_control_id, call_number, talk

    def start(self, call_control_id: str, call_number: int, request_id: int | None, now: float) -> None:
        """Request the floor of a call; an earlier talk ends."""
        self.stop()
        call = self._find(call_control_id)
        if call is None:
            self._send_error(*errors.NO_LIVE_CALL, "There is no live call to talk to.", request_id, call_number)
            return
        self._state, _ = transition(self._state, Event.START)
        self.call_control_id, self.call_number = call_control_id, call_number
        self._request_id, self._answer_by = request_id, now + ANSWER_TIMEOUT_S
        self._send_talk(call, batches.TALK_CLAIM_PREEMPT if self._session.is_admin else batches.TALK_CLAIM, self._sub)

    def stop(self) -> None:
        """Give the floor back; without a talk, do nothing."""
        call = self._find(self.call_control_id) if self.call_control_id else None
        if call is not None:
            self._send_talk(call, batches.TALK_STOP)
        self._advance(Event.STOP)

    def on_binary(self, message: bytes, now: float) -> None:
        """Send a binary message, up to 20 ms of talk, to the call."""
        try:
            frame = frames.unpack_talk(message)
        except Malformed as error:
            self._counters["talk_malformed"] += 1
            self._report_error(*errors.MALFORMED_TALK, str(error), now)
        else:
            if frame is not None:
                self._on_frame(frame, now)

    def _on_frame(self, frame: TalkFrame, now: float) -> None:
        call = self._find(self.call_control_id) if self.is_active else None
        if call is None or frame.talk != self.talk or frame.sequence <= self._sequence:
            self.ignored += 1
            return
        self._sequence = frame.sequence
        if not self._rate_limit.spend(len(frame.payload), now):
            self._counters["talk_too_fast"] += 1
            self._losses.add_bytes("talk_too_fast", len(frame.payload))
            self._send_losses(now)
            return
        payload = frame.payload
        if frame.codec != call.talk_codec:
            payload = ulaw_to_alaw(payload) if call.talk_codec == "PCMA" else alaw_to_ulaw(payload)
        self._send_talk(call, batches.TALK_PREEMPT if self._session.is_admin else batches.TALK, payload)

    def clear(self, request_id: int | None, now: float) -> None:
        """Have the call discard talk that was not played yet."""
        if now - self._cleared_at >= CLEAR_INTERVAL_S:
            self._cleared_at = now
            self._rate_limit.refill()  # no talk that was sent ahead waits any more
        self._send_command(batches.TALK_CLEAR, b"", request_id)

    def mark(self, name: str, request_id: int | None) -> None:
        """Request a `talk.marked` for when all talk up to now has been played."""
        self._send_command(batches.TALK_MARK, name.encode(errors="replace"), request_id)

    # ---- from ingest, and by the clock

    def on_floor_changed(self, call: LiveCall) -> None:
        """Start or end the talk as the floor of its call is granted to this client, to another one, or to nobody."""
        if call.call_control_id != self.call_control_id:
            return
        if call.talker == self._number:
            self._advance(Event.GRANTED, codec=call.talk_codec)
        else:
            self._advance(Event.FLOOR_LOST, "silent" if call.talker is None else "pre_empted")

    def on_call_ended(self, call: LiveCall) -> None:
        """End the talk, or the request for the floor, when it is of this call, which has no stream any more."""
        if call.call_control_id == self.call_control_id:
            self._advance(Event.CALL_ENDED, "call_gone", "The call has just ended.")

    def on_refused(self, title: str, detail: str) -> None:
        """End the talk, which the ingest does not take; or tell the client that one mark is not taken."""
        if title == "too_many_marks":
            self._send_error(errors.refusal_code(title), title, detail, None, self.call_number)
        else:
            self._advance(Event.REFUSED, title, detail)

    def on_mark(self, name: str) -> None:
        """Tell the client that a mark has been played."""
        self._send(control.message("talk.marked", call=self.call_number, talk=self.talk, name=name))

    def on_dropped(self, title: str, ms: float) -> None:
        """Note that ingest has dropped so much talk; `tick` tells the client."""
        self._losses.add(title, ms)

    def on_unreachable(self) -> None:
        """Note that talk could not be sent to the call's ingest in time."""
        if self._state is not State.REQUESTED:
            self._is_unreachable = self.is_active
        self._advance(Event.UNREACHABLE, "call_unreachable", "The call can't be reached at the moment.")

    def tick(self, now: float) -> None:
        """Stop waiting for the floor after `ANSWER_TIMEOUT_S`, and tell the client of dropped talk."""
        if self._state is State.REQUESTED and now >= self._answer_by:
            self.on_unreachable()
        if self._is_unreachable:
            self._is_unreachable = False
            self._report_error(*errors.CALL_UNREACHABLE, UNREACHABLE_DETAIL, now)
        self._send_losses(now)

    # ---- transitions

    def _advance(self, event: Event, title: str = "", detail: str = "", *, codec: str = "") -> None:
        """Take a transition, and tell the client. `title`: of the error, or the reason why the talk ends."""
        before = self._state
        self._state, message = transition(before, event)
        if message is Message.STARTED:
            self._begin(codec)
        elif message is Message.ENDED:
            reason = title if title in ("silent", "call_gone") else "pre_empted"
            self._send(control.message("talk.ended", call=self.call_number, talk=self.talk, reason=reason))
        elif message is Message.ERROR:
            self._send_error(errors.refusal_code(title), title, detail, self._request_id, self.call_number)
        if self._state is State.IDLE:
            self.call_control_id = ""
            if before is State.TALKING:
                self._on_state_changed()

    def _begin(self, codec: str) -> None:
        self.talk += 1
        self._sequence = -1
        self._on_state_changed()
        fields = {"call_control_id": self.call_control_id, "talk": self.talk, "codec": codec}
        self._send(control.message("talk.started", self._request_id, call=self.call_number, **fields))

    # ---- sending

    def _send_talk(self, call: LiveCall, kind: int, payload: bytes = b"") -> None:
        self._talk_sender.send(call, self, batches.pack_talk(kind, self._index, self._number, call.digest, payload))

    def _send_command(self, kind: int, payload: bytes, request_id: int | None) -> None:
        """Send a command to the call's ingest, in order with the talk."""
        call = self._find(self.call_control_id) if self.is_active else None
        if call is None:
            self._send_error(
                *errors.NOT_TALKING, "There is no talk: ask for the floor first.", request_id, self.call_number
            )
        else:
            self._send_talk(call, kind, payload)

    def _report_error(self, code: int, title: str, detail: str, now: float) -> None:
        """Send an error that no request has caused, at most once in `ERROR_INTERVAL_S`."""
        if now - self._reported_at.get(code, _NEVER) >= ERROR_INTERVAL_S:
            self._reported_at[code] = now
            self._send_error(code, title, detail, None, self.call_number or None)

    def _send_losses(self, now: float) -> None:
        for code, title, detail, ms in self._losses.due(now):
            self._send(control.error(code, title, detail, call=self.call_number, dropped_ms=ms))

    def _send_error(self, code: int, title: str, detail: str, request_id: int | None, call: int | None) -> None:
        self._send(control.error(code, title, detail, call=call, request_id=request_id))

    def _send(self, text: bytes) -> None:
        self._send_queue.write_control(text_frame(text))
