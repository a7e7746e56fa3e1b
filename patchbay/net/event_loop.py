"""Runs callbacks for frequent events (descriptors, times), and trio as a guest for all else.

To wake a trio task after a sleep costs more than a round of frames, since the scheduler's code and objects have left
the processor's caches (docs/performance.md). A *callback* is a function that the loop calls when a descriptor is
readable or a time has come; it never waits. It still belongs to a task (`Callback.run`): the loop calls it while that
task runs, cancelling the task ends it, and its exceptions are raised there.

trio runs in guest mode (trio.lowlevel.start_guest_run), where a thread does its waiting, so waking a task costs more
than usual: frequent work belongs into callbacks. Where this loop does not run (tests), each callback is called by its
task, by trio's clock.
"""

from __future__ import annotations

import os
import select
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from outcome import Outcome

NOW: Final = float("-inf")  # in place of a time
NEVER: Final = float("inf")
CLOCK_RESOLUTION_S: Final = 0.001  # epoll waits for whole milliseconds; a callback that is due within one is due now
DESCRIPTORS_AT_ONCE: Final = 16
_event_loop: EventLoop | None = None


def run(async_fn: Callable[..., Awaitable[None]], *args: Any) -> None:
    """Run an async function like `trio.run`, with callbacks."""
    global _event_loop
    _event_loop = event_loop = EventLoop()
    try:
        event_loop.run(async_fn, *args)
    finally:
        _event_loop = None


class Callback:
    """Holds a function that the event loop calls repeatedly, on the thread of trio.

    Args:
        function: must not wait. Returns the time of its next call, by trio's clock (`NOW`: after other callbacks were
            called); None: when the descriptor is readable, or when `schedule` says.
        fd: a descriptor that stays readable until `function` has read from it.
        due: the time of the first call; NEVER: when the descriptor is readable.

    Attributes:
        due: the time of the next call; NEVER: when the descriptor is readable.
        is_masked: the descriptor is not polled, since the callback waits for a time.
    """

    __slots__ = ("_error", "_failed", "_function", "_scheduled", "_waiting", "due", "fd", "is_masked")

    def __init__(self, function: Callable[[], float | None], fd: int | None = None, due: float = NEVER) -> None:
        self._function = function
        self.fd = fd
        self.due = due
        self.is_masked = False
        self._scheduled = NEVER
        self._waiting: trio.CancelScope | None = None  # of the task, where no event loop runs
        self._failed = trio.Event()
        self._error: Exception | None = None

    async def run(self) -> None:
        """Have the function called until cancelled, and raise what it raises. One task at a time may call `run`."""
        if _event_loop is None:
            await self._run_in_task()
        else:
            with _event_loop.registered(self):
                await self._failed.wait()
            if self._error is not None:
                raise self._error

    def schedule(self, due: float = NOW) -> None:
        """Schedule a call at a time, if none is due before. May be called by the function itself, and before `run`."""
        self._scheduled = min(self._scheduled, due)
        self.due = min(self.due, due)
        if self._waiting is not None:
            self._waiting.cancel()

    def call(self) -> None:
        """Call the function once, and set the time of its next call."""
        self._scheduled = NEVER
        due = self._function()
        # The function may have called `schedule`.
        self.due = self._scheduled if due is None or self._scheduled < due else due

    def fail(self, error: Exception) -> None:
        """Raise an exception of the function in the task that runs `run`."""
        self._error = error
        self._failed.set()

    async def _run_in_task(self) -> None:
        while True:
            with trio.CancelScope() as self._waiting:
                if self.due < NEVER:
                    await trio.sleep_until(self.due)
                elif self.fd is not None:
                    await trio.lowlevel.wait_readable(self.fd)
                else:
                    await trio.sleep_forever()
            cancelled, self._waiting = self._waiting.cancelled_caught, None
            if not cancelled:
                self.call()


class EventLoop:
    """Waits with one epoll for the descriptors of all callbacks and for trio's thread.

    An iteration runs hundreds of times a second, mostly after a sleep with cold caches, so each line counts.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: tuple[Callback, ...] = ()
        self._by_fd: dict[int, Callback] = {}
        self._trio_calls: deque[Callable[[], object]] = deque()
        self._wakeup_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wakeup_fd, select.EPOLLIN)
        self._outcome: Outcome[None] | None = None
        self._clock: Callable[[], float] = lambda: NOW

    def run(self, async_fn: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run trio and the callbacks until the async function returns."""
        trio.lowlevel.start_guest_run(
            async_fn,
            *args,
            run_sync_soon_threadsafe=self._from_thread,
            run_sync_soon_not_threadsafe=self._trio_calls.append,
            done_callback=self._on_done,
        )
        self._clock = trio.lowlevel.current_clock().current_time  # faster than `trio.current_time()`
        try:
            while self._outcome is None:
                self._run_once()
        finally:
            self._epoll.close()
            os.close(self._wakeup_fd)
        self._outcome.unwrap()

    @contextmanager
    def registered(self, callback: Callback) -> Iterator[None]:
        """Call a callback inside the block."""
        self._callbacks = (*self._callbacks, callback)
        if callback.fd is not None:
            self._by_fd[callback.fd] = callback
            self._epoll.register(callback.fd, select.EPOLLIN)
        try:
            yield
        finally:
            self._unregister(callback)

    def _run_once(self) -> None:
        for fd, _ in self._epoll.poll(self._timeout_s(), DESCRIPTORS_AT_ONCE):
            if fd == self._wakeup_fd:
                os.eventfd_read(fd)
            elif (readable := self._by_fd.get(fd)) is not None and readable.due == NEVER:
                self._call(readable)
        soon = self._clock() + CLOCK_RESOLUTION_S
        for callback in self._callbacks:
            if callback.due < soon:
                self._call(callback)
        if self._trio_calls:
            for _ in range(len(self._trio_calls)):
                self._trio_calls.popleft()()

    def _timeout_s(self) -> float:
        """Return the time until a callback is due, rounded down to whole milliseconds; -1: none is due."""
        if self._trio_calls:
            return 0
        due = NEVER
        for callback in self._callbacks:
            if callback.due < due:
                due = callback.due
        if due == NEVER:
            return -1
        ahead_s = due - self._clock()
        return int(ahead_s * 1000) / 1000 if ahead_s > 0 else 0

    def _call(self, callback: Callback) -> None:
        try:
            callback.call()
        except Exception as error:
            self._unregister(callback)
            callback.fail(error)
        if callback.fd is not None and (callback.due < NEVER) != callback.is_masked and callback.fd in self._by_fd:
            callback.is_masked = not callback.is_masked
            self._epoll.modify(callback.fd, 0 if callback.is_masked else select.EPOLLIN)

    def _unregister(self, callback: Callback) -> None:
        self._callbacks = tuple(other for other in self._callbacks if other is not callback)
        if callback.fd is not None and self._by_fd.pop(callback.fd, None) is not None:
            callback.is_masked = False
            self._epoll.unregister(callback.fd)

    def _from_thread(self, function: Callable[[], object]) -> None:
        self._trio_calls.append(function)
        os.eventfd_write(self._wakeup_fd, 1)

    def _on_done(self, outcome: Outcome[None]) -> None:
        self._outcome = outcome
