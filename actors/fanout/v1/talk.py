"""What a `patchbay.v1` client says into a call: the floor is asked for, then come frames, then the floor is given back.

One talk at a time on a connection. What the client is told comes of what ingest says of the floor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.fanout.legacy.talker import CLEAR_INTERVAL_S
from actors.fanout.talk_losses import TalkLosses
from patchbay.audio.g711 import alaw_to_ulaw, ulaw_to_alaw
from patchbay.protocol import batches, errors
from patchbay.protocol.lenient_json import Malformed
from patchbay.protocol.v1 import control, frames
from patchbay.websocket.frames import text_frame

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from actors.fanout.calls.call import Call
    from actors.fanout.talk_sender import TalkSender
    from patchbay.auth.session import Session
    from patchbay.net.rate_limit import RateLimit
    from patchbay.protocol.v1.frames import TalkFrame
    from patchbay.websocket.send_queue import SendQueue

ANSWER_TIMEOUT_S: Final = 3.0  # for ingest to say whether the floor is given
COMPLAINT_INTERVAL_S: Final = 1.0
_NEVER: Final = float("-inf")


class V1Talk:
    """The talking side of one connection.

    Args:
        number: the connection's.
        sub: whose token it is; others are told who talks.
        find: the live call of an id.
        noted: called when what a successor must know has changed.

    Attributes:
        call_control_id: of the call that is being talked into, or that was asked for; "" for none.
        talk: the number of the talk.
        ignored: frames that belong to no talk, or came out of order.
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
        find: Callable[[str], Call | None],
        noted: Callable[[], None],
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
        self._noted = noted
        self.call_control_id = ""
        self.call_number = 0
        self.talk = 0
        self.ignored = 0
        self._request_id: int | None = None
        self._answer_by: float | None = None  # while the floor is asked for
        self._sequence = -1
        self._is_unreached = False
        self._complained: dict[int, float] = {}
        self._cleared_at = _NEVER
        self._losses = TalkLosses()

    @property
    def is_active(self) -> bool:
        """Whether the floor is this client's, as far as we know."""
        return bool(self.call_control_id) and self._answer_by is None

    def resume(self, call_control_id: str, call_number: int, talk: int) -> None:
        """A predecessor was here."""
        self.call_control_id, self.call_number, self.talk = call_control_id, call_number, talk

    def start(self, call_control_id: str, call_number: int, request_id: int | None, now: float) -> None:
        """Ask for the floor of a call; an earlier talk is over."""
        self.stop()
        call = self._find(call_control_id)
        if call is None:
            self._fail(*errors.NO_LIVE_CALL, "There is no live call to talk to.", request_id, call_number)
            return
        self.call_control_id, self.call_number = call_control_id, call_number
        self._request_id, self._answer_by = request_id, now + ANSWER_TIMEOUT_S
        self._tell(call, batches.TALK_CLAIM_PREEMPT if self._session.is_admin else batches.TALK_CLAIM, self._sub)

    def stop(self) -> None:
        """Nothing more is said."""
        call = self._find(self.call_control_id) if self.call_control_id else None
        if call is not None:
            self._tell(call, batches.TALK_STOP)
        self._forget()

    def take(self, message: bytes, now: float) -> None:
        """Take a binary message: 20 ms of talk."""
        try:
            frame = frames.unpack_talk(message)
        except Malformed as error:
            self._counters["talk_malformed"] += 1
            self._complain(*errors.MALFORMED_TALK, str(error), now)
        else:
            if frame is not None:
                self._take(frame, now)

    def _take(self, frame: TalkFrame, now: float) -> None:
        call = self._find(self.call_control_id) if self.is_active else None
        if call is None or frame.talk != self.talk or frame.sequence <= self._sequence:
            self.ignored += 1
            return
        self._sequence = frame.sequence
        if not self._rate_limit.spend(len(frame.payload), now):
            self._counters["talk_too_fast"] += 1
            self._losses.add_bytes("talk_too_fast", len(frame.payload))
            self._tell_losses(now)
            return
        payload = frame.payload
        if frame.codec != call.talk_codec:
            payload = ulaw_to_alaw(payload) if call.talk_codec == "PCMA" else alaw_to_ulaw(payload)
        self._tell(call, batches.TALK_PREEMPT if self._session.is_admin else batches.TALK, payload)

    def clear(self, request_id: int | None, now: float) -> None:
        """Play nothing more of what was said."""
        if now - self._cleared_at >= CLEAR_INTERVAL_S:
            self._cleared_at = now
            self._rate_limit.refill()  # nothing of what was said ahead waits any more
        self._ask(batches.TALK_CLEAR, b"", request_id)

    def mark(self, name: str, request_id: int | None) -> None:
        """Tell the client when all that it has said so far has been played."""
        self._ask(batches.TALK_MARK, name.encode(errors="replace"), request_id)

    def floor_changed(self, call: Call) -> None:
        """Somebody else may talk into a call now, or nobody."""
        if call.call_control_id != self.call_control_id:
            return
        if call.talker == self._number:
            if self._answer_by is not None:
                self._started(call)
        elif self._answer_by is None:
            self._end("silent" if call.talker is None else "pre_empted")

    def call_ended(self, call: Call) -> None:
        """It has no stream any more."""
        if call.call_control_id == self.call_control_id:
            self._lose("call_gone", "The call has just ended.")

    def refused(self, title: str, detail: str) -> None:
        """The ingest does not take this talk; or one mark of it."""
        if title == "too_many_marks":
            self._fail(errors.refusal_code(title), title, detail, None, self.call_number)
        else:
            self._lose(title, detail)

    def marked(self, name: str) -> None:
        """Telnyx has sent a mark of this client back."""
        self._say(control.message("talk.marked", call=self.call_number, talk=self.talk, name=name))

    def dropped(self, title: str, ms: float) -> None:
        """So much of the talk was dropped."""
        self._losses.add(title, ms)

    def not_reached(self) -> None:
        """What was said could not be sent to the call's ingest in time."""
        if self._answer_by is not None:
            self._lose("call_unreachable", "The call can't be reached at the moment.")
        else:
            self._is_unreached = self.is_active

    def tick(self, now: float) -> None:
        """Wait no longer for the floor when there is no answer; tell what was dropped."""
        if self._answer_by is not None and now >= self._answer_by:
            self.not_reached()
        if self._is_unreached:
            self._is_unreached = False
            self._complain(*errors.CALL_UNREACHABLE, "What you say does not reach the call at the moment.", now)
        self._tell_losses(now)

    def _started(self, call: Call) -> None:
        self.talk += 1
        self._sequence = -1
        self._answer_by = None
        self._noted()
        self._say(
            control.message(
                "talk.started",
                self._request_id,
                call=self.call_number,
                call_control_id=call.call_control_id,
                talk=self.talk,
                codec=call.talk_codec,
            )
        )

    def _lose(self, title: str, detail: str) -> None:
        if self._answer_by is not None:
            number, request_id = self.call_number, self._request_id
            self._forget()
            self._fail(errors.refusal_code(title), title, detail, request_id, number)
        elif self.call_control_id:
            self._end("call_gone" if title == "call_gone" else "pre_empted")

    def _end(self, reason: str) -> None:
        self._say(control.message("talk.ended", call=self.call_number, talk=self.talk, reason=reason))
        self._forget()

    def _forget(self) -> None:
        was = self.is_active
        self.call_control_id, self._answer_by = "", None
        if was:
            self._noted()

    def _tell(self, call: Call, kind: int, payload: bytes = b"") -> None:
        self._talk_sender.say(call, self, batches.pack_talk(kind, self._index, self._number, call.digest, payload))

    def _ask(self, kind: int, payload: bytes, request_id: int | None) -> None:
        """Ask something of the call's ingest that is in order with what was said."""
        call = self._find(self.call_control_id) if self.is_active else None
        if call is None:
            self._fail(*errors.NOT_TALKING, "There is no talk: ask for the floor first.", request_id, self.call_number)
        else:
            self._tell(call, kind, payload)

    def _complain(self, code: int, title: str, detail: str, now: float) -> None:
        if now - self._complained.get(code, _NEVER) >= COMPLAINT_INTERVAL_S:
            self._complained[code] = now
            self._fail(code, title, detail, None, self.call_number or None)

    def _tell_losses(self, now: float) -> None:
        for code, title, detail, ms in self._losses.due(now):
            self._say(control.error(code, title, detail, call=self.call_number, dropped_ms=ms))

    def _fail(self, code: int, title: str, detail: str, request_id: int | None, call: int | None) -> None:
        self._say(control.error(code, title, detail, call=call, request_id=request_id))

    def _say(self, text: bytes) -> None:
        self._send_queue.write_control(text_frame(text))
