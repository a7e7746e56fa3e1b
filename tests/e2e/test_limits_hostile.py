"""Hostile peers beside running calls: each gets what it deserves, and nobody else notices."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
import trio.lowlevel

from bench.hostile.kinds import KINDS, SOCKETS, Target
from bench.hostile.payloads import REQUESTS, SMUGGLED
from bench.hostile.wire import BINARY, CLOSE, CONTINUATION, PING, TEXT, frame, raw
from tests.e2e.calls import call, new_call_id, recording, until
from tests.e2e.clients import listener
from tests.e2e.guarded import descriptors
from tests.e2e.http_client import exchange, status_of
from tests.e2e.system import eventually, running_system

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.hostile.kinds import Attack
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
CALLS, FRAMES = 4, 200  # four seconds
EACH = 3  # hostile connections of each kind, at a time
GROWTH_MAX_KIB = 40 * 1024  # of an actor's memory: buffers and arenas that stay, not connections

HALF_A_TEXT = "text that is not UTF-8, half of it"
# What must be answered with which close code: RFC 6455 §7.4.1, and our limits.
FAULTS = {
    "text that is not UTF-8": (frame(TEXT, b'{"event":"\xff\xfe"}'), {1007}),
    HALF_A_TEXT: (frame(TEXT, b'{"event":"\xff\xfe', length=1000)[:-1], {1007}),
    "text that is cut off": (frame(TEXT, "é".encode()[:1]), {1007}),
    "fragments that are not UTF-8": (frame(TEXT, b"\xed", fin=False) + frame(CONTINUATION, b"\xa0"), {1007}),
    "a reason that is not UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), {1002, 1007}),
    "not masked": (frame(TEXT, b"{}", masked=False), {1002}),
    "a reserved bit": (frame(TEXT, b"{}", reserved=4), {1002}),
    "another reserved bit": (frame(BINARY, b"abcd", reserved=1), {1002}),
    "a reserved opcode": (frame(3, b"{}"), {1002}),
    "a reserved control opcode": (frame(11, b"{}"), {1002}),
    "a continuation of nothing": (frame(CONTINUATION, b"{}"), {1002}),
    "a ping in two parts": (frame(PING, b"x", fin=False), {1002}),
    "a ping of 126 bytes": (frame(PING, b"x" * 126), {1002}),
    "a close of one byte": (frame(CLOSE, b"x"), {1002}),
    "a close code of nobody": (frame(CLOSE, b"\x03\xed"), {1002}),
    "a message within a message": (frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), {1002}),
    "a length of 2^63": (frame(BINARY, b"x" * 64, length=2**63), {1002, 1009}),
    "a length of 2^62": (frame(BINARY, b"x" * 64, length=2**62), {1002, 1009}),
    "two megabytes": (frame(TEXT, b"x", length=2**21), {1009}),
}


@pytest.fixture(scope="module")
def attacked() -> Iterator[System]:
    """A system of its own: what is left in it afterwards is looked at. Listeners here share their process with the
    hostile peers, so they may be late: that must not count as a loss."""
    with running_system(FANOUT__QUEUE_MS="20000") as system:
        yield system


@pytest.mark.parametrize("path", SOCKETS)
async def test_faults_of_the_protocol(attacked: System, path: str) -> None:
    """Are answered with the code that RFC 6455 has for them, whole or in pieces."""

    async def is_answered(name: str, pieces: list[bytes]) -> None:
        async with raw(attacked.port, path) as peer:
            for piece in pieces:
                await peer.say(piece)
                await trio.lowlevel.checkpoint()
            assert await peer.close_code() in FAULTS[name][1], name

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for name, (data, _) in FAULTS.items():
                if name == HALF_A_TEXT and "role=telnyx" in path:
                    continue  # of the carrier's text each message is judged by itself, when it is whole
                nursery.start_soon(is_answered, name, [data])
                nursery.start_soon(is_answered, name, [data[:1], data[1:3], data[3:]])


@pytest.mark.parametrize("name", REQUESTS)
async def test_requests_that_two_parsers_might_read_differently(attacked: System, name: str) -> None:
    """One refusal, and the end: nothing that hides behind it is ever served."""
    answer = await exchange(attacked.port, REQUESTS[name] + SMUGGLED)
    assert status_of(answer) in (400, 405, 413, 501)
    if status_of(answer) != 405:  # with that the length is clear, and what follows is a request of its own
        assert answer.count(b"HTTP/1.1 ") == 1


async def test_beside_running_calls(attacked: System) -> None:
    """Not one frame of theirs is lost; memory and descriptors are back afterwards, and nothing failed in us."""
    await attacked.until_no_call()
    target = Target(attacked.port)
    actors = {actor["name"]: actor["pid"] for actor in await attacked.actors()}
    async with trio.open_nursery() as nursery:  # once round, so that what stays for ever is there before we look
        for attack in KINDS.values():
            for number in range(EACH):
                nursery.start_soon(_attack, attack, target, number)
    open_before = {name: descriptors(pid) for name, pid in actors.items()}
    before = {name: _memory_kib(pid) for name, pid in actors.items()}
    async with trio.open_nursery() as hostile:
        for attack in KINDS.values():
            for number in range(EACH):
                hostile.start_soon(_again_and_again, attack, target, number)
        with trio.fail_after(180):
            async with trio.open_nursery() as calls:
                for number in range(CALLS):
                    calls.start_soon(_whole_call, attacked, number)
        hostile.cancel_scope.cancel()

    async def all_gone() -> bool:
        return all(descriptors(pid) <= open_before[name] + 4 for name, pid in actors.items())

    await eventually(all_gone)
    for name, pid in actors.items():
        assert _memory_kib(pid) - before[name] < GROWTH_MAX_KIB, name
    assert {actor["name"]: actor["pid"] for actor in await attacked.actors()} == actors
    assert "Traceback" not in attacked.log()


async def _whole_call(system: System, number: int) -> None:
    call_id, clip = new_call_id(), recording(frames=FRAMES, start=20 + number)
    async with listener(system, call_id) as heard, call(system, call_id, tracks={"inbound": clip}) as running:
        await until(running, lambda: running.outcome is not None)
        await heard.until(lambda: heard.of("stop"))
        told = [
            line
            for line in (await system.get("/metrics"))[1].decode().splitlines()
            if "dropped" in line or "lost" in line
        ]
        assert heard.audio == list(clip.frames), (len(heard.audio), running.outcome, told)


def _memory_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


async def _again_and_again(attack: Attack, target: Target, first: int) -> None:
    for number in count(first, EACH):
        await _attack(attack, target, number)
        await trio.sleep(0.2)


async def _attack(attack: Attack, target: Target, number: int) -> None:
    with trio.move_on_after(8), suppress(trio.BrokenResourceError, OSError):
        await attack(target, number)
