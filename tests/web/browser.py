"""A real Chromium with a page that has the library, and how to hear what its worklet puts out."""

from __future__ import annotations

import shutil
import subprocess
import sys
import wave
from base64 import b64decode
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tests.e2e.system import ROOT, STOP_TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from playwright.sync_api import Browser, Page, Playwright

    from tests.e2e.system import System

    Samples: TypeAlias = NDArray[np.float64]


AUDIBLE_RMS = 0.01
LOST = 0.8
ALIKE = 0.985  # so alike that no other speed need be tried
COMPARED_RATE = 24_000  # three times what a telephone carries, so that the best lag is near enough
SPEEDS = np.arange(-8, 9) / 1000
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
# A recorder hears the worklet's two outputs, one on each channel. It queues what the page is too busy to take.
RECORD = """(id) => {
  const call = patchbay.call(id);
  const context = patchbay.audioContext;
  const merger = new ChannelMergerNode(context, { numberOfInputs: 2 });
  const target = new MediaStreamAudioDestinationNode(context, { channelCount: 2 });
  call.node.connect(merger, 0, 0);
  call.node.connect(merger, 1, 1);
  merger.connect(target);
  const [track] = target.stream.getAudioTracks();
  const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 10000 }).readable.getReader();
  const recording = { sides: [[], []], rate: 0, samples: 0 };
  globalThis.recordings = { ...globalThis.recordings, [id]: recording };
  (async () => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      recording.sides.forEach((side, planeIndex) => {
        const part = new Float32Array(value.numberOfFrames);
        value.copyTo(part, { planeIndex, format: "f32-planar" });
        side.push(part);
      });
      recording.rate = value.sampleRate;
      recording.samples += value.numberOfFrames;
      value.close();
    }
  })();
}"""
RECORDED = """(id) => ({
  rate: recordings[id].rate,
  sides: recordings[id].sides.map((side) => {
    const bytes = side.flatMap((part) => Array.from(new Uint8Array(part.buffer), (byte) => String.fromCharCode(byte)));
    return btoa(bytes.join(""));
  }),
})"""
LISTEN = """async ([id, options]) => {
  globalThis.call = patchbay.call(id);
  globalThis.reports = [];
  call.on("report", (report) => reports.push(report));
  await call.listen(options);
}"""
WAIT_MS = 120_000  # for what takes a moment; a machine with better things to do has taken most of it


@contextmanager
def playwright() -> Iterator[Playwright]:
    """What drives browsers. Once in a thread at a time, and no loop may run beside it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        yield running


@contextmanager
def chromium(driver: Playwright, *flags: str, autoplay: bool = True) -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    more = ("--autoplay-policy=no-user-gesture-required",) if autoplay else ()
    browser = driver.chromium.launch(
        executable_path=shutil.which("chromium"), args=[*FLAGS, *more, *flags], timeout=WAIT_MS
    )
    try:
        yield browser
    finally:
        browser.close()


@contextmanager
def library_page(
    browser: Browser, system: System, options: str = "{}", *, microphone: bool = True, bypass_csp: bool = False
) -> Iterator[Page]:
    """The console's page, for its origin and its content security policy, with a `patchbay` of the test's own."""
    with browser.new_context(permissions=["microphone"] if microphone else [], bypass_csp=bypass_csp) as context:
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(system.http_url("/"))
        page.evaluate(
            f"""async () => {{
              const {{ Patchbay }} = await import("/patchbay.js");
              globalThis.patchbay = new Patchbay({options});
              globalThis.notices = [];
              patchbay.on("notice", (given) => notices.push(given));
            }}"""
        )
        yield page


def until(page: Page, condition: str, timeout_ms: float = WAIT_MS) -> None:
    """Wait for something to be true in the page."""
    page.wait_for_function(condition, timeout=timeout_ms)


def listen(page: Page, call_id: str, **options: Any) -> None:
    """Listen to a call, in the page as `call`, and wait until both tracks are played."""
    page.evaluate(LISTEN, [call_id, options])
    until(page, "() => call.report.length === 2 && call.report.every((track) => track.playing)")


def record(page: Page, call_id: str, seconds: float) -> None:
    """So much sound, however long a busy machine takes for it."""
    page.evaluate(RECORD, call_id)
    have = f"() => recordings['{call_id}'].samples > {seconds} * recordings['{call_id}'].rate"
    until(page, have, WAIT_MS + 2000 * seconds)


def recorded(page: Page, call_id: str) -> tuple[int, Samples, Samples]:
    """The rate, and what each track's output gave so far."""
    answer: dict[str, Any] = page.evaluate(RECORDED, call_id)
    sides = [np.frombuffer(b64decode(side), np.float32).astype(np.float64) for side in answer["sides"]]
    return int(answer["rate"]), sides[0], sides[1]


