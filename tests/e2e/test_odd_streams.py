"""Streams as carriers really send them: what every form of listener hears of them, also over a restart in the
middle."""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.e2e.calls import media, new_call_id
from tests.e2e.clients import Client, client, listener
from tests.e2e.system import running_system
from tests.e2e.v1_client import v1_client
from tests.fakes.websockets import CONTINUATION, masked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.e2e.system import System
    from tests.e2e.v1_client import V1Client

pytestmark = pytest.mark.slow
PCMU = {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
PCMA = {**PCMU, "encoding": "PCMA"}


@pytest.fixture(scope="module", params=["true", "false"], ids=["C", "Python"])
def patchbay(request: pytest.FixtureRequest) -> Iterator[System]:
    """A system of our own to do harm to, with its routines in C and without."""
    with running_system(NATIVE=request.param) as system:
        yield system


def frame(number: int) -> bytes:
    """20 ms that say which they are; none of it is silence."""
    return (b"%d." % number).ljust(160, b"*")


class Scene:
    """A stream written by hand, and one listener in each form."""

    def __init__(self, telnyx: Client, ears: dict[str, Client], page: V1Client) -> None:
        self.telnyx = telnyx
        self.ears = ears
        self.page = page
        self.call_id = ""

    def heard(self) -> dict[str, list[bytes]]:
        """What each has heard, 20 ms at a time."""
        return {
            "binary": self.ears["binary"].audio,
            "mixed": self.ears["mixed"].audio,
            "json": self.ears["json"].json_audio,
            "v1": [each.payload for each in self.page.track(0)],
        }

    async def start(self, media_format: dict[str, Any] = PCMU, **more: Any) -> None:
        """Send a start frame."""
        body = {"call_control_id": self.call_id, "media_format": media_format, **more}
        await self.telnyx.send({"event": "start", "sequence_number": "1", "stream_id": "S-1", "start": body})

    async def say(self, chunks: range, first: int) -> None:
        """Send frames with these chunk numbers; what they hold is counted on from `first`."""
        await self.telnyx.send_together(media(chunk, frame(first + at)) for at, chunk in enumerate(chunks))

    async def until_heard(self, last: int) -> None:
        """Wait until all have heard a frame."""
        for name, ear in {**self.ears, "v1": self.page.inner}.items():
            await ear.until(lambda name=name: frame(last) in self.heard()[name])  # type: ignore[misc]


@asynccontextmanager
async def scene(system: System) -> AsyncIterator[Scene]:
    call_id = new_call_id()
    forms = {"binary": {}, "mixed": {"track": "both"}, "json": {"format": "json"}}
    async with AsyncExitStack() as stack:
        ears = {
            name: await stack.enter_async_context(listener(system, call_id, **form)) for name, form in forms.items()
        }
        page = await stack.enter_async_context(v1_client(system))
        await page.subscribe(call_id, "inbound")
        telnyx = await stack.enter_async_context(client(system, "/audio-stream?role=telnyx"))
        made = Scene(telnyx, ears, page)
        made.call_id = call_id
        await made.start()
        yield made


@pytest.mark.parametrize("said", ["nothing", "start"])
@pytest.mark.parametrize("harm", ["", "roll ingest", "kill ingest", "roll fanout"])
async def test_numbers_that_begin_anew(patchbay: System, said: str, harm: str) -> None:
    """After a hold, say: nothing is lost but what was on its way through a process that was killed."""
    async with scene(patchbay) as on:
        await on.say(range(1, 201), 0)
        await on.until_heard(199)
        if said == "start":
            await on.start()
        await on.say(range(1, 41), 200)
        await on.until_heard(239)
        how, _, name = harm.partition(" ")
        if how == "roll":
            await patchbay.command("roll", name)
        elif how == "kill":
            os.kill((await patchbay.actor(name))["pid"], signal.SIGKILL)
        await on.say(range(41, 100), 240)
        await on.until_heard(298)  # more at once is more than is kept for listeners that are between two processes
        await on.say(range(1, 60), 299)
        await on.until_heard(357)
        for form, heard in on.heard().items():
            assert heard == [frame(number) for number in range(358)], form
        sequences = [each.sequence for each in on.page.track(0)]
        assert sequences == list(range(sequences[0], sequences[0] + 358))
        assert len(on.page.of("stream")) == 1
        assert [len(ear.of("start")) for ear in on.ears.values()] == [1, 1, 1]


async def test_another_format_in_the_middle(patchbay: System) -> None:
    """It is told to everybody, before audio in it; the old frontend hears µ-law all the time."""
    async with scene(patchbay) as on:
        await on.say(range(1, 11), 0)
        await on.until_heard(9)
        await on.start(PCMA)
        await on.telnyx.send_together(media(chunk, b"\xd5" * 160) for chunk in range(11, 21))
        await on.page.until(lambda: len(on.page.track(0)) == 20)
        formats = [message["format"]["codec"] for message in on.page.of("stream")]
        assert formats == ["PCMU", "PCMA"]
        assert [each.codec for each in on.page.track(0)] == [0] * 10 + [1] * 10
        json = on.ears["json"]
        await json.until(lambda: len(json.of("media")) == 20)
        told = [
            message["start"]["media_format"]["encoding"] if message["event"] == "start" else message["media"]["format"]
            for message in json.events[1:]
        ]
        assert told == ["PCMU"] * 11 + ["PCMA"] * 11
        binary = on.ears["binary"]
        await binary.until(lambda: len(binary.audio) == 20)
        assert binary.audio[10:] == [b"\xfe" * 160] * 10


@pytest.mark.parametrize(
    ("encoding", "payload"),
    [
        ("AMR-WB", b"\xf0\x7c"),
        ("AMR-WB", b"\xf0\x4c" + bytes(5)),
        ("PCMU", b""),
        ("L16", b"odd"),
        ("OPUS", b"\xff" * 3),
    ],
    ids=["no data", "SID", "empty", "odd", "corrupt"],
)
async def test_silence_has_a_length(patchbay: System, encoding: str, payload: bytes) -> None:
    """What holds nothing, or can't be decoded, is as long as it was; other calls hear nothing of it."""
    async with scene(patchbay) as on, scene(patchbay) as other:
        await on.start({"encoding": encoding, "sample_rate": 8000 if encoding == "PCMU" else 16_000, "channels": 1})
        await on.telnyx.send_together(media(chunk, payload) for chunk in range(1, 31))
        await other.say(range(1, 31), 0)
        await other.until_heard(29)
        for ear in (on.ears["binary"], on.ears["mixed"]):
            await ear.until(lambda ear=ear: len(ear.audio) == 30)  # type: ignore[misc]
            assert set(ear.audio) == {b"\xff" * 160}
        if encoding != "L16":  # which goes as it is
            await on.page.until(lambda: len(on.page.track(0)) == 30)
            assert {each.payload for each in on.page.track(0)} == {b"\xff" * 160}
            sequences = [each.sequence for each in on.page.track(0)]
            assert sequences == list(range(sequences[0], sequences[0] + 30))


@pytest.mark.parametrize(
    "media_format",
    [
        {"encoding": "EVS"},
        {"encoding": "L16", "sample_rate": 1},
        {"encoding": "L16", "sample_rate": 10**9, "channels": 99},
    ],
)
async def test_a_format_that_nobody_has(patchbay: System, media_format: dict[str, Any]) -> None:
    """It costs its own call; who asked for what can't be made is told."""
    async with scene(patchbay) as on, scene(patchbay) as other:
        await on.start(media_format)
        await on.telnyx.send_together(media(chunk, bytes(320)) for chunk in range(1, 31))
        await other.say(range(1, 31), 0)
        await other.until_heard(29)
        json = on.ears["json"]
        await json.until(lambda: len(json.of("media")) == 30)
        if media_format["encoding"] == "EVS":
            for ear in (on.ears["binary"], on.ears["mixed"]):
                await ear.until(lambda ear=ear: ear.of("error"))  # type: ignore[misc]
                assert ear.of("error")[0]["payload"]["code"] == 200020
            await on.page.until(lambda: on.page.of("error"))
            assert on.page.of("error")[0]["code"] == 200020


async def test_every_message_in_fragments(patchbay: System) -> None:
    """As some proxies send them: it counts like any other, also over a roll and a kill."""
    async with scene(patchbay) as on:
        for number in range(150):
            message = media(number + 1, frame(number)).encode()
            half = len(message) // 2
            await on.telnyx.send_bytes(masked(message[:half], 0x01))
            if number == 50:
                await patchbay.command("roll", "ingest")
            if number == 100:
                os.kill((await patchbay.actor("ingest"))["pid"], signal.SIGKILL)
            await on.telnyx.send_bytes(masked(message[half:], CONTINUATION))
        await on.until_heard(149)
        for form, heard in on.heard().items():
            assert heard == [frame(number) for number in range(150)], form


async def test_goodbye_right_after_a_restart(patchbay: System) -> None:
    """The first frame on a connection that another process has taken over is not lost, whatever it is."""
    for how in ("roll", "kill"):
        async with scene(patchbay) as on:
            if how == "roll":
                await patchbay.command("roll", "fanout")
            else:
                os.kill((await patchbay.actor("fanout"))["pid"], signal.SIGKILL)
            with trio.fail_after(60):
                await on.page.inner.websocket.ping(b"first")
                await on.ears["json"].websocket.aclose()
                assert (await on.ears["json"].until_closed()).code == 1000
