"""One kind of hostile peers after the other, beside running calls: what the calls notice, and what is left
afterwards."""

from __future__ import annotations

import statistics
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import trio

from bench import measure, windows
from bench.generator import Load
from bench.hostile.guarded import GUARDED, Kind
from bench.hostile.kinds import KINDS, REFUSED, Target
from bench.hostile.one_token import Figures, Siege
from bench.hostile.secure import SECURE
from bench.hostile.systems import GUARDED_ENVIRON, GUARDED_LOG, LAST_LOG, give_way, secure_system, system
from bench.hostile.tokens import STREAM_HEADER, STREAM_TOKEN, token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.hostile.kinds import Attack
    from bench.servers import Server
    from bench.windows import Calls, Window

WARM_UP = 20  # connections of each kind before anything is measured: what stays for ever is there then
CROWDS = (
    "slow readers",
    "half-open",
    "ping floods",
    "header tricks",
    *SECURE,
)  # and whole ones of these: allocators keep pages
CALM_S = 6.0
CALMS = 3
BACK_TIMEOUT_S = 30.0
MEMORY_BACK_S = 7.0  # what is free goes back to the kernel every five seconds
POLL_S = 0.25


@dataclass
class Trial:
    """What one kind did.

    Attributes:
        seen: what its connections were answered, and how often; those that stayed to the end count as `stayed`.
        memory_mib, descriptors: more than before all, once its connections were gone.
        journal_mib: how large the journal is then.
        restarts: processes of the server that have died of it.
        calm_ms: p99 of the calls without anybody hostile, the median of a few windows.
        is_guarded: authentication is on, and the longest silence of a listener is looked at.
    """

    kind: str
    window: Window
    calm_ms: float
    is_guarded: bool
    seen: Counter[str] = field(default_factory=Counter)
    memory_mib: float = 0.0
    descriptors: int = 0
    journal_mib: float = 0.0
    restarts: int = 0
    others_lost: int = 0  # see `lost`, in other windows than this one
    siege: Siege | None = None

    @property
    def gap_ms(self) -> float:
        """The longest silence of any listener; of a siege's windows the median."""
        return max(self.window.gaps_ms, default=0.0) if self.siege is None else Figures.of(self.siege.attacked).gap

    @property
    def lost(self) -> int:
        """Frames of the calls that did not come, or not as they should, and connections of theirs that ended."""
        return sum(self.window.faults.values()) + self.others_lost


@dataclass
class Report:
    """Of one system.

    Attributes:
        about: which.
        calm_ms: see `Trial`. calm_gap_ms: the longest silence of a listener then.
        kept_mib: what the first crowds have left with the allocators; what is said of memory begins after them.
    """

    about: str
    calm_ms: float
    calm_gap_ms: float
    kept_mib: float
    trials: list[Trial] = field(default_factory=list)
    siege: Siege | None = None


def run(names: Sequence[str], calls: int, connections: int, per_s: float, *, urgent: bool) -> list[Report]:
    """Try these kinds, each with so many connections, which come at that rate and stay as long as they can: those
    without tokens beside a system without authentication, which they get into, and the others beside one with it.

    Args:
        urgent: server and calls go before all other work.
    """
    plain = {name: Kind(KINDS[name]) for name in names if name in KINDS}
    guarded = {name: GUARDED[name] for name in names if name in GUARDED}
    secure = {name: SECURE[name] for name in names if name in SECURE}
    with ExitStack() as stack:  # all systems start before the attackers, of which this process is one, give way to them
        trials = [
            _Trials(
                stack.enter_context(system(environ, urgent=urgent, log=GUARDED_LOG if environ else LAST_LOG)),
                kinds,
                connections,
                per_s,
                is_guarded=bool(environ),
            )
            for kinds, environ in ((plain, {}), (guarded, GUARDED_ENVIRON))
            if kinds
        ]
        if secure:
            trials.append(_Trials(stack.enter_context(secure_system(urgent=urgent)), secure, connections, per_s))
        return [trio.run(partial(each.run, calls, urgent=urgent)) for each in trials]


