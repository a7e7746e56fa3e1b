"""The loop of a process: what comes hundreds of times a second is done from it directly; trio, with all the rest, is its guest.

Why not in trio tasks: to wake one costs 100 to 150 µs once the process has slept, since the scheduler's code and objects
have left the processor's caches by then; that is more than a round of frames costs itself. A *callback* is a function that
the loop calls when a descriptor is readable, or when its time has come: it never waits, and what it does costs nothing but
itself. It belongs to a task all the same (`Callback.run`): it is done while that task is there, cancelling it ends it, and
what goes wrong is raised there.

trio runs in guest mode, as it does beside graphical interfaces. Its own waiting is done by a thread, so waking a task costs
somewhat more than elsewhere: all that happens often belongs into callbacks. Where no loop of ours runs (tests), callbacks are
done in their tasks, by trio's clock.
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
EARLY_S: Final = 0.001  # epoll waits for whole milliseconds; what is due within one is due now
DESCRIPTORS_AT_ONCE: Final = 16
_host: EventLoop | None = None


def run(async_fn: Callable[..., Awaitable[None]], *args: Any) -> None:
    """Like `trio.run`, with callbacks."""
    global _host
    _host = host = EventLoop()
    try:
        host.run(async_fn, *args)
    finally:
        _host = None


class Callback:
    """Something done again and again, on the thread of trio but in none of its tasks.

    Args:
        work: does it, at once. Returns when to do it next, in trio's clock (`NOW`: as soon as others have had their turn);
            None: when the descriptor is readable, or `plan` says so.
        fd: a descriptor that stays readable until `work` has dealt with it.
        due: when to do it first, if not then.

    Attributes:
        due: when to do it next; NEVER: when the descriptor is readable.
        is_deaf: its descriptor wakes nobody, since it waits for a time.
    """

    __slots__ = ("_error", "_failed", "_planned", "_waiting", "_work", "due", "fd", "is_deaf")

    def __init__(self, work: Callable[[], float | None], fd: int | None = None, due: float = NEVER) -> None:
        self._work = work
        self.fd = fd
        self.due = due
        self.is_deaf = False
        self._planned = NEVER
        self._waiting: trio.CancelScope | None = None  # of the task, without a loop of ours
        self._failed = trio.Event()
        self._error: Exception | None = None

    async def run(self) -> None:
        """Have it done until cancelled. Raises what `work` raises. One task at a time."""
        if _host is None:
            await self._run_here()
        else:
            with _host.doing(self):
                await self._failed.wait()
            if self._error is not None:
                raise self._error

    def plan(self, due: float = NOW) -> None:
        """Have it done at this time, if not sooner. Also while it is being done, and when it is not being run yet."""
        self._planned = min(self._planned, due)
        self.due = min(self.due, due)
        if self._waiting is not None:
            self._waiting.cancel()

    def do(self) -> None:
        """Do it once, and know when next."""
        self._planned = NEVER
        due = self._work()
        # It may have been planned meanwhile.
        self.due = self._planned if due is None or self._planned < due else due

    def fail(self, error: Exception) -> None:
        """`do` has raised this: it is its task's."""
        self._error = error
        self._failed.set()

    async def _run_here(self) -> None:
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
                self.do()


class EventLoop:
    """The loop: one epoll for the callbacks' descriptors and the guest's wish to be heard.

    It turns hundreds of times a second, always after a sleep, when every line costs several times what it does else.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._chores: tuple[Callback, ...] = ()
        self._by_fd: dict[int, Callback] = {}
        self._guest: deque[Callable[[], object]] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._outcome: Outcome[None] | None = None
        self._clock: Callable[[], float] = lambda: NOW

    def run(self, async_fn: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run trio and the callbacks until that function returns."""
        trio.lowlevel.start_guest_run(
            async_fn,
            *args,
            run_sync_soon_threadsafe=self._from_thread,
            run_sync_soon_not_threadsafe=self._guest.append,
            done_callback=self._end,
        )
        self._clock = trio.lowlevel.current_clock().current_time  # by itself: a third of `trio.current_time()`
        try:
            while self._outcome is None:
                self._turn()
        finally:
            self._epoll.close()
            os.close(self._bell)
        self._outcome.unwrap()

    @contextmanager
    def doing(self, callback: Callback) -> Iterator[None]:
        """Do this callback meanwhile."""
        self._chores = (*self._chores, callback)
        if callback.fd is not None:
            self._by_fd[callback.fd] = callback
            self._epoll.register(callback.fd, select.EPOLLIN)
        try:
            yield
        finally:
            self._forget(callback)

    def _turn(self) -> None:
        for fd, _ in self._epoll.poll(self._timeout_s(), DESCRIPTORS_AT_ONCE):
            if fd == self._bell:
                os.eventfd_read(fd)
            elif (readable := self._by_fd.get(fd)) is not None and readable.due == NEVER:
                self._do(readable)
        soon = self._clock() + EARLY_S
        for callback in self._chores:
            if callback.due < soon:
                self._do(callback)
        if self._guest:
            for _ in range(len(self._guest)):
                self._guest.popleft()()

    def _timeout_s(self) -> float:
        """How long nothing is to be done: whole milliseconds, no more than that; -1: for ever."""
        if self._guest:
            return 0
        due = NEVER
        for callback in self._chores:
            if callback.due < due:
                due = callback.due
        if due == NEVER:
            return -1
        ahead_s = due - self._clock()
        return int(ahead_s * 1000) / 1000 if ahead_s > 0 else 0

    def _do(self, callback: Callback) -> None:
        try:
            callback.do()
        except Exception as error:
            self._forget(callback)
            callback.fail(error)
        if callback.fd is not None and (callback.due < NEVER) != callback.is_deaf and callback.fd in self._by_fd:
            callback.is_deaf = not callback.is_deaf
            self._epoll.modify(callback.fd, 0 if callback.is_deaf else select.EPOLLIN)

    def _forget(self, callback: Callback) -> None:
        self._chores = tuple(other for other in self._chores if other is not callback)
        if callback.fd is not None and self._by_fd.pop(callback.fd, None) is not None:
            callback.is_deaf = False
            self._epoll.unregister(callback.fd)

    def _from_thread(self, function: Callable[[], object]) -> None:
        self._guest.append(function)
        os.eventfd_write(self._bell, 1)

    def _end(self, outcome: Outcome[None]) -> None:
        self._outcome = outcome
