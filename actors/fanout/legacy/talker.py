"""What a browser says: decoded, brought into the call's codec, and sent to the ingest process that carries the call.

Talk that reaches no call is never dropped without a word: the talker gets an error that says why, at most once a
second for each reason.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import trio

from actors.fanout.talk_losses import TalkLosses
from patchbay.audio.float32 import is_plausible
from patchbay.audio.g711 import alaw_to_ulaw, encode_float32, ulaw_to_alaw
from patchbay.protocol import batches, errors, legacy, rtp
from patchbay.protocol.lenient_json import Malformed
from patchbay.protocol.rtp import Depacketizer
from patchbay.websocket.frames import text_frame

if TYPE_CHECKING:
    from actors.fanout.calls.call import Call
    from actors.fanout.calls.registry import Calls
    from actors.fanout.calls.subscriber import Person
    from actors.fanout.legacy.listener import Listener, TalkNote
    from actors.fanout.talk_sender import TalkSender
    from patchbay.auth.session import Session
    from patchbay.net.rate_limit import RateLimit

    Event = legacy.TalkStop | legacy.TalkClear | legacy.TalkMark | legacy.TalkPing | legacy.TalkOther

log = logging.getLogger(__name__)

ERROR_INTERVAL_S: Final = 1.0
CLEAR_INTERVAL_S: Final = 1.0  # no more often than this may a talker run ahead anew
FLOAT_BYTES: Final = 4

FLOAT32_HINT: Final = (
    "Binary talk is Float32 samples, little endian, 8 kHz, in [-1, 1]; send µ-law as text: base64 in `media.payload`."
)


class Talker:
    """The talking side of one connection.

    Args:
        session: what its token grants; None grants all but taking the floor from others.
        rate_limit: bytes of G.711; None: as much as comes.
    """

    __slots__ = ("_calls", "_candidates", "_cleared_at", "_complained", "_fanout_index", "_head", "_losses", "_number", "_rate_limit", "_rest", "_rtp", "_session", "_talk_sender", "_talking_to", "listener")  # fmt: skip

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
        self._talking_to: Call | None = None
        # Of a piece of talk to that call, as long as it may be said (the routine in C says more with it).
        self._head = b""
        self._rtp = Depacketizer()
        self._rest = b""  # of a Float32 sample that was cut in two
        self._complained: dict[int, float] = {}
        self._losses = TalkLosses()
        self._cleared_at = float("-inf")

    @property
    def person(self) -> Person:
        """Who talks."""
        return self.listener

    # ---- from the browser

    def on_text(self, message: bytes) -> None:
        """A text message: base64 of an RTP packet or of bare audio, or something else that is no talk."""
        try:
            said = legacy.decode_talk(message)
        except Malformed as error:
            message.decode()  # not UTF-8: the WebSocket's business
            self._malformed(error)
            return
        if not isinstance(said, bytes):
            self._on_event(said, message)
        elif self._target() is not None:
            self._say_all(self._rtp.take(said))

    def on_binary(self, message: bytes) -> None:
        """A binary message: Float32 samples, little endian, 8 kHz."""
        self._say_all(self._rtp.release())
        samples = self._rest + message if self._rest else message
        whole = len(samples) - len(samples) % FLOAT_BYTES
        self._rest = samples[whole:]
        call = self._target()
        if call is None or not whole:
            return
        if not is_plausible(samples[:whole]):
            self._rest = b""
            self._calls.counters["talk_not_float32"] += 1
            self._complain(*errors.TALK_NOT_FLOAT32, FLOAT32_HINT)
        elif self._may_say(whole // FLOAT_BYTES):
            self._send(call, encode_float32(samples[:whole], call.talk_codec))

    def _on_event(self, said: Event, message: bytes) -> None:
        match said:
            case legacy.TalkStop():
                self.stop()
            case legacy.TalkMark(name):
                self._say_all(self._rtp.release())
                self._ask(batches.TALK_MARK, name.encode(errors="replace"))
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
        """The talker has ended, or gone."""
        self._say_all(self._rtp.release())
        self._leave_call()

    def hand_over(self) -> TalkNote:
        """Say what was held back: a successor goes on with the next message. Returns what it needs for that."""
        self._say_all(self._rtp.release())
        return self._rest, self._rtp.ssrc, self._rtp.bare_bytes

    def resume(self, note: TalkNote) -> None:
        """Go on where a predecessor was."""
        self._rest, self._rtp.ssrc, self._rtp.bare_bytes = note

    # ---- from ingest, and by the clock

    def refused(self, title: str, detail: str) -> None:
        """The ingest does not take this talk."""
        self._complain(errors.refusal_code(title), title, detail)

    def marked(self, name: str, stream_id: str | None) -> None:
        """Telnyx has sent a mark of this talker back."""
        self.listener.write_control(text_frame(legacy.mark_message(name, stream_id)))

    def dropped(self, title: str, ms: float) -> None:
        """So much of the talk was dropped."""
        self._losses.add(title, ms)
        self._tell_losses()

    def not_reached(self) -> None:
        """What was said could not be sent to the call's ingest in time."""
        self._complain(*errors.CALL_UNREACHABLE, "What you say does not reach the call at the moment.")

    def tick(self) -> None:
        """Say what was held back, and tell what was dropped. To be called now and then."""
        if self._rtp.held:
            self._say_all(self._rtp.release())
        self._tell_losses()

    # ---- helpers

    def _target(self) -> Call | None:
        """The one call to talk to; without it, an error goes out and None comes back."""
        if self._session is not None and not self._session.may_talk:
            self._complain(*errors.NOT_ALLOWED, "The token does not grant `talk`.")
            return None
        candidates = self._candidates
        if len(candidates) == 1:
            return next(iter(candidates))
        if candidates:
            self._complain(
                *errors.SEVERAL_LIVE_CALLS,
                f"{len(candidates)} calls are live: say which one to talk to with ?call_control_id=…",
            )
        else:
            self._complain(*errors.NO_LIVE_CALL, "There is no live call to talk to.")
        return None

    def _say_all(self, decided: list[tuple[bytes, bool]]) -> None:
        """Say messages, each a packet or bare audio."""
        for data, is_packet in decided:
            if (call := self._target()) is None:
                return
            try:
                payload, codec = rtp.unpack(data) if is_packet else (data, None)
            except rtp.NotAudio as error:
                self._calls.counters["talk_not_audio"] += 1
                self._complain(*errors.TALK_NOT_AUDIO, f"{error.reason[0].upper()}{error.reason[1:]}.")
            except Malformed as error:
                self._malformed(error)
            else:
                if codec is not None and codec != call.talk_codec:
                    payload = ulaw_to_alaw(payload) if call.talk_codec == "PCMA" else alaw_to_ulaw(payload)
                if payload and self._may_say(len(payload)):
                    self._send(call, payload)

    def _may_say(self, size: int) -> bool:
        """Whether so many bytes of G.711 do not come too fast. If they do, they are dropped."""
        if self._rate_limit is None or self._rate_limit.spend(size, self.listener.peer.last_heard):
            return True
        self._calls.counters["talk_too_fast"] += 1
        self._losses.add_bytes("talk_too_fast", size)
        self._tell_losses()
        return False

    def _send(self, call: Call, payload: bytes) -> None:
        if self._talking_to is not call:
            self._leave_call()
            self._talking_to = call
        kind = batches.TALK_PREEMPT if self._session is not None and self._session.is_admin else batches.TALK
        packed = batches.pack_talk(kind, self._fanout_index, self._number, call.digest, payload)
        self._head = packed[: batches.TALK_BYTES]
        self._talk_sender.say(call, self, packed)

    def _clear(self) -> None:
        self._rtp.held = b""
        now = self.listener.peer.last_heard
        if self._rate_limit is not None and now - self._cleared_at >= CLEAR_INTERVAL_S:
            self._cleared_at = now
            self._rate_limit.refill()  # nothing of what was said ahead waits any more
        self._ask(batches.TALK_CLEAR, b"")

    def _ask(self, kind: int, payload: bytes) -> None:
        """Ask something of the call's ingest that is in order with what was said."""
        if (call := self._target()) is not None:
            self._talk_sender.say(
                call, self, batches.pack_talk(kind, self._fanout_index, self._number, call.digest, payload)
            )

    def _leave_call(self) -> None:
        call, self._talking_to = self._talking_to, None
        self._head = self._rest = b""
        if call is not None:
            self._talk_sender.say(
                call, self, batches.pack_talk(batches.TALK_STOP, self._fanout_index, self._number, call.digest)
            )

    def _malformed(self, error: Malformed) -> None:
        self._calls.counters["talk_malformed"] += 1
        self._complain(*errors.MALFORMED_TALK, str(error))

    @property
    def _about(self) -> dict[str, str]:
        """What every log line says of this talker."""
        call, claims = self._talking_to, self.listener.handed.claims or {}
        return {"call_control_id": call.call_control_id if call else "", "sub": str(claims.get("sub", ""))}

    def _complain(self, code: int, title: str, detail: str) -> None:
        now = trio.current_time()
        if now - self._complained.get(code, float("-inf")) >= ERROR_INTERVAL_S:
            self._complained[code] = now
            log.info("talk not taken: %s: %s", title, detail, extra=self._about)
            self.listener.write_control(text_frame(legacy.error_message(code, title, detail)))

    def _tell_losses(self) -> None:
        for code, title, detail, ms in self._losses.due(trio.current_time()):
            log.warning("%s: %d ms of talk dropped", title, ms, extra=self._about)
            self.listener.write_control(text_frame(legacy.error_message(code, title, detail, dropped_ms=ms)))
