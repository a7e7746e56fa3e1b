"""The decoder's process: started when it is needed, limited in what a frame may cost, and replaced however it ends."""

from __future__ import annotations

import errno
import math
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from actors.fanout.calls.encoder import IngestClock
from actors.fanout.decoder import client as decoder_module
from actors.fanout.decoder import queue
from actors.fanout.decoder.client import COMMAND, Decoder
from actors.fanout.decoder.queue import DecodingQueue
from actors.fanout.decoder.stream import STRIKES_MAX, Decoding
from patchbay.audio.media_format import MediaFormat
from patchbay.protocol.batches import AUDIO, Entry
from tests.fakes import failing_decoder
from tests.fakes.failing_decoder import CRASH, RUBBISH, SLEEP, SPIN, STOP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.slow
TIMEOUT_S = 60.0
SILENCE = b"\xff" * 160
SPEECH = bytes(range(160)) * 4  # 20 ms of L16 at 16 kHz
STEREO_8K = MediaFormat("L16", 8000, 2)


class Scene:
    """A decoder, and streams that are handed out as they are decoded."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self.queue = DecodingQueue()
        self.counters: Counter[str] = Counter()
        self.heard: dict[str, list[bytes]] = {}
        self.decoder = Decoder(self.queue, self._deliver_decoded, self.counters, command)
        self._news = trio.Event()

    def stream(self, name: str) -> Decoding:
        self.heard[name] = []
        about, count = {"call_control_id": name}, Counter[str]()
        return Decoding(
            self.queue,
            name.encode(),
            STEREO_8K,
            IngestClock(),
            [-1, -1],
            log_fields=about,
            on_undecodable=lambda: count.update([name]),
        )

    def send(self, stream: Decoding, *payloads: bytes) -> None:
        for payload in payloads:
            whole = payload.ljust(len(SPEECH), b"\x11")
            now = trio.current_time()
            stream.add(Entry(AUDIO, 0, 0, 1, 1, 1, len(whole), 0, 7, bytes(16), whole), now, now)
        self.decoder.flush()

    async def until_heard(self, name: str, count: int) -> list[bytes]:
        """Take the first frames of a stream."""
        with trio.fail_after(TIMEOUT_S):
            while len(self.heard[name]) < count:
                await self._news.wait()
        heard, self.heard[name] = self.heard[name], []
        return heard

    def _deliver_decoded(self) -> None:
        while self.queue.changed:
            decoding, _ = self.queue.changed.popitem()
            self.heard[decoding.digest.decode()] += [frame.ulaw for frame in decoding.take_finished()]
        self._news.set()
        self._news = trio.Event()


@asynccontextmanager
async def scene(command: tuple[str, ...] = failing_decoder.COMMAND) -> AsyncIterator[Scene]:
    async with trio.open_nursery() as nursery:
        on = Scene(command)
        nursery.start_soon(on.decoder.run)
        await trio.testing.wait_all_tasks_blocked()
        yield on
        pid = on.decoder.pid
        nursery.cancel_scope.cancel()
    assert pid is None or not _is_alive(pid)


async def test_started_by_the_first_frame() -> None:
    """Holds no descriptor of ours but those that it is given, and is no actor for anybody."""
    read, write = os.pipe()
    os.set_inheritable(read, True)
    environ = {"NOTIFY_SOCKET": "/nowhere", "PATCHBAY_ACTOR_FDS": f"x:{read}"}
    with pytest.MonkeyPatch.context() as patched:
        for name, value in environ.items():
            patched.setenv(name, value)
        async with scene(COMMAND) as on:
            stream = on.stream("a")
            assert on.decoder.pid is None
            on.send(stream, SPEECH, SPEECH)
            heard = await on.until_heard("a", 2)
            assert all(100 < len(ulaw) <= 160 and ulaw != SILENCE for ulaw in heard)
            process = Path(f"/proc/{on.decoder.pid}")
            talk_sender = [str(link.readlink()) for link in (process / "fd").iterdir() if int(link.name) > 2]
            assert f"pipe:[{os.fstat(read).st_ino}]" not in talk_sender
            assert sum(link.startswith("socket:") for link in talk_sender) == 1
            assert not {name.encode() for name in environ} & {
                each.split(b"=")[0] for each in (process / "environ").read_bytes().split(b"\0")
            }
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("harm", [CRASH, SPIN, SLEEP, RUBBISH])
async def test_a_frame_that_ends_it(harm: bytes) -> None:
    """Is silence; its call goes on, and other calls lose nothing."""
    async with scene() as on:
        guilty, other = on.stream("guilty"), on.stream("other")
        on.send(other, SPEECH)
        await on.until_heard("other", 1)
        on.send(guilty, SPEECH, harm, SPEECH)
        on.send(other, SPEECH, SPEECH, SPEECH)
        assert SILENCE not in await on.until_heard("other", 3)
        heard = await on.until_heard("guilty", 3)
        assert [ulaw == SILENCE[: len(ulaw)] for ulaw in heard] == [False, True, False]
        assert (guilty.strikes, other.strikes) == (1, 0)
        assert on.counters["decoders_ended"] == 1


async def test_a_call_that_ends_it_again_and_again() -> None:
    """Harms itself only."""
    async with scene() as on:
        guilty, other = on.stream("guilty"), on.stream("other")
        on.send(guilty, *[CRASH] * 10)
        on.send(other, *[SPEECH] * 10)
        assert set(await on.until_heard("guilty", 10)) == {SILENCE}
        assert SILENCE not in await on.until_heard("other", 10)
        assert on.counters["decoders_ended"] == STRIKES_MAX


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
async def test_one_that_is_killed_between_frames(sent: int) -> None:
    """Nothing is lost."""
    async with scene() as on:
        stream = on.stream("a")
        for _ in range(2):
            on.send(stream, SPEECH)
            await on.until_heard("a", 1)
            assert on.decoder.pid is not None
            os.kill(on.decoder.pid, sent)
            on.send(stream, SPEECH)
            assert await on.until_heard("a", 1) != [SILENCE]
        assert stream.strikes == 0


async def test_one_that_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so can't end by itself: it is ended when it has not answered for long."""
    monkeypatch.setattr(queue, "WAIT_MAX_S", math.inf)  # a busy machine is not what this is about
    monkeypatch.setattr(decoder_module, "ANSWER_TIMEOUT_S", math.inf)
    async with scene() as on:
        stream = on.stream("a")
        on.send(stream, STOP, SPEECH)
        await _until(lambda: _state(on.decoder.pid) == "T")
        pid = on.decoder.pid
        on.decoder.tick()
        assert on.decoder.pid == pid
        monkeypatch.setattr(decoder_module, "ANSWER_TIMEOUT_S", -1.0)
        on.decoder.tick()
        monkeypatch.setattr(decoder_module, "ANSWER_TIMEOUT_S", math.inf)
        heard = await on.until_heard("a", 2)
        assert [ulaw == SILENCE[: len(ulaw)] for ulaw in heard] == [True, False]


