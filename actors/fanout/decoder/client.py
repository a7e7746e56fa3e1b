"""Fan-out's side of its decoder process: starts it when the first call needs it, restarts it, and carries messages.

`actors.fanout.decoder.queue` makes and reads the messages.
"""

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

from actors.fanout.decoder.messages import ANSWER_MAX_BYTES, PROGRESS_BYTES, BadMessage
from patchbay.net.event_loop import Callback

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    from actors.fanout.decoder.queue import DecodingQueue

log = logging.getLogger(__name__)

COMMAND: Final = (sys.executable, "-m", "actors.fanout.decoder.process")
# A process that has not answered for so long is killed. It limits each frame itself; this is for a process that was
# stopped.
ANSWER_TIMEOUT_S: Final = 10.0
# Until the next process is started: at once when a frame has ended the last one; a call can do that only `STRIKES_MAX`
# times.
AFTER_A_FRAME_S: Final = 0.0
PAUSES_S: Final = (0.0, 0.1, 0.5, 2.0, 5.0)  # when processes end one after the other, by no frame
LONG_PAUSE_S: Final = 1.0  # of at least so long: frames become silence meanwhile
STEADY_S: Final = 1.0  # a process that has lived so long begins the pauses anew
EXIT_TIMEOUT_S: Final = 1.0  # for a process that has closed its socket, or was killed, to be gone
EXIT_GRACE_S: Final = 0.2  # of that before it is killed, so that its own exit status is known
EXIT_POLL_S: Final = 0.002
ANSWERS_AT_ONCE: Final = 8
WITHHELD: Final = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "PATCHBAY_ACTOR_",
)  # beginnings of environment variables: the process is no actor


class DecoderGone(Exception):
    """Says that the process has closed its socket."""


class Decoder:
    """Runs the decoder process.

    Args:
        queue: the frames for the process.
        on_decoded: called when frames have been decoded, or have become silence.
        counters: gets `decoders_ended`.
        command: starts a program that does what `actors.fanout.decoder.process` does.

    Attributes:
        pid: of the process; None while there is none.
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
        self._sent_at: float | None = None  # the message that has not been answered
        self._ended_in_a_row = 0

    def flush(self) -> None:
        """Send the next message of the queue, if the process has answered the last one; start the process if there is
        none."""
        if self._sock is None:
            if self._queue.is_waiting:
                self._wanted.set()
        elif request := self._queue.next_request():
            self._sent_at = trio.current_time()
            try:
                self._sock.send(request)
            except OSError as error:  # `_receive` learns that the process has gone, too
                log.debug("not sent to the decoder: %s", error)

    def tick(self) -> None:
        """Kill a process that does not answer, and silence frames that wait too long. To be called every second."""
        now = trio.current_time()
        if self._sent_at is not None and now - self._sent_at > ANSWER_TIMEOUT_S and self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
        self._queue.expire(now)
        self._on_decoded()

    async def run(self) -> None:
        """Run a process from the first frame on, and restart it. For ever; cancelling kills the process."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            try:
                pause_s = await self._run_process()
            except OSError as error:  # no descriptor, no memory, no such program
                pause_s = self._on_exit(f"can't be had: {error}", 0, 0.0)
            if pause_s >= LONG_PAUSE_S:
                self._queue.turn_off()
            self._on_decoded()
            await trio.sleep(pause_s)
            self._queue.is_off = False
            self.flush()

    async def _run_process(self) -> float:
        """Run a process until it ends. Returns how long to wait before the next."""
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
        return self._on_exit(reason or _exit_text(status), serial, trio.current_time() - began)

    def _receive(self) -> None:
        assert self._sock is not None
        for _ in range(ANSWERS_AT_ONCE):
            try:
                answer = self._sock.recv(ANSWER_MAX_BYTES)
            except BlockingIOError:
                break
            if not answer:
                raise DecoderGone
            self._queue.receive(answer)
            self._sent_at = trio.current_time() if self._queue.asked else None
        self.flush()  # so that the process has work meanwhile
        self._on_decoded()
        self.flush()

    def _on_exit(self, reason: str, serial: int, lived_s: float) -> float:
        """Log the end of a process, at a frame or at none (0). Returns how long to wait before the next."""
        self._counters["decoders_ended"] += 1
        if lived_s >= STEADY_S:
            self._ended_in_a_row = 0
        if (culprit := self._queue.on_exit(serial)) is not None:
            log.warning("the decoder %s, at a frame of this call", reason, extra=culprit.log_fields)
            return AFTER_A_FRAME_S
        pause_s = PAUSES_S[min(self._ended_in_a_row, len(PAUSES_S) - 1)]
        self._ended_in_a_row += 1
        log.warning("the decoder %s; the next one is started in %g s", reason, pause_s)
        return pause_s


async def _end_of(process: subprocess.Popen[bytes], grace_s: float) -> int | None:
    """Wait until a process has ended, and kill it after `grace_s`. Returns its exit status; None: it has not ended in
    time."""
    with trio.move_on_after(EXIT_TIMEOUT_S, shield=True):
        force_at = trio.current_time() + grace_s
        while (status := process.poll()) is None:
            if trio.current_time() >= force_at:
                process.kill()
            await trio.sleep(EXIT_POLL_S)
        return status
    return None


def _exit_text(status: int | None) -> str:
    return f"was ended by signal {-status}" if status is not None and status < 0 else f"ended with status {status}"


def _start(command: tuple[str, ...], sock: socket.socket, progress_fd: int) -> subprocess.Popen[bytes]:
    """Start the program with these two descriptors only."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(WITHHELD)}
    numbers = (sock.fileno(), progress_fd)
    return subprocess.Popen((*command, *map(str, numbers)), stdin=subprocess.DEVNULL, pass_fds=numbers, env=environ)


@contextmanager
def _progress() -> Iterator[tuple[int, mmap.mmap]]:
    """Make the shared memory in which the process writes the serial of the frame that it decodes."""
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