class _Trials:
    """One kind after the other, on one system."""

    def __init__(
        self, server: Server, kinds: dict[str, Kind], connections: int, per_s: float, *, is_guarded: bool = False
    ) -> None:
        self._server = server
        self._kinds = kinds
        self._connections = connections
        self._per_s = per_s
        self._is_guarded = is_guarded
        self._target = Target(server.port)

    async def run(self, calls: int, *, urgent: bool) -> Report:
        """Try them all beside so many calls."""
        place = partial(windows.calls, Load(calls), self._server.calls_port, server=self._server.pid, urgent=urgent)
        if self._is_guarded:
            place = partial(place, telnyx_header=f"{STREAM_HEADER}: {STREAM_TOKEN}", browser_header=_bearer("victim"))
        async with place() as placed:
            if not urgent:
                give_way()
            self._target = Target(self._server.port, await self._live())
            calms = [await _quiet(placed, CALM_S) for _ in range(CALMS)]
            cold = calms[-1]
            for name, kind in self._kinds.items():
                await self._window(placed, kind, self._connections if name in CROWDS else WARM_UP)
            start = await _quiet(placed, POLL_S)
            calm_ms = statistics.median(window.latency_ms.p99 for window in calms)
            calm_gap_ms = statistics.median(max(window.gaps_ms) for window in calms)
            about = "with authentication" if self._is_guarded else "without authentication"
            report = Report(about, calm_ms, calm_gap_ms, start.pss_mib - cold.pss_mib)
            for name, kind in self._kinds.items():
                report.trials.append(await self._trial(placed, name, kind, start, calm_ms))
        return report

    async def _trial(self, placed: Calls, name: str, kind: Kind, start: Window, calm_ms: float) -> Trial:
        before = _pids(await _quiet(placed, POLL_S))
        window, seen = await self._window(placed, kind, self._connections)
        after = await _settled(placed, start)
        trial = Trial(name, window, calm_ms, self._is_guarded, seen)
        trial.memory_mib, trial.descriptors = after.pss_mib - start.pss_mib, _descriptors(after) - _descriptors(start)
        trial.journal_mib = _journal_mib(self._server.home)
        trial.restarts = len(before - _pids(after))
        if window.closed_telnyx or window.closed_browsers:
            await placed.reopen()  # the next kind has its own victims
        measure.say(
            f"{name:26} lost {trial.lost} p99 {window.latency_ms.p99:.2f} (calm {calm_ms:.2f}) gap {trial.gap_ms:.0f} "
            f"{trial.memory_mib:+.1f} MiB {trial.descriptors:+} descriptors journal {trial.journal_mib:.0f} MiB {dict(seen)} "
            f"restarts {trial.restarts} generator late {window.lag_ms.p99:.2f} by process {_grown(start, after)}"
        )
        return trial

    async def _window(self, placed: Calls, kind: Kind, connections: int) -> tuple[Window, Counter[str]]:
        seen: Counter[str] = Counter()
        await placed.begin()
        async with trio.open_nursery() as nursery:
            began = trio.current_time()
            for number in range(min(connections, kind.most)):
                await trio.sleep_until(began + number / self._per_s)
                nursery.start_soon(_attack, kind.attack, self._target, number, seen)
            await trio.sleep(kind.last_s)
            nursery.cancel_scope.cancel()
        return await placed.end(), seen

    async def _live(self) -> tuple[str, ...]:
        headers = dict([_bearer("bench", "admin").split(": ")]) if self._is_guarded else {}
        async with httpx.AsyncClient(headers=headers) as client:
            answer = await client.get(f"http://127.0.0.1:{self._server.calls_port}/api/calls")
        return tuple(call["call_control_id"] for call in answer.json()["calls"])