async def test_without_the_library() -> None:
    """It says so, and is not started again and again."""
    async with scene(failing_decoder.WITHOUT_LIBRARY) as on:
        stream = on.stream("a")
        on.send(stream, SPEECH, SPEECH)
        await on.until_heard("a", 2)
        assert stream.failure.startswith("ModuleNotFoundError")
        assert not on.counters


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("/nowhere",), "No such file"),
        ((sys.executable, "-c", "raise SystemExit(3)"), "ended with status 3"),
        (COMMAND, "Too many open files"),
    ],
)
async def test_one_that_can_not_be_had(
    command: tuple[str, ...], why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Is tried less and less often; then nobody waits for it."""

    def fail(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    if command == COMMAND:
        monkeypatch.setattr(os, "memfd_create", fail)
    monkeypatch.setattr(decoder_module, "PAUSES_S", (0.0, 0.001, 1000.0))
    async with scene(command) as on:
        stream = on.stream("a")
        on.send(stream, SPEECH)
        assert await on.until_heard("a", 1) == [SILENCE]
        on.send(stream, SPEECH)
        on.decoder.tick()
        assert await on.until_heard("a", 1) == [SILENCE]
        assert on.counters["decoders_ended"] == 3
    assert why in caplog.text


FANOUT = """
import sys, trio
from tests.fanout.decoder.test_client import SPEECH, Scene
from tests.fakes.failing_decoder import COMMAND
async def main():
    on = Scene(COMMAND)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(on.decoder.run)
        stream = on.stream("a")
        on.send(stream, SPEECH)
        await on.until_heard("a", 1)
        on.send(stream, %r, SPEECH)
        print(on.decoder.pid, flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


@pytest.mark.parametrize("busy_with", [b"nothing", SPIN, SLEEP])
async def test_fan_out_ends_without_a_word(busy_with: bytes) -> None:
    """So does its decoder, also in the middle of a frame that has no end."""
    command = [sys.executable, "-c", FANOUT % busy_with]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        pid = int(await process.stdout.receive_some())
    finally:
        process.kill()
        await process.wait()
    await _until(lambda: not _is_alive(pid))


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody tells of."""
    with trio.fail_after(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.01)


def _is_alive(pid: int) -> bool:
    return _state(pid) not in ("", "Z")


def _state(pid: int | None) -> str:
    """By proc_pid_stat(5); empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
