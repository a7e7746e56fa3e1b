"""A load that goes on: the generator under command, counting one window of time after the other."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from subprocess import PIPE
from typing import TYPE_CHECKING

import msgspec
import trio

from bench import cache
from bench.generator import Counts, Load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ANSWER_TIMEOUT_S = 60.0


class Window(Counts, frozen=True, kw_only=True):
    """What happened in a window of time.

    Attributes:
        listeners: of each, the longest silence and the worst latency, in milliseconds.
    """

    listeners: list[tuple[float, float]]

    @property
    def gaps_ms(self) -> list[float]:
        """The longest silence of each listener."""
        return [gap for gap, _ in self.listeners]

    @property
    def worst_ms(self) -> list[float]:
        """The worst latency of each listener."""
        return [worst for _, worst in self.listeners]


class Calls:
    """Commands to the generator. One at a time."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._rest = b""

    async def begin(self) -> None:
        """A window begins."""
        await self._stdin.send_all(b"begin\n")

    async def end(self) -> Window:
        """The window ends."""
        return msgspec.json.decode(await self._ask(b"end\n"), type=Window)

    async def reopen(self) -> int:
        """Connect again those that were disconnected; return how many could not be."""
        return int(msgspec.json.decode(await self._ask(b"reopen\n"))["failed"])

    async def until_ready(self) -> None:
        """Wait until all are connected."""
        await self._line()

    async def _ask(self, command: bytes) -> bytes:
        await self._stdin.send_all(command)
        return await self._line()

    async def _line(self) -> bytes:
        with trio.fail_after(ANSWER_TIMEOUT_S):
            while b"\n" not in self._rest:
                data = await self._stdout.receive_some()
                if not data:
                    raise EOFError("the load generator has ended; its reason is above")
                self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line


@asynccontextmanager
async def calls(
    load: Load,
    port: int,
    *,
    server: int = 0,
    core: int = -1,
    urgent: bool = False,
    telnyx_header: str = "",
    browser_header: str = "",
) -> AsyncIterator[Calls]:
    """Place calls and have them listened to; they last as long as the block.

    Args:
        server: process id; CPU and memory of it and all below are then reported.
        core: where the generator runs; -1: anywhere.
        urgent: before all other work.
        telnyx_header, browser_header: of their requests, for a token.
    """
    command = [str(cache.loadgen()), *load.arguments(), "--port", str(port), "--control"]
    command += ["--pid", str(server), "--cpu", str(core), *(["--urgent"] if urgent else [])]
    command += ["--telnyx-header", telnyx_header, "--browser-header", browser_header]
    start = partial(trio.run_process, command, check=False, stdin=PIPE, stdout=PIPE)
    async with trio.open_nursery() as nursery:
        process = await nursery.start(start)
        commanded = Calls(process)
        await commanded.until_ready()
        yield commanded
        nursery.cancel_scope.cancel()
