"""The talking side of one legacy connection: talk is decoded, brought into the call's codec, and sent to the call's
ingest.

A talker whose talk reaches no call gets an error with the reason, at most once a second for each reason.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import trio

from actors.fanout.talk_errors import (
    CLEAR_INTERVAL_S,
    ERROR_INTERVAL_S,
    UNREACHABLE_DETAIL,
)
from actors.fanout.talk_losses import TalkLosses
from patchbay.audio.float32 import is_plausible
from patchbay.audio.g711 import alaw_to_ulaw, encode_float32, ulaw_to_alaw
from patchbay.auth.tokens import sub_of
from patchbay.protocol import batches, errors, legacy, rtp
from patchbay.protocol.lenient_json import Malformed
from patchbay.protocol.rtp import Depacketizer
from patchbay.websocket.frames import text_frame

if TYPE_CHECKING:
    from actors.fanout.calls.registry import Calls
    from actors.fanout.calls.subscriber import LiveCall, Participant
    from actors.fanout.legacy.listener import Listener, TalkState
    from actors.fanout.talk_sender import TalkSender
    from patchbay.auth.session import Session
    from patchbay.net.rate_limit import RateLimit

    Event = legacy.TalkStop | legacy.TalkClear | legacy.TalkMark | legacy.TalkPing | legacy.TalkOther

log = logging.getLogger(__name__)

FLOAT_BYTES: Final = 4

FLOAT32_HINT: Final = (
    "Binary talk is Float32 samples, little endian, 8 kHz, in [-1, 1]; send µ-law as text: base64 in `media.payload`."
)


class Talker:
    """Sends one client's talk to the call that the client listens to.

    Args:
        session: the rights of its token; None grants all but taking the floor from others.
        rate_limit: bytes of G.711; None: no limit.
    """

    __slots__ = ("_calls", "_candidates", "_cleared_at", "_fanout_index", "_head", "_losses", "_number", "_rate_limit", "_reported_at", "_rest", "_rtp", "_session", "_talk_sender", "_talking_to", "listener")  # fmt: skip

    def __init__(
        self,
        listener: Listener,
        calls: Calls,
        talk_sender: TalkSender,
        fanout_index: int,
        *,
        session: Session | None = None,
        rate_limit: RateLimit | None = None,
    ) -> None:
        self.listener = listener
        self._calls = calls
        self._talk_sender = talk_sender
        self._fanout_index = fanout_index
        self._number = listener.number
        self._session = session
        self._rate_limit = rate_limit
        self._candidates = listener.candidates if listener.names_calls else calls.live.values()
        self._talking_to: LiveCall | None = None
        # The header of talk to that call while the client has the right to talk; the routine in C sends more talk with
        # it.
        self._head = b""
        self._rtp = Depacketizer()
        self._rest = b""  # bytes of a Float32 sample that was cut in two
        self._reported_at: dict[int, float] = {}  # by error code
        self._losses = TalkLosses()
        self._cleared_at = float("-inf")

    @property
    def participant(self) -> Participant:
        """Return the connection, for the journal."""
        return self.listener

    # ---- from the browser

    def on_text(self, message: bytes) -> None:
        """Handle a text message: base64 of an RTP packet or of bare audio, or another event.

        Raises UnicodeDecodeError for text that is not UTF-8, for the WebSocket to handle.
        """
        try:
            talk = legacy.decode_talk(message)
        except Malformed as error:
            message.decode()
            self._malformed(error)
            return
        if not isinstance(talk, bytes):
            self._on_event(talk, message)
        elif self._target() is not None:
            self._send_all(self._rtp.take(talk))

    def on_binary(self, message: bytes) -> None:
        """Handle a binary message: Float32 samples, little endian, 8 kHz."""
        self._send_all(self._rtp.release())
        samples = self._rest + message if self._rest else message
        whole = len(samples) - len(samples) % FLOAT_BYTES
        self._rest = samples[whole:]
        call = self._target()
        if call is None or not whole:
            return
        if not is_plausible(samples[:whole]):
            self._rest = b""
            self._calls.counters["talk_not_float32"] += 1
            self._report_error(*errors.TALK_NOT_FLOAT32, FLOAT32_HINT)
        elif self._is_within_rate(whole // FLOAT_BYTES):
            self._send(call, encode_float32(samples[:whole], call.talk_codec))

    def _on_event(self, event: Event, message: bytes) -> None:
        match event:
            case legacy.TalkStop():
                self.stop()
            case legacy.TalkMark(name):
                self._send_all(self._rtp.release())
                self._send_command(batches.TALK_MARK, name.encode(errors="replace"))
            case legacy.TalkClear():
                self._clear()
            case legacy.TalkPing(answer):
                if not self.listener.peer.send_queue.behind:
                    self.listener.write_control(text_frame(answer))
            case legacy.TalkOther("auth") if self._session is not None:
                self._head = b""
                self.listener.write_control(text_frame(self._session.renew(message, time.time())))
            case legacy.TalkOther():
                self._calls.counters["talk_events_ignored"] += 1

    def stop(self) -> None:
        """Send talk that was held back, and give the floor back."""
        self._send_all(self._rtp.release())
        self._leave_call()

    def hand_over(self) -> TalkState:
        """Send talk that was held back. Returns the state with which a successor goes on with the next message."""
        self._send_all(self._rtp.release())
        return self._rest, self._rtp.ssrc, self._rtp.bare_bytes

    def resume(self, state: TalkState) -> None:
        """Go on from the state that a predecessor has left."""
        self._rest, self._rtp.ssrc, self._rtp.bare_bytes = state

    # ---- from ingest, and by the clock

    def on_refused(self, title: str, detail: str) -> None:
        """Send an error: the ingest does not take this talk."""
        self._report_error(errors.refusal_code(title), title, detail)

    def on_mark(self, name: str, stream_id: str | None) -> None:
        """Send a mark of this talker that Telnyx has sent back: all talk before it has been played."""
        self.listener.write_control(text_frame(legacy.mark_message(name, stream_id)))

    def on_dropped(self, title: str, ms: float) -> None:
        """Send an error: ingest has dropped so much talk."""
        self._losses.add(title, ms)
        self._send_losses()

    def on_unreachable(self) -> None:
        """Send an error: talk could not be sent to the call's ingest in time."""
        self._report_error(*errors.CALL_UNREACHABLE, UNREACHABLE_DETAIL)

    def tick(self) -> None:
        """Send talk that was held back, and errors about dropped talk. To be called every second."""
        if self._rtp.held:
            self._send_all(self._rtp.release())
        self._send_losses()

    # ---- helpers

    def _target(self) -> LiveCall | None:
        """Return the one call to talk to; None, after an error was sent: there is none, or no right to talk."""
        if self._session is not None and not self._session.may_talk:
            self._report_error(*errors.NOT_ALLOWED, "The token does not grant `talk`.")
            return None
        candidates = self._candidates
        if len(candidates) == 1:
            return next(iter(candidates))
        if candidates:
            self._report_error(
                *errors.SEVERAL_LIVE_CALLS,
                f"{len(candidates)} calls are live: say which one to talk to with ?call_control_id=…",
            )
        else:
            self._report_error(*errors.NO_LIVE_CALL, "There is no live call to talk to.")
        return None

    def _send_all(self, talk: list[tuple[bytes, bool]]) -> None:
        """Send talk, each item an RTP packet (True) or bare audio."""
        for data, is_packet in talk:
            if (call := self._target()) is None:
                return
            try:
                payload, codec = rtp.unpack(data) if is_packet else (data, None)
            except rtp.NotAudio as error:
                self._calls.counters["talk_not_audio"] += 1
                self._report_error(*errors.TALK_NOT_AUDIO, f"{error.reason[0].upper()}{error.reason[1:]}.")
            except Malformed as error:
                self._malformed(error)
            else:
                if codec is not None and codec != call.talk_codec:
                    payload = ulaw_to_alaw(payload) if call.talk_codec == "PCMA" else alaw_to_ulaw(payload)
                if payload and self._is_within_rate(len(payload)):
                    self._send(call, payload)

    def _is_within_rate(self, size: int) -> bool:
        """Return whether so many bytes of G.711 are within the rate limit; else their loss is counted and reported."""
        if self._rate_limit is None or self._rate_limit.spend(size, self.listener.peer.last_heard):
            return True
        self._calls.counters["talk_too_fast"] += 1
        self._losses.add_bytes("talk_too_fast", size)
        self._send_losses()
        return False

    def _send(self, call: LiveCall, payload: bytes) -> None:
        if self._talking_to is not call:
            self._leave_call()
            self._talking_to = call
        kind = batches.TALK_PREEMPT if self._session is not None and self._session.is_admin else batches.TALK
        packed = batches.pack_talk(kind, self._fanout_index, self._number, call.digest, payload)
        self._head = packed[: batches.TALK_BYTES]
        self._talk_sender.send(call, self, packed)

    def _clear(self) -> None:
        self._rtp.held = b""
        now = self.listener.peer.last_heard
        if self._rate_limit is not None and now - self._cleared_at >= CLEAR_INTERVAL_S:
            self._cleared_at = now
            self._rate_limit.refill()  # no talk that was sent ahead waits any more
        self._send_command(batches.TALK_CLEAR, b"")

    def _send_command(self, kind: int, payload: bytes) -> None:
        """Send a command to the call's ingest, in order with the talk."""
        if (call := self._target()) is not None:
            self._talk_sender.send(
                call, self, batches.pack_talk(kind, self._fanout_index, self._number, call.digest, payload)
            )

    def _leave_call(self) -> None:
        call, self._talking_to = self._talking_to, None
        self._head = self._rest = b""
        if call is not None:
            self._talk_sender.send(
                call, self, batches.pack_talk(batches.TALK_STOP, self._fanout_index, self._number, call.digest)
            )

    def _malformed(self, error: Malformed) -> None:
        self._calls.counters["talk_malformed"] += 1
        self._report_error(*errors.MALFORMED_TALK, str(error))

    @property
    def _log_fields(self) -> dict[str, str]:
        """Return the fields of every log line about this talker."""
        call = self._talking_to
        return {"call_control_id": call.call_control_id if call else "", "sub": sub_of(self.listener.handed.claims)}

    def _report_error(self, code: int, title: str, detail: str) -> None:
        now = trio.current_time()
        if now - self._reported_at.get(code, float("-inf")) >= ERROR_INTERVAL_S:
            self._reported_at[code] = now
            log.info("talk not taken: %s: %s", title, detail, extra=self._log_fields)
            self.listener.write_control(text_frame(legacy.error_message(code, title, detail)))

    def _send_losses(self) -> None:
        for code, title, detail, ms in self._losses.due(trio.current_time()):
            log.warning("%s: %d ms of talk dropped", title, ms, extra=self._log_fields)
            self.listener.write_control(text_frame(legacy.error_message(code, title, detail, dropped_ms=ms)))
