"""A spare process stands in for one that has crashed, while a call runs."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.e2e.system import eventually, running_system
from tests.e2e.test_restarts import REREAD_LOSS_MAX, hears_at_once, scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.system import System
    from tests.e2e.test_restarts import Scene

__all__ = ["scene"]  # a fixture

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def patchbay() -> Iterator[System]:
    """A system of our own to do harm to."""
    with running_system(SUPERVISOR__SPARES="2") as system:
        yield system


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
@pytest.mark.parametrize("name", ["ingest", "fanout"])
async def test_a_spare_stands_in(patchbay: System, scene: Scene, name: str, how: signal.Signals) -> None:
    """It is as any other process of that actor, and nobody notices more than a gap."""
    await eventually(lambda: has_spares(patchbay))
    before = await patchbay.actor(name)
    os.kill(before["pid"], how)
    await eventually(lambda: is_back(patchbay, name, before["pid"]))
    after = await patchbay.actor(name)
    command = await patchbay.command("explain", name)
    assert command.rstrip().splitlines()[-2].endswith("started again, by a spare")
    lost = await scene.nobody_noticed(patchbay)
    await hears_at_once(patchbay, scene)
    if name == "ingest":
        assert sum(lost) <= 2 * REREAD_LOSS_MAX
    assert f'"actor":"{name}.0","pid":{after["pid"]}' in patchbay.log()


async def test_both_are_killed_at_once(patchbay: System, scene: Scene) -> None:
    """What ingest reads again may have been delivered, which nobody remembers: nothing is heard twice."""
    await eventually(lambda: has_spares(patchbay))
    before = {name: (await patchbay.actor(name))["pid"] for name in ("ingest", "fanout")}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    for name, pid in before.items():
        await eventually(lambda name=name, pid=pid: is_back(patchbay, name, pid))  # type: ignore[misc]
    await scene.nobody_noticed(patchbay)
    await hears_at_once(patchbay, scene)


async def test_one_that_stands_in_stops_as_any_other(patchbay: System, scene: Scene) -> None:
    """Rolled, it hands everything over and drains."""
    await eventually(lambda: has_spares(patchbay))
    before = (await patchbay.actor("fanout"))["pid"]
    os.kill(before, signal.SIGKILL)
    await eventually(lambda: is_back(patchbay, "fanout", before))
    await scene.goes_on()
    lost = await scene.nobody_noticed(patchbay)
    await patchbay.command("roll", "fanout")
    assert await scene.nobody_noticed(patchbay) == lost


async def has_spares(system: System) -> bool:
    return bool((await system.supervision())["supervisor"]["spares"] == 2)


async def is_back(system: System, name: str, before: int) -> bool:
    entry = await system.actor(name)
    return bool(entry["state"] == "READY" and entry["pid"] != before)
