"""The queue of frames for the decoder process: turns, bounds, and frames in flight when that process ends. Pure.

`actors.fanout.decoder.client` carries the messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.fanout.decoder.messages import (
    DECODED,
    FAILED,
    REQUEST_BYTES_MAX,
    REQUEST_FRAMES_MAX,
    BadMessage,
    Request,
    pack_request,
    read_answers,
)
from actors.fanout.decoder.stream import STRIKES_MAX
from patchbay.audio.transcode import PAYLOAD_MAX_BYTES
from patchbay.protocol.batches import TRACKS

if TYPE_CHECKING:
    from actors.fanout.decoder.stream import Decoding, Frame

WAIT_MAX_S: Final = 3.0  # of a frame; much longer than a decoder takes to start
STREAM_FRAMES_MAX: Final = 400  # of both tracks: more than come in that time
STREAM_BYTES_MAX: Final = 512 * 1024
FRAMES_MAX: Final = 20_000  # in all
BYTES_MAX: Final = 16 * 1024 * 1024


class DecodingQueue:
    """Holds the frames of all streams that are being decoded, and knows which of them the decoder process has.

    Attributes:
        changed: streams that have finished frames, or have failed.
        is_off: there is no decoder process, and will not be for a while: frames become silence at once.
        frames, bytes: that wait, in all.
    """

    def __init__(self) -> None:
        self.changed: dict[Decoding, None] = {}
        self.is_off = False
        self.frames = self.bytes = 0
        self._turns: dict[Decoding, None] = {}  # streams with frames that wait to be sent; the first is next
        self._waiting: dict[Decoding, int] = {}  # number of frames of each stream that are not decoded yet
        self._sent: dict[int, Frame] = {}  # to the decoder process, by serial, in this order
        self._serial = self._number = 0

    def next_number(self) -> int:
        """Return a number that names a stream in messages to the decoder process."""
        self._number += 1
        return self._number

    @property
    def is_waiting(self) -> bool:
        """Return whether frames wait to be sent."""
        return bool(self._turns)

    @property
    def asked(self) -> int:
        """Return the serial of the next frame that the decoder process is to answer; 0: it has answered all."""
        return next(iter(self._sent), 0)

    def add(self, frame: Frame) -> None:
        """Add a frame, behind the others of its stream."""
        decoding, size = frame.decoding, len(frame.entry.payload)
        waiting = self._waiting[decoding] = self._waiting.get(decoding, 0) + 1
        self.frames += 1
        self.bytes += size
        decoding.bytes += size
        decoding.waiting.append(frame)
        self._turns.setdefault(decoding)
        if self.is_off or decoding.is_silent or size > PAYLOAD_MAX_BYTES:
            self._silence(frame)
        elif (
            waiting > STREAM_FRAMES_MAX
            or decoding.bytes > STREAM_BYTES_MAX
            or self.frames > FRAMES_MAX
            or self.bytes > BYTES_MAX
        ):
            self.silence_stream(decoding)

    def next_request(self) -> bytes:
        """Return the next message to the decoder process; empty when no frame waits, or the last message is not
        answered."""
        if self._sent:
            return b""
        parts: list[bytes] = []
        size = 0
        while self._turns and len(parts) < REQUEST_FRAMES_MAX:
            decoding = next(iter(self._turns))
            frame = decoding.waiting[0]
            if not frame.ulaw:
                size += len(frame.entry.payload)
                if parts and size > REQUEST_BYTES_MAX:
                    break
                self._serial += 1
                frame.serial = self._serial
                self._sent[frame.serial] = frame
                track = decoding.number * len(TRACKS) + frame.entry.track
                parts.append(
                    pack_request(Request(frame.serial, track, frame.came, decoding.media_format, frame.entry.payload))
                )
            decoding.waiting.popleft()
            del self._turns[decoding]
            if decoding.waiting:
                self._turns[decoding] = None
        return b"".join(parts)

    def receive(self, answer: bytes) -> None:
        """Finish the frames that a message from the decoder process answers.

        Raises:
            BadMessage: the message can't be read, or answers a frame that was not sent.
        """
        for serial, outcome, data in read_answers(answer):
            frame = self._sent.pop(serial, None)
            if frame is None:
                raise BadMessage(f"an answer to {serial}")
            if frame.ulaw:
                continue  # it has become silence meanwhile
            if outcome == FAILED:
                self._fail(frame.decoding, data.decode(errors="replace"))
            else:
                self._finish(frame, data)
                if outcome != DECODED:
                    frame.decoding.on_undecodable()

    def on_exit(self, serial: int) -> Decoding | None:
        """Silence the frame that has ended the decoder process, and send the others of its message to the next process.

        Args:
            serial: of the frame that was being decoded; 0: none was.

        Returns:
            The stream of that frame; None: no frame has ended the process.
        """
        sent, self._sent = self._sent, {}
        culprit = sent.pop(serial, None)
        for frame in reversed(sent.values()):
            if not frame.ulaw:
                frame.decoding.waiting.appendleft(frame)
                self._turns.setdefault(frame.decoding)
        if culprit is None:
            return None
        decoding = culprit.decoding
        decoding.strikes += 1
        if not culprit.ulaw:
            self._silence(culprit)
        if decoding.strikes >= STRIKES_MAX:
            decoding.is_silent = True
            self.silence_stream(decoding)
        return decoding

    def expire(self, now: float) -> None:
        """Silence frames that have waited for `WAIT_MAX_S`."""
        for decoding in list(self._waiting):
            for frame in decoding.unfinished():
                if now - frame.since < WAIT_MAX_S:
                    break
                self._silence(frame)

    def silence_stream(self, decoding: Decoding) -> None:
        """Silence all frames of a stream that are not decoded yet."""
        for frame in decoding.unfinished():
            self._silence(frame)

    def turn_off(self) -> None:
        """Silence all frames: there is no decoder process, and will not be for a while."""
        self.is_off = True
        for decoding in list(self._waiting):
            self.silence_stream(decoding)

    def on_changed(self, decoding: Decoding) -> None:
        """Note that a stream has finished frames, or has failed."""
        self.changed[decoding] = None

    def discard(self, decoding: Decoding) -> None:
        """Finish all frames of a stream whose audio nobody needs any more."""
        for frame in decoding.unfinished():
            self._finish(frame, decoding.silence(frame.entry.track))
        self.changed.pop(decoding, None)

    def _fail(self, decoding: Decoding, reason: str) -> None:
        decoding.failure, decoding.is_silent = reason, True
        self.silence_stream(decoding)

    def _silence(self, frame: Frame) -> None:
        decoding = frame.decoding
        self._finish(frame, decoding.silence(frame.entry.track))
        if not decoding.failure:
            decoding.on_undecodable()

    def _finish(self, frame: Frame, ulaw: bytes) -> None:
        decoding, size = frame.decoding, len(frame.entry.payload)
        frame.ulaw = ulaw
        self.frames -= 1
        self.bytes -= size
        decoding.bytes -= size
        self._waiting[decoding] -= 1
        if not self._waiting[decoding]:
            del self._waiting[decoding]
            decoding.waiting.clear()
            self._turns.pop(decoding, None)
        self.on_changed(decoding)
