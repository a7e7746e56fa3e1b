"""Crowds that open their WebSockets while the processes that answer them are killed again and again."""

from __future__ import annotations

import os
import signal
from collections import Counter
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import pytest
import trio

from tests.e2e.event_storm import SETTINGS, pid_of
from tests.e2e.system import System, running_system
from tests.fakes.websockets import upgrade_head

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

AT_ONCE = 30  # of each kind
SECONDS = 6.0
PATIENCE_S = 30.0  # the processes are killed faster than they would like to start
LISTENS_ON_S = 0.5  # for what is said twice
KINDS: dict[str, tuple[str, tuple[str, ...], bytes]] = {  # path, lines of the head, what is in the first message
    "audio": ("/audio-stream", (), b'"event":"connected"'),
    "v1": ("/audio-stream", ("Sec-WebSocket-Protocol: patchbay.v1",), b'"type":"welcome"'),
    "events": ("/call-events", (), b'"type":"welcome"'),
}


@pytest.fixture(scope="module")
def patient() -> Iterator[System]:
    """A system that has patience with crashes."""
    with running_system(**SETTINGS) as system:
        yield system


async def test_everybody_is_answered_and_welcomed_once(patient: System) -> None:
    """A process that dies between two words of a greeting has its successor say the rest, and only that."""
    outcomes: Counter[str] = Counter()
    until = trio.current_time() + SECONDS
    async with trio.open_nursery() as nursery:
        for actor in ("fanout", "call_events"):
            nursery.start_soon(_kill, patient, actor, until)
        for kind in KINDS:
            for _ in range(AT_ONCE):
                nursery.start_soon(_come_again, patient.port, kind, until, outcomes)
    assert set(outcomes) == {f"{kind}: 1 answer, 1 welcome" for kind in KINDS}


async def _kill(system: System, actor: str, until: float) -> None:
    random = Random(actor)
    while trio.current_time() < until:
        await trio.sleep(random.uniform(0.3, 0.7))
        if (pid := await pid_of(system, actor)) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def _come_again(port: int, kind: str, until: float, outcomes: Counter[str]) -> None:
    while trio.current_time() < until:
        came = await _come(port, kind)
        answers, welcomes = came.count(b"HTTP/1.1 "), came.count(KINDS[kind][2])
        is_well = came.startswith(b"HTTP/1.1 101 ") and answers == welcomes == 1
        outcomes[f"{kind}: {answers} answer, {welcomes} welcome{'' if is_well else f' {came!r}'}"] += 1


async def _come(port: int, kind: str) -> bytes:
    """All that one gets who connects, and stays for a moment after its first message."""
    path, lines, first = KINDS[kind]
    came = b""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(upgrade_head(path, *lines))
        with trio.move_on_after(PATIENCE_S) as patience:
            async for piece in stream:
                came += piece
                if first in came:
                    patience.deadline = min(patience.deadline, trio.current_time() + LISTENS_ON_S)
    return came
