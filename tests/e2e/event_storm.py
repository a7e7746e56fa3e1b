"""Webhooks by the thousand while call_events is killed again and again: `python -m tests.e2e.event_storm --webhooks
100000`.

What is claimed, and checked here: every `data.id` that was answered 200 is in the journal once, and every client gets
every event once, in the order of the offsets, also one that comes back. The test suite runs a small storm.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import trio

from tests.e2e.event_wire import PUBLIC_KEY, Listener, Poster, webhook
from tests.e2e.system import System, running_system

if TYPE_CHECKING:
    from collections.abc import Iterator

POSTERS = 8
TIMEOUT_S = 120.0
LOG_SHOWN_CHARS = 12_000
SETTINGS = {  # kills are what this is about, so the supervisor must not lose its patience
    "SUPERVISOR__INTENSITY": "1000000",
    "SUPERVISOR__BACKOFF_FIRST_S": "0.05",
    "SUPERVISOR__BACKOFF_MAX_S": "0.1",
    "GATEWAY__PARK_TIME_S": "120",  # and a machine that is busy with other things must not count
    "SUPERVISOR__START_TIMEOUT_S": "120",
    "EVENTS__COMMIT_TIMEOUT_S": "10",
    "GATEWAY__HANDSHAKES_PER_S": "100000",
    "GATEWAY__HANDSHAKES_BURST": "100000",
}


@dataclass
class Storm:
    """What is sent, and what has come of it."""

    webhooks: int
    random: Random
    answered: set[str] = field(default_factory=set)  # ids with a 200
    statuses: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    kills: int = 0
    done: bool = False

    def plan(self) -> Iterator[int]:
        """Numbers of events in the order in which they are sent: shuffled, and every tenth one more often."""
        numbers = list(range(self.webhooks))
        numbers += self.random.choices(numbers, k=self.webhooks // 10)
        for start in range(0, len(numbers), 5000):
            part = numbers[start : start + 5000]
            self.random.shuffle(part)
            yield from part


async def storm(
    system: System, work: Storm, listeners: list[Listener], *, kill_every_s: float, comers: int = 2
) -> None:
    """Let it happen. The listeners stay connected; `comers` more leave and come back all the time."""
    coming = [Listener(f"comer {number}") for number in range(comers)]
    listeners += coming
    async with trio.open_nursery() as nursery:
        for listener in listeners[: len(listeners) - comers]:
            nursery.start_soon(listener.read, system.port)
        for listener in coming:
            nursery.start_soon(come_and_go, system.port, listener, work)
        await until(lambda: all(listener.welcomes for listener in listeners))
        nursery.start_soon(kill_again_and_again, system, work, kill_every_s)
        await post_all(system.port, work)
        work.done = True
        await until(lambda: all(len(listener.ids) >= len(wanted(listener, work)) for listener in listeners))
        nursery.cancel_scope.cancel()


def wanted(listener: Listener, work: Storm) -> set[str]:
    """The ids that a listener must get."""
    if "call_id=" not in listener.query:
        return work.answered
    call = listener.query.rpartition("-")[2]
    return {name for name in work.answered if int(name.removeprefix("storm-")) % 200 == int(call)}


async def post_all(port: int, work: Storm) -> None:
    """Post everything, each until it is answered 200."""
    numbers = work.plan()

    async def post() -> None:
        poster = Poster(port)
        for number in numbers:
            while True:
                began = time.perf_counter()
                status = await poster.post(webhook(number))
                work.statuses[str(status)] += 1
                if status == 200:
                    work.latencies.append(time.perf_counter() - began)
                    work.answered.add(f"storm-{number}")
                    break
                await trio.sleep(0.02)
        await poster.aclose()

    async with trio.open_nursery() as nursery:
        for _ in range(POSTERS):
            nursery.start_soon(post)


async def come_and_go(port: int, listener: Listener, work: Storm) -> None:
    """Leave now and then, and come back after the last offset."""
    since: int | None = None
    while True:
        listener.leave_at = trio.current_time() + work.random.uniform(0.2, 1.5) if not work.done else None
        try:
            await listener.read(port, since)
        except (OSError, trio.BrokenResourceError):
            await trio.sleep(0.05)  # nobody there at the moment, or it was lost in the handshake
        since = listener.offsets[-1] if listener.offsets else since


async def kill_again_and_again(system: System, work: Storm, every_s: float) -> None:
    """SIGKILL, first when a tenth has been answered (a fast machine is soon done), then at random moments."""
    await until(lambda: len(work.answered) >= work.webhooks // 10)
    while not work.done:
        pid = await pid_of(system, "call_events")
        if pid is not None and not work.done:
            os.kill(pid, signal.SIGKILL)
            work.kills += 1
        await trio.sleep(work.random.uniform(0, 2 * every_s))


async def pid_of(system: System, name: str) -> int | None:
    """The process of an actor that is READY."""
    actors = await system.actors()
    return next((row["pid"] for row in actors if row["name"] == name and row["state"] == "READY"), None)


async def until(condition: Any) -> None:
    """Wait for what nobody tells of."""
    with trio.fail_after(TIMEOUT_S):
        while True:
            if condition():
                return
            await trio.sleep(0.05)


def check(system: System, work: Storm, listeners: list[Listener]) -> list[str]:
    """What is not as claimed."""
    with sqlite3.connect(f"file:{system.home}/data/journal.sqlite3?mode=ro", uri=True) as journal:
        kept = [row[0] for row in journal.execute("SELECT id FROM events WHERE id GLOB 'storm-*'")]
    faults = []
    if work.answered - set(kept):
        faults.append(f"{len(work.answered - set(kept))} answered 200 are not in the journal")
    if len(kept) != len(set(kept)):
        faults.append("an id is in the journal twice")
    for listener in listeners:
        heard = Counter(listener.ids)
        repeated = sum(count > 1 for count in heard.values())
        missing = len(wanted(listener, work) - heard.keys())
        order = sum(later <= earlier for earlier, later in zip(listener.offsets, listener.offsets[1:], strict=False))
        if repeated or missing or order or listener.not_recovered:
            faults.append(f"{listener.name}: {repeated} repeated, {missing} missing, {order} out of order")
    return faults


def new_listeners(count: int) -> list[Listener]:
    """Some that hear everything, and one that hears one call."""
    return [Listener(f"listener {number}") for number in range(count)] + [
        Listener("of one call", "?call_id=v3:storm-7")
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--webhooks", type=int, default=100_000)
    parser.add_argument("--kill-every", type=float, default=1.0, metavar="S")
    parser.add_argument("--listeners", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    work, listeners = Storm(arguments.webhooks, Random(arguments.seed)), new_listeners(arguments.listeners)
    with running_system(TELNYX__PUBLIC_KEY=PUBLIC_KEY, **SETTINGS) as system:
        began = time.monotonic()
        try:
            trio.run(lambda: storm(system, work, listeners, kill_every_s=arguments.kill_every))
        except BaseException:
            sys.stderr.write(f"after {work.kills} kills; the end of the log:\n{system.log()[-LOG_SHOWN_CHARS:]}\n")
            raise
        took_s = time.monotonic() - began
        faults = check(system, work, listeners)
    lines = [
        f"{len(work.answered)} webhooks and their repeats in {took_s:.0f} s, {work.kills} kills; answers {dict(work.statuses)}",
        f"{sum(listener.welcomes for listener in listeners)} connections of {len(listeners)} clients",
        *(faults or ["every id is in the journal once and reached every client once, in order"]),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