async def besiege(server: Server, calls: int, connections: int, *, urgent: bool) -> Report:
    """Try many connections of one token, which do all there is at once, beside so many calls."""
    placing = windows.calls(
        Load(calls),
        server.port,
        server=server.pid,
        urgent=urgent,
        telnyx_header=f"{STREAM_HEADER}: {STREAM_TOKEN}",
        browser_header=_bearer("victim"),
    )
    async with placing as placed:
        if not urgent:
            give_way()
        siege = Siege()
        start = await _quiet(placed, POLL_S)
        await siege.carry_out(placed, Target(server.port), connections)
        after = await _settled(placed, start)
        calm = Figures.of(siege.calm)
        report = Report("one token", calm.p99, calm.gap, siege.calm[1].pss_mib - siege.calm[0].pss_mib, siege=siege)
        report.trials.append(_of_siege(siege, calm, siege.calm[1], after, _journal_mib(server.home)))
        return report


def _of_siege(siege: Siege, calm: Figures, start: Window, after: Window, journal_mib: float) -> Trial:
    by_p99 = sorted(siege.attacked, key=lambda window: window.latency_ms.p99)
    trial = Trial("all at once, of one token", by_p99[len(by_p99) // 2], calm.p99, True, siege.seen, siege=siege)
    trial.memory_mib, trial.descriptors = after.pss_mib - start.pss_mib, _descriptors(after) - _descriptors(start)
    trial.journal_mib = journal_mib
    trial.restarts = len(_pids(start) - _pids(after))
    trial.others_lost = sum(sum(window.faults.values()) for window in by_p99 if window is not trial.window)
    return trial


def besieged(calls: int, connections: int, *, urgent: bool) -> Report:
    """Start a system with authentication, and besiege it."""
    with system(GUARDED_ENVIRON, urgent=urgent, log=GUARDED_LOG) as server:
        return trio.run(partial(besiege, server, calls, connections, urgent=urgent))


def _bearer(sub: str, *can: str) -> str:
    """A header with a token for all calls."""
    return f"Authorization: Bearer {token(sub, *(can or ('listen',)))}"


async def _attack(attack: Attack, target: Target, number: int, seen: Counter[str]) -> None:
    outcome = "stayed"
    try:
        outcome = await attack(target, number)
    except (trio.BrokenResourceError, OSError):
        outcome = REFUSED
    finally:
        seen[outcome] += 1


async def _quiet(placed: Calls, seconds: float) -> Window:
    """Nobody does anything to the calls."""
    await placed.begin()
    await trio.sleep(seconds)
    return await placed.end()


async def _settled(placed: Calls, start: Window) -> Window:
    """A quiet moment, once descriptors are back, and memory, which is given back every few seconds; or they are not."""
    deadline, memory_deadline = trio.current_time() + BACK_TIMEOUT_S, trio.current_time() + MEMORY_BACK_S
    while True:
        window, now = await _quiet(placed, POLL_S), trio.current_time()
        waits_for_memory = window.pss_mib > start.pss_mib and now < memory_deadline
        if (_descriptors(window) <= _descriptors(start) and not waits_for_memory) or now > deadline:
            return window


def _descriptors(window: Window) -> int:
    found = 0
    for process in window.processes:
        with suppress(FileNotFoundError):  # it has ended meanwhile, which `restarts` tells
            found += len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
    return found


def _grown(before: Window, after: Window) -> str:
    """MiB that each process has grown by."""
    known = {process.pid: process.pss_kb for process in before.processes}
    grown = [(process.command.split()[-1], process.pss_kb - known.get(process.pid, 0)) for process in after.processes]
    return ", ".join(f"{name} {kb / 1024:+.1f}" for name, kb in grown)


def _pids(window: Window) -> set[int]:
    return {process.pid for process in window.processes}


def _journal_mib(home: Path) -> float:
    return sum(path.stat().st_size for path in (home / "data").glob("journal*")) / 2**20
