"""The loop of a process: what comes hundreds of times a second is done from it directly; trio, with all the rest, is its guest.

Why not in trio tasks: to wake one costs 100 to 150 µs once the process has slept, since the scheduler's code and objects
have left the processor's caches by then; that is more than a round of frames costs itself. A *chore* is a function that
the loop calls when a descriptor is readable, or when its time has come: it never waits, and what it does costs nothing but
itself. It belongs to a task all the same (`Chore.run`): it is done while that task is there, cancelling it ends it, and
what goes wrong is raised there.

trio runs in guest mode, as it does beside graphical interfaces. Its own waiting is done by a thread, so waking a task costs
somewhat more than elsewhere: all that happens often belongs into chores. Where no loop of ours runs (tests), chores are
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
EARLY_S: Final = 0.001  # epoll waits for whole milliseconds; what is due within one is due now
DESCRIPTORS_AT_ONCE: Final = 16
_host: Host | None = None


def run(async_fn: Callable[..., Awaitable[None]], *args: Any) -> None:
    """Like `trio.run`, with chores."""
    global _host
    _host = host = Host()
    try:
        host.run(async_fn, *args)
    finally:
        _host = None


class Chore:
    """Something done again and again, on the thread of trio but in none of its tasks.

    Args:
        work: does it, at once. Returns when to do it next, in trio's clock (`NOW`: as soon as others have had their turn);
            None: when the descriptor is readable, or `plan` says so.
        fd: a descriptor that stays readable until `work` has dealt with it.
        due: when to do it first, if not then.
    """

    def __init__(self, work: Callable[[], float | None], fd: int | None = None, due: float | None = None) -> None:
        self._work = work
        self.fd = fd
        self.due = due
        self._planned: float | None = None
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
        self._planned = _sooner(self._planned, due)
        self.due = _sooner(self.due, due)
        if self._waiting is not None:
            self._waiting.cancel()

    def do(self) -> None:
        """Do it once, and know when next."""
        self._planned = None
        due = self._work()
        self.due = _sooner(due, self._planned)  # it may have been planned meanwhile

    def fail(self, error: Exception) -> None:
        """`do` has raised this: it is its task's."""
        self._error = error
        self._failed.set()

    async def _run_here(self) -> None:
        while True:
            with trio.CancelScope() as self._waiting:
                if self.due is not None:
                    await trio.sleep_until(self.due)
                elif self.fd is not None:
                    await trio.lowlevel.wait_readable(self.fd)
                else:
                    await trio.sleep_forever()
            cancelled, self._waiting = self._waiting.cancelled_caught, None
            if not cancelled:
                self.do()


def _sooner(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else min(one, other)


class Host:
    """The loop: one epoll for the chores' descriptors and the guest's wish to be heard."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._chores: tuple[Chore, ...] = ()
        self._by_fd: dict[int, Chore] = {}
        self._deaf: set[int] = set()  # descriptors of chores that wait for a time
        self._guest: deque[Callable[[], object]] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._outcome: Outcome[None] | None = None

    def run(self, async_fn: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run trio and the chores until that function returns."""
        trio.lowlevel.start_guest_run(
            async_fn,
            *args,
            run_sync_soon_threadsafe=self._from_thread,
            run_sync_soon_not_threadsafe=self._guest.append,
            done_callback=self._end,
        )
        try:
            while self._outcome is None:
                self._turn()
        finally:
            self._epoll.close()
            os.close(self._bell)
        self._outcome.unwrap()

    @contextmanager
    def doing(self, chore: Chore) -> Iterator[None]:
        """Do this chore meanwhile."""
        self._chores = (*self._chores, chore)
        if chore.fd is not None:
            self._by_fd[chore.fd] = chore
            self._epoll.register(chore.fd, select.EPOLLIN)
        try:
            yield
        finally:
            self._forget(chore)

    def _turn(self) -> None:
        for fd, _ in self._epoll.poll(self._timeout_s(), DESCRIPTORS_AT_ONCE):
            if fd == self._bell:
                os.eventfd_read(fd)
            elif (readable := self._by_fd.get(fd)) is not None and readable.due is None:
                self._do(readable)
        soon = trio.current_time() + EARLY_S
        for chore in self._chores:
            if chore.due is not None and chore.due < soon:
                self._do(chore)
        for _ in range(len(self._guest)):
            self._guest.popleft()()

    def _timeout_s(self) -> float:
        """How long nothing is to be done: whole milliseconds, no more than that; -1: for ever."""
        if self._guest:
            return 0
        due = min((chore.due for chore in self._chores if chore.due is not None), default=None)
        if due is None:
            return -1
        return max(int((due - trio.current_time()) * 1000), 0) / 1000 if due != NOW else 0

    def _do(self, chore: Chore) -> None:
        try:
            chore.do()
        except Exception as error:
            self._forget(chore)
            chore.fail(error)
        if chore.fd in self._by_fd and (chore.due is not None) != (chore.fd in self._deaf):
            self._listen(chore.fd, chore.due is None)

    def _listen(self, fd: int, wanted: bool) -> None:
        """While a chore waits for a time, its descriptor wakes nobody."""
        (self._deaf.discard if wanted else self._deaf.add)(fd)
        self._epoll.modify(fd, select.EPOLLIN if wanted else 0)

    def _forget(self, chore: Chore) -> None:
        self._chores = tuple(other for other in self._chores if other is not chore)
        if chore.fd is not None and self._by_fd.pop(chore.fd, None) is not None:
            self._deaf.discard(chore.fd)
            self._epoll.unregister(chore.fd)

    def _from_thread(self, function: Callable[[], object]) -> None:
        self._guest.append(function)
        os.eventfd_write(self._bell, 1)

    def _end(self, outcome: Outcome[None]) -> None:
        self._outcome = outcome
