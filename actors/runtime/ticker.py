"""A steady tick from the kernel (timerfd), for loops that run hundreds of times a second.

trio.sleep costs a cancelled scope and an exception each time; waiting for a descriptor does not. Measured at 500 rounds
a second: 140 µs of processor time a round with sleep, 75 µs with this, most of which is the kernel's own sleeping.
"""

from __future__ import annotations

import ctypes
import os
import struct

import trio

CLOCK_MONOTONIC = 1
TFD_NONBLOCK = 0o4000
TFD_CLOEXEC = 0o2000000
NS_PER_S = 1_000_000_000


# struct itimerspec: interval and first expiry, each in seconds and nanoseconds.
_TIMERSPEC = struct.Struct("@4l")
_libc = ctypes.CDLL(None, use_errno=True)


class Ticker:
    """Ticks at an interval while it is started. One task waits for it."""

    def __init__(self, interval_s: float) -> None:
        self._fd = int(_libc.timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC))
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._interval = _timespec(interval_s)
        self._off = _TIMERSPEC.pack(0, 0, 0, 0)
        self._running = False

    async def tick(self, first_s: float) -> None:
        """Wait for the next tick; several that passed meanwhile are one.

        Args:
            first_s: when the ticker is stopped, it is started, and ticks for the first time after so long.
        """
        if not self._running:
            self._running = True
            self._set(_TIMERSPEC.pack(*self._interval, *_timespec(first_s)))
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            try:
                os.read(self._fd, 8)
            except BlockingIOError:
                continue
            return

    def stop(self) -> None:
        """Tick no more until `tick` is called again."""
        if self._running:
            self._running = False
            self._set(self._off)

    def close(self) -> None:
        """Release the descriptor."""
        if self._fd >= 0:
            trio.lowlevel.notify_closing(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _set(self, timerspec: bytes) -> None:
        _libc.timerfd_settime(self._fd, 0, timerspec, None)


def _timespec(seconds: float) -> tuple[int, int]:
    """Whole seconds and nanoseconds, at least one: none at all would stop the timer."""
    return divmod(max(1, round(seconds * NS_PER_S)), NS_PER_S)