def roughness(samples: Samples) -> float:
    """The largest change of the step between neighbours: a click has a large one."""
    return float(np.max(np.abs(np.diff(samples, 2))))


@contextmanager
def simulated_call(system: System, call_id: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A call that goes on as long as the block."""
    command = [sys.executable, "-m", "simulator", "--call-control-id", call_id, "--loop", "--no-webhooks", *options]
    process = subprocess.Popen(command, env=system.environ, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)


def write_tone(path: Path, frequency: int) -> Path:
    """A WAV file of 2 s."""
    samples = (10_000 * np.sin(2 * np.pi * frequency * np.arange(16_000) / 8000)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())
    return path


def read_wav(path: Path) -> tuple[int, Samples]:
    """The rate and the samples (-1..1) of a mono file of 16 bit."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        return file.getframerate(), samples.astype(np.float64) / 32768


def correlations(heard: Samples, heard_rate: int, sent: Samples, sent_rate: int) -> Samples:
    """How alike what was heard is to what was sent: the correlation of each quarter of a second in which something is
    said.

    Each is compared at the best place and speed (to 0.8 % faster or slower, in steps of 0.1 %): correcting a clock is
    not heard, but would move a longer stretch, taken whole, out of step. What was sent is taken as a loop.
    """
    return np.array([alike for alike, _ in _compared(heard, heard_rate, sent, sent_rate)])


def louder_db(heard: Samples, heard_rate: int, sent: Samples, sent_rate: int) -> float:
    """By how much what was heard is louder than what was sent, in the median of what can be compared."""
    compared = [decibels for alike, decibels in _compared(heard, heard_rate, sent, sent_rate) if alike > 0.9]
    return float(np.median(compared))


def _compared(heard: Samples, heard_rate: int, sent: Samples, sent_rate: int) -> Iterator[tuple[float, float]]:
    """For each audible quarter of a second, how alike it is to its like, and by how many decibels it is louder."""
    whole = _resample(sent, sent_rate, COMPARED_RATE)
    length = COMPARED_RATE // 4
    everywhere = _Search(np.concatenate((whole, whole)), length)
    heard = _resample(heard, heard_rate, COMPARED_RATE)
    place: int | None = None
    for at in range(0, len(heard) - length, length):
        window = heard[at : at + length]
        if _rms(window) < AUDIBLE_RMS:
            place = None if place is None else place + length
            continue
        best, place = _best_speed(window, everywhere, place, COMPARED_RATE)
        yield best, 20 * float(np.log10(_rms(window) / max(1e-9, _rms(everywhere.whole[place : place + length]))))
        place += length


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def _best_speed(window: Samples, everywhere: _Search, place: int | None, rate: int) -> tuple[float, int]:
    whole, length = everywhere.whole, len(window)
    start, end, search = 0, len(whole), everywhere
    if place is not None:
        start = max(0, place % (len(whole) // 2) - rate // 2)
        end = min(len(whole), start + length + rate)
        search = _Search(whole[start:end], length)
    best, lag = search.find(window)
    if best < LOST and place is not None:
        return _best_speed(window, everywhere, None, rate)  # a stall has moved it: look everywhere
    if best > ALIKE:
        return best, start + lag
    near = _Search(whole[start + max(0, lag - rate // 20) : start + lag + length + rate // 20], length)
    speeds = [near.find(_faster(window, ratio))[0] for ratio in SPEEDS]
    return max(best, *speeds), start + lag


def _faster(window: Samples, ratio: float) -> Samples:
    places = np.arange(0, len(window) - 1, 1 + ratio)
    made: Samples = np.interp(places, np.arange(len(window)), window)
    return made


def _resample(samples: Samples, rate: int, wanted: int) -> Samples:
    spectrum = np.fft.rfft(samples)
    count = len(samples) * wanted // rate
    kept = spectrum[: count // 2 + 1]
    padded = np.pad(kept, (0, count // 2 + 1 - len(kept)))
    made: Samples = np.fft.irfft(padded, count) * (count / len(samples))
    return made


class _Search:
    """Finds windows in some sound; what is the same for all of them is made once."""

    def __init__(self, whole: Samples, length: int) -> None:
        self.whole = whole
        self._size = 1 << (len(whole) + length).bit_length()
        self._spectrum = np.fft.rfft(whole, self._size)
        self._sums = np.concatenate(([0.0], np.cumsum(whole**2)))

    def find(self, window: Samples) -> tuple[float, int]:
        """The correlation at the best place, and that."""
        length, size = len(window), self._size
        product = np.fft.irfft(self._spectrum * np.conj(np.fft.rfft(window, size)), size)[: len(self.whole) - length]
        energy = self._sums[length:][: len(product)] - self._sums[: len(product)]
        score = product / np.sqrt(np.maximum(energy, 1e-3) * np.sum(window**2))
        lag = int(np.argmax(score))
        return float(score[lag]), lag
