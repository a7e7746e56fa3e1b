"""Many calls at once, each placed again when it is to last: waits for the server, starts, reports, stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from simulator.http import HttpError, request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from simulator.call import SimulatedCall

    Make = Callable[[int], SimulatedCall]
    Say = Callable[[str], None]

READY_PERIOD_S = 0.5  # how often a server that is not ready is asked again
AGAIN_DELAY_S = 2.0  # before a call that was to last is placed again


class Fleet:
    """`run` it once; `stop` may be called at any time, `run` then returns when every call has hung up."""

    def __init__(self, make: Make, *, calls: int, stagger_s: float, keep: bool, say: Say) -> None:
        self.live: dict[int, SimulatedCall] = {}
        self.failed = 0  # calls that did not end by themselves or by us
        self.ready_url: str | None = None  # when set, no call is placed before it answers 200
        self._make = make
        self._calls = calls
        self._stagger_s = stagger_s
        self._keep = keep
        self._say = say
        self._stopping = trio.Event()
        self._waiting_for = ""

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """Hang up every call, place no more."""
        self._stopping.set()
        for call in self.live.values():
            call.stop()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            await self._unless_stopped(self._wait_ready)
            for index in range(self._calls):
                nursery.start_soon(self._line, index)
                if index + 1 < self._calls and await self._stops_within(self._stagger_s):
                    return

    async def _line(self, index: int) -> None:
        while not self._stopping.is_set():
            call = self.live[index] = self._make(index)
            await call.run()
            del self.live[index]
            self._account(index, call)
            if not self._keep or await self._stops_within(AGAIN_DELAY_S):
                return
            await self._unless_stopped(self._wait_ready)

    def _account(self, index: int, call: SimulatedCall) -> None:
        outcome = call.outcome
        ended = outcome is not None and outcome.kind == "stopped"
        self.failed += not ended
        how = "ended" if ended else f"{outcome.kind}: {outcome.reason}" if outcome else "broken off"
        self._say(f"call {index + 1} {how}; {summary([call])}")

    async def _wait_ready(self) -> None:
        while self.ready_url:
            try:
                answer = await request("GET", self.ready_url)
                if answer.status == 200:
                    self._waiting_for = ""
                    return
                problem = f"{answer.status} {answer.body[:200].decode(errors='replace').strip()}"
            except HttpError as error:
                problem = str(error)
            if problem != self._waiting_for:
                self._say(f"waiting for {self.ready_url}: {problem}")
                self._waiting_for = problem
            await trio.sleep(READY_PERIOD_S)

    async def _stops_within(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            await self._stopping.wait()
        return self._stopping.is_set()

    async def _unless_stopped(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something that may be cut short by `stop`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_when_stopping, nursery.cancel_scope)
            await work()
            nursery.cancel_scope.cancel()

    async def _cancel_when_stopping(self, scope: trio.CancelScope) -> None:
        await self._stopping.wait()
        scope.cancel()


def summary(calls: list[SimulatedCall]) -> str:
    """What some calls have sent and received, in a line."""
    total = {name: sum(call.counters[name] for call in calls) for name in NAMES}
    rates = {call.options.codec.bytes_per_s for call in calls} or {1}
    talk_s = total["talk_bytes"] / max(rates)
    parts = [f"{total['frames_sent']} frames sent", f"{total['talk_frames']} of talk received ({talk_s:.1f} s)"]
    parts += [f"{total[name]} {text}" for name, text in NAMES.items() if text and total[name]]
    failures = sum(len(call.webhooks.failures) for call in calls)
    if failures:
        parts.append(f"{failures} webhook deliveries refused or unanswered")
    return ", ".join(parts)


# Counters, and how the ones that are only mentioned when they are not zero are called.
NAMES = {
    "frames_sent": "",
    "talk_frames": "",
    "talk_bytes": "",
    "marks": "marks",
    "clears": "clears",
    "errors": "errors",
    "frames_unsent": "frames not sent",
}
