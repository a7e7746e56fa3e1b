"""Fan-out's side of its decoder: starts the process when the first call needs it, another one when that has ended, and carries
messages to and fro. What is in them is `actors.fanout.decoder.stream`'s."""

from __future__ import annotations

import logging
import mmap
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import trio

from actors.fanout.decoder.messages import ANSWER_MAX_BYTES, BadMessage
from actors.fanout.decoder.process import PROGRESS_BYTES
from patchbay.net.event_loop import Callback

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    from actors.fanout.decoder.queue import DecodingQueue

log = logging.getLogger(__name__)

COMMAND: Final = (sys.executable, "-m", "actors.fanout.decoder.process")
# A decoder that says nothing for so long is ended. It limits each frame itself; this is for one that was stopped.
ANSWER_TIMEOUT_S: Final = 10.0
# Until the next one is started: at once when a frame has ended the last one, since a call can do that few times only.
AFTER_A_FRAME_S: Final = 0.0
PAUSES_S: Final = (0.0, 0.1, 0.5, 2.0, 5.0)  # when they end for no reason that is known, in a row
LONG_PAUSE_S: Final = 1.0  # for which frames don't wait
STEADY_S: Final = 1.0  # one that has lived so long ends a row
EXIT_TIMEOUT_S: Final = 1.0  # for a process that has closed its socket, or was killed, to be gone
EXIT_GRACE_S: Final = 0.2  # of that without being killed, so that its own status is known
EXIT_POLL_S: Final = 0.002
ANSWERS_AT_ONCE: Final = 8
WITHHELD: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "PATCHBAY_ACTOR_")  # beginnings of names: it is no actor


class DecoderGone(Exception):
    """The process has ended."""


class Decoder:
    """The process.

    Args:
        queue: what it is to decode.
        on_decoded: called when some of that has been decoded, or has become silence.
        counters: `decoders_ended` is counted here.
        command: a program that does what `actors.fanout.decoder.process` does.

    Attributes:
        pid: the process's; None while there is none.
    """

    def __init__(
        self,
        queue: DecodingQueue,
        on_decoded: Callable[[], None],
        counters: Counter[str],
        command: tuple[str, ...] = COMMAND,
    ) -> None:
        self._queue = queue
        self._on_decoded = on_decoded
        self._counters = counters
        self._command = command
        self._wanted = trio.Event()
        self._sock: socket.socket | None = None
        self.pid: int | None = None
        self._sent_at: float | None = None  # what has not been answered
        self._ended_in_a_row = 0

    def flush(self) -> None:
        """Send what there is to decode, as soon as the process can take it."""
        if self._sock is None:
            if self._queue.is_waiting:
                self._wanted.set()
        elif request := self._queue.next_request():
            self._sent_at = trio.current_time()
            try:
                self._sock.send(request)
            except OSError as error:  # that it has gone is read, too
                log.debug("not sent to the decoder: %s", error)

    def tick(self) -> None:
        """Give up what has waited too long; to be called every second."""
        now = trio.current_time()
        if self._sent_at is not None and now - self._sent_at > ANSWER_TIMEOUT_S and self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
        self._queue.expire(now)
        self._on_decoded()

    async def run(self) -> None:
        """Have a process from the first wish on. For ever; when this is cancelled, the process is ended."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            try:
                pause_s = await self._live_once()
            except OSError as error:  # no descriptor, no memory, no such program
                pause_s = self._mourn(f"can't be had: {error}", 0, 0.0)
            if pause_s >= LONG_PAUSE_S:
                self._queue.turn_off()
            self._on_decoded()
            await trio.sleep(pause_s)
            self._queue.is_off = False
            self.flush()

    async def _live_once(self) -> float:
        """Have a process until it ends. Returns how long to wait for the next."""
        began = trio.current_time()
        with _progress() as (progress_fd, progress), _socket_pair() as (ours, theirs):
            process = _start(self._command, theirs, progress_fd)
            theirs.close()
            self.pid, self._sock = process.pid, ours
            reason, grace_s, misread = "", 0.0, 0
            try:
                self.flush()
                await Callback(self._receive, ours.fileno()).run()
            except (DecoderGone, ConnectionError):
                grace_s = EXIT_GRACE_S
            except BadMessage as error:
                reason, misread = f"makes no sense: {error}", self._queue.asked
            finally:
                self.pid = self._sock = self._sent_at = None
                status = await _end_of(process, grace_s)
            serial = misread or int.from_bytes(progress[:], "little")
        return self._mourn(reason or _in_words(status), serial, trio.current_time() - began)

    def _receive(self) -> None:
        assert self._sock is not None
        for _ in range(ANSWERS_AT_ONCE):
            try:
                answer = self._sock.recv(ANSWER_MAX_BYTES)
            except BlockingIOError:
                break
            if not answer:
                raise DecoderGone
            self._queue.take(answer)
            self._sent_at = trio.current_time() if self._queue.asked else None
        self.flush()  # so that it has something to do meanwhile
        self._on_decoded()
        self.flush()

    def _mourn(self, reason: str, serial: int, lived_s: float) -> float:
        """A process has ended, at this frame or none. Returns how long to wait for the next."""
        self._counters["decoders_ended"] += 1
        if lived_s >= STEADY_S:
            self._ended_in_a_row = 0
        if (culprit := self._queue.died(serial)) is not None:
            log.warning("the decoder %s, at a frame of this call", reason, extra=culprit.about)
            return AFTER_A_FRAME_S
        pause_s = PAUSES_S[min(self._ended_in_a_row, len(PAUSES_S) - 1)]
        self._ended_in_a_row += 1
        log.warning("the decoder %s; the next one is started in %g s", reason, pause_s)
        return pause_s


async def _end_of(process: subprocess.Popen[bytes], grace_s: float) -> int | None:
    """See that a process ends, after so long by force. Returns its exit status, where the kernel has told it."""
    with trio.move_on_after(EXIT_TIMEOUT_S, shield=True):
        force_at = trio.current_time() + grace_s
        while (status := process.poll()) is None:
            if trio.current_time() >= force_at:
                process.kill()
            await trio.sleep(EXIT_POLL_S)
        return status
    return None


def _in_words(status: int | None) -> str:
    return f"was ended by signal {-status}" if status is not None and status < 0 else f"ended with status {status}"


def _start(command: tuple[str, ...], sock: socket.socket, progress_fd: int) -> subprocess.Popen[bytes]:
    """Start the program with these descriptors and no other."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(WITHHELD)}
    numbers = (sock.fileno(), progress_fd)
    return subprocess.Popen((*command, *map(str, numbers)), stdin=subprocess.DEVNULL, pass_fds=numbers, env=environ)


@contextmanager
def _progress() -> Iterator[tuple[int, mmap.mmap]]:
    """Make the memory that the process says in where it is."""
    fd = os.memfd_create("patchbay-decoder", os.MFD_CLOEXEC)
    try:
        os.truncate(fd, PROGRESS_BYTES)
        with mmap.mmap(fd, PROGRESS_BYTES) as progress:
            yield fd, progress
    finally:
        os.close(fd)


@contextmanager
def _socket_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs
