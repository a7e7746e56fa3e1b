"""The configuration is read again while calls run, good and bad, with more processes and fewer: nobody notices."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import trio

from bench import cache, windows
from bench.generator import Load
from config import transfer
from supervisor.commands.client import NoSupervisorError
from tests.e2e.calls import call, new_call_id, numbered
from tests.e2e.clients import client, listener
from tests.e2e.system import System, eventually, new_system
from tests.e2e.test_talking import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.call import SimulatedCall
    from tests.e2e.clients import Client

pytestmark = pytest.mark.slow
CALLS = 4
BAD = ("nonsense = 1\n", "[ingest\n", "[fanout]\nprocesses = 0\n", 'host = "0.0.0.0"\n', '[log]\nlevel = "loud"\n')


@contextmanager
def configured(ingests: int, fanouts: int) -> Iterator[System]:
    """A system with a configuration file, ready."""
    with new_system() as system:
        for name in ("INGEST__PROCESSES", "FANOUT__PROCESSES"):
            del system.environ[f"PATCHBAY_{name}"]
        system.environ["PATCHBAY_CONFIG"] = str(system.home / "patchbay.toml")
        write(system, ingests, fanouts)
        system.start()
        system.wait_ready()
        yield system
        assert system.stop() == 0, system.log()


def write(system: System, ingests: int, fanouts: int) -> None:
    text = f"[ingest]\nprocesses = {ingests}\n[fanout]\nprocesses = {fanouts}\n"
    (system.home / "patchbay.toml").write_text(text)


async def reload(system: System, ingests: int, fanouts: int) -> None:
    """Have so many processes from now on; returns when it is so."""
    write(system, ingests, fanouts)
    await system.command("reload")
    names = [entry["name"] for entry in await system.actors()]
    assert (names.count("ingest"), names.count("fanout")) == (ingests, fanouts)
    await runs_what_was_accepted(system, ingests, fanouts)


async def refused(system: System, text: str) -> None:
    """Read something that can't be used."""
    (system.home / "patchbay.toml").write_text(text)
    assert system.process is not None
    os.kill(system.process.pid, signal.SIGHUP)

    async def is_told() -> bool:
        return "configuration REFUSED" in await system.command("status")

    await eventually(is_told)


async def runs_what_was_accepted(system: System, ingests: int, fanouts: int) -> None:
    for entry in await system.actors():
        assert entry["state"] == "READY", entry
        given = transfer.newest([entry["pid"]])
        assert given is not None
        assert (given.settings.ingest.processes, given.settings.fanout.processes) == (ingests, fanouts), entry


@dataclass
class Party:
    """A call and those who hear it."""

    running: SimulatedCall
    ears: list[Client]
    position: dict[bytes, int]

    def heard(self, ear: Client) -> list[int]:
        return [self.position[frame] for frame in [*ear.audio, *ear.json_audio]]

    async def goes_on(self) -> None:
        """Wait until everybody has heard more, and until talk comes through."""
        sofar = {ear: len(self.heard(ear)) for ear in self.ears}
        for ear in self.ears:
            await ear.until(lambda ear=ear: len(self.heard(ear)) >= sofar[ear] + 25)  # type: ignore[misc]
        said = len(self.running.far_end.received)

        async def is_heard() -> bool:
            await say(self.ears[0], b"\x01" * 160)
            return len(self.running.far_end.received) > said

        await eventually(is_heard)

    def nobody_noticed(self) -> None:
        assert self.running.counters["connections"] == 1
        assert self.running.endings == []
        for ear in self.ears:
            assert not ear.ended
            assert len(ear.of("start")) == len(ear.of("connected")) == 1
            assert ear.of("error") == []
            heard = self.heard(ear)
            assert [later - earlier for earlier, later in pairwise(heard)] == [1] * (len(heard) - 1)


async def party(stack: AsyncExitStack, system: System, number: int) -> Party:
    call_id, clip = new_call_id(), numbered(number, 20_000)
    ears = [
        await stack.enter_async_context(listener(system, call_id, **parameters))
        for parameters in ({}, {"format": "json"})
    ]
    running = await stack.enter_async_context(call(system, call_id, tracks={"inbound": clip}))
    return Party(running, ears, {frame: tick for tick, frame in enumerate(clip.frames)})


async def all_go_on(parties: list[Party]) -> None:
    async with trio.open_nursery() as nursery:
        for each in parties:
            nursery.start_soon(each.goes_on)
    for each in parties:
        each.nobody_noticed()


async def test_fewer_and_more_processes() -> None:
    """Streams and listeners of processes that are to be no more move, as in a roll; what is refused changes nothing."""
    with configured(2, 2) as system:
        async with AsyncExitStack() as stack:
            events = await stack.enter_async_context(client(system, "/call-events"))
            parties = [await party(stack, system, number) for number in range(CALLS)]
            await all_go_on(parties)
            before = {entry["pid"] for entry in await system.actors()}
            await reload(system, 1, 1)
            await all_go_on(parties)
            assert not before & {entry["pid"] for entry in await system.actors() if entry["name"] == "gateway"}
            await refused(system, BAD[0])
            os.kill((await system.actor("console"))["pid"], signal.SIGKILL)
            await system.until_ready()
            await reload(system, 2, 2)
            await all_go_on(parties)
            assert not events.ended


@pytest.mark.long
async def test_twenty_reloads_under_a_hundred_calls() -> None:
    """Good and bad, more and fewer, both at once: nothing is lost, nothing twice, nobody disconnected."""
    cache.loadgen()
    random = Random(20)
    counts = (2, 2)
    with configured(*counts) as system:
        async with windows.calls(Load(100), system.port) as calls:
            for number in range(20):
                await calls.begin()
                if number % 4 == 3:
                    await refused(system, BAD[number // 4 % len(BAD)])
                    await runs_what_was_accepted(system, *counts)
                else:
                    counts = random.choice([(i, f) for i in (1, 2, 3) for f in (1, 2, 3) if (i, f) != counts])
                    await reload(system, *counts)
                await trio.sleep(1.0)  # what was late arrives in the same window
                window: Any = await calls.end()
                assert not window.faults, (number, counts, window.faults)


async def test_the_run_directory_is_removed() -> None:
    """It is made anew while calls run, and nobody notices."""
    with configured(1, 1) as system:
        async with AsyncExitStack() as stack:
            parties = [await party(stack, system, number) for number in range(2)]
            await all_go_on(parties)
            before = {entry["pid"] for entry in await system.actors()}
            await trio.to_thread.run_sync(shutil.rmtree, system.run_dir)

            async def all_are_new() -> bool:
                try:
                    actors = await system.actors()
                except NoSupervisorError:
                    return False  # its socket is not there yet either
                pids = {entry["pid"] for entry in actors if entry["state"] == "READY"}
                return len(pids) == len(actors) and not pids & before

            await eventually(all_are_new)
            await all_go_on(parties)
