"""`python -m actors.fanout.decoder.process SOCKET PROGRESS`: decodes audio for one fan-out process, until that has
ended.

A frame that crashes the library for wide-band codecs, or takes too long, ends only this process; fan-out then starts
another one (`actors.fanout.decoder.client`). The process knows no call and no listener, holds no descriptors but the
two that it is given, and ends when fan-out closes its end of the socket.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from actors.fanout.decoder.messages import (
    ANSWER_BYTES,
    DECODED,
    FAILED,
    PROGRESS_BYTES,
    REASON_MAX_BYTES,
    REQUEST_MAX_BYTES,
    UNDECODABLE,
    Answer,
    pack_answer,
    read_requests,
)
from patchbay.audio.transcode import Transcoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.fanout.decoder.messages import Outcome, Request

# The limits of one frame; the kernel ends the process then. Processor time, since a crowded machine may be slow: a
# frame of 20 ms takes less than a thousandth of that. And clock time, for a library that sleeps.
PROCESSOR_MAX_S: Final = 0.25
CLOCK_MAX_S: Final = 5.0
MEMORY_MAX_BYTES: Final = 1 << 30  # of addresses
FORGET_AFTER_S: Final = 60.0  # a track without frames for so long may begin anew
TRACKS_KEPT: Final = 500  # beyond so many, tracks without frames are removed


class Track:
    """Decodes one track of one stream."""

    def __init__(self, request: Request) -> None:
        self.undecodable = False
        self.used_at = request.now
        self._transcoder = Transcoder.for_format(request.media_format, self._not_decoded)

    def decode(self, request: Request) -> tuple[Outcome, bytes]:
        """Decode the track's next frame."""
        self.used_at = request.now
        self.undecodable = False
        ulaw = self._transcoder.to_ulaw(request.payload, request.now)
        return UNDECODABLE if self.undecodable else DECODED, ulaw

    def _not_decoded(self) -> None:
        self.undecodable = True


class Decoder:
    """Decodes all tracks of a fan-out process.

    Args:
        progress: PROGRESS_BYTES of memory; holds the serial of the frame that is being decoded.
    """

    def __init__(self, progress: mmap.mmap | bytearray) -> None:
        self._progress = progress
        self._tracks: dict[int, Track] = {}

    def answers(self, message: bytes) -> Iterator[bytes]:
        """Yield the messages that answer a request."""
        answer = b""
        for request in read_requests(message):
            self._progress[:] = request.serial.to_bytes(PROGRESS_BYTES, "little")
            answer += pack_answer(self._decode(request))
            self._progress[:] = bytes(PROGRESS_BYTES)
            if len(answer) >= ANSWER_BYTES:
                yield answer
                answer = b""
        if answer:
            yield answer

    def _decode(self, request: Request) -> Answer:
        try:
            track = self._tracks.get(request.track) or self._begin(request)
            return Answer(request.serial, *track.decode(request))
        except Exception as error:  # no library, no such codec, or a fault of the library: it ends one stream
            reason = f"{type(error).__name__}: {error}".encode(errors="replace")
            return Answer(request.serial, FAILED, reason[:REASON_MAX_BYTES])

    def _begin(self, request: Request) -> Track:
        if len(self._tracks) >= TRACKS_KEPT:
            oldest = request.now - FORGET_AFTER_S
            self._tracks = {number: track for number, track in self._tracks.items() if track.used_at >= oldest}
        track = self._tracks[request.track] = Track(request)
        return track


class LimitedDecoder(Decoder):
    """Decodes with a time limit for each frame."""

    def _decode(self, request: Request) -> Answer:
        signal.setitimer(signal.ITIMER_PROF, PROCESSOR_MAX_S)
        signal.setitimer(signal.ITIMER_REAL, CLOCK_MAX_S)
        try:
            return super()._decode(request)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)


def limit_process() -> None:
    """Have the kernel end this process at a frame's time limits, and limit its memory."""
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGPROF, signal.SIGALRM))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = MEMORY_MAX_BYTES if hard == resource.RLIM_INFINITY else min(hard, MEMORY_MAX_BYTES)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> int:
    """Decode until fan-out has gone. Returns the exit status."""
    faulthandler.enable()
    with suppress(ImportError):  # each stream is answered with FAILED then
        import av  # noqa: F401  # now, since importing takes longer than a frame may
    limit_process()
    sock_fd, progress_fd = map(int, sys.argv[1:])
    decoder = LimitedDecoder(mmap.mmap(progress_fd, PROGRESS_BYTES))
    os.close(progress_fd)
    with socket.socket(fileno=sock_fd) as sock, suppress(ConnectionError):
        while message := sock.recv(REQUEST_MAX_BYTES):
            for answer in decoder.answers(message):
                sock.send(answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
