"""The process that decodes wide-band audio, in the running system: whoever hears it or another call stays connected,
whatever ends."""

from __future__ import annotations

import math
import os
import signal
import struct
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from tests.e2e.calls import media, new_call_id
from tests.e2e.clients import Client, client, listener
from tests.e2e.system import eventually, running_system
from tests.e2e.v1_client import v1_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.e2e.system import System

pytestmark = pytest.mark.slow
SILENCE = b"\xff" * 160
FRAMES_PER_S = 50
TIMEOUT_S = 60
PCMU = {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
STEREO = {"encoding": "L16", "sample_rate": 16_000, "channels": 2}  # which no form has as it is
TONE = struct.pack(
    "<640h", *[round(9000 * math.sin(math.tau * at * 500 / 16_000)) for at in range(320) for _ in range(2)]
)


@pytest.fixture(scope="module")
def patchbay() -> Iterator[System]:
    """A system of our own to do harm to."""
    with running_system() as system:
        yield system


def decoder_of(pid: int) -> int:
    """The decoder of a fan-out process, 0 where it has none."""
    for task in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((task / "stat").read_text().rpartition(")")[2].split()[1])
            command = (task / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid and b"decoder.process" in command:
            return int(task.name)
    return 0


async def decoder_at(pid: int) -> int:
    """The decoder of a fan-out process, as soon as it has one."""

    async def find() -> int:
        return decoder_of(pid)

    return await eventually(find, TIMEOUT_S)


def is_alive(pid: int) -> bool:
    """Whether it does anything yet."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until_gone(pid: int) -> None:
    async def has_gone() -> bool:
        return not is_alive(pid)

    await eventually(has_gone, TIMEOUT_S)


class Speaker:
    """A call that speaks for ever, as fast as speech."""

    def __init__(self, telnyx: Client, call_id: str, media_format: dict[str, object], payload: bytes) -> None:
        self.said = 0
        self.call_id = call_id
        self._telnyx = telnyx
        self._payload = payload
        self._format = media_format

    async def run(self) -> None:
        body = {"call_control_id": self.call_id, "media_format": self._format}
        await self._telnyx.send({"event": "start", "sequence_number": "1", "stream_id": "S-1", "start": body})
        while True:
            self.said += 1
            payload = self._payload or b"%159d." % self.said
            await self._telnyx.send_together([media(self.said, payload)])
            await trio.sleep(1 / FRAMES_PER_S)


@asynccontextmanager
async def speaking(system: System, media_format: dict[str, object], payload: bytes = b"") -> AsyncIterator[Speaker]:
    async with client(system, "/audio-stream?role=telnyx") as telnyx, trio.open_nursery() as nursery:
        speaker = Speaker(telnyx, new_call_id(), media_format, payload)
        nursery.start_soon(speaker.run)
        yield speaker
        nursery.cancel_scope.cancel()


def steps_of(numbers: list[int]) -> set[int]:
    """What they rise by."""
    return {after - before for before, after in pairwise(numbers)}


async def until_speech(ear: Client) -> None:
    """Wait until it hears something that is not silence, from now on."""
    already = len(ear.audio)
    await ear.until(lambda: any(set(frame) != {0xFF} for frame in ear.audio[already:]))


@pytest.mark.parametrize("sent", [signal.SIGSEGV, signal.SIGKILL])
async def test_a_decoder_that_ends(patchbay: System, sent: int) -> None:
    """Again and again: all who hear decoded audio go on hearing it, on the same connection; others notice nothing."""
    async with AsyncExitStack() as stack:
        odd = await stack.enter_async_context(speaking(patchbay, STEREO, TONE))
        plain = await stack.enter_async_context(speaking(patchbay, PCMU))
        ears = [
            await stack.enter_async_context(listener(patchbay, odd.call_id, **form)) for form in ({}, {"track": "both"})
        ]
        page = await stack.enter_async_context(v1_client(patchbay))
        await page.subscribe(odd.call_id, "inbound")
        other = await stack.enter_async_context(listener(patchbay, plain.call_id))
        fanout = (await patchbay.actor("fanout"))["pid"]
        for _ in range(2):
            for ear in ears:
                await until_speech(ear)
            heard = len(page.track(0))
            await page.until(lambda heard=heard: len(page.track(0)) > heard)  # type: ignore[misc]
            os.kill(await decoder_at(fanout), sent)
        for ear in ears:
            await until_speech(ear)
        assert steps_of([int(frame[:-1]) for frame in other.audio]) == {1}
        assert steps_of([each.sequence for each in page.track(0)]) == {1}
        assert (await patchbay.actor("fanout"))["pid"] == fanout
        assert "the decoder was ended by signal" in patchbay.log()


async def test_a_fan_out_that_ends(patchbay: System) -> None:
    """Its decoder ends with it, and the next one has its own; also in a roll, where no frame is lost."""
    async with speaking(patchbay, STEREO, TONE) as odd, v1_client(patchbay) as page:
        await page.subscribe(odd.call_id, "inbound")
        await page.until(lambda: len(page.track(0)) > 20)
        old = (await patchbay.actor("fanout"))["pid"]
        decoder = await decoder_at(old)
        await patchbay.command("roll", "fanout")
        await until_gone(decoder)
        heard = len(page.track(0))
        await page.until(lambda: len(page.track(0)) > heard + 20)
        sequences = [each.sequence for each in page.track(0)]
        assert steps_of(sequences) == {1}, sequences
        new = (await patchbay.actor("fanout"))["pid"]
        decoder = await decoder_at(new)
        os.kill(new, signal.SIGKILL)
        await until_gone(decoder)
        heard = len(page.track(0))
        await page.until(lambda: len(page.track(0)) > heard + 20)


async def test_nothing_is_left_of_a_system_that_stops() -> None:
    """Nor is a decoder started for calls that need none."""
    with running_system() as system:
        fanout = (await system.actor("fanout"))["pid"]
        async with speaking(system, PCMU) as plain, listener(system, plain.call_id) as ear:
            await until_speech(ear)
            assert decoder_of(fanout) == 0
        async with speaking(system, STEREO, TONE) as odd, listener(system, odd.call_id) as ear:
            await until_speech(ear)
            decoder = await decoder_at(fanout)
    await until_gone(decoder)
