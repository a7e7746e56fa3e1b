"""The library in a real Chromium, against the real system and the simulator."""

from __future__ import annotations

import shutil
import subprocess
import sys
import wave
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright", reason="playwright is not there")
np = pytest.importorskip("numpy", reason="numpy is not there")

from simulator.clips import SHIPPED_CLIP, load_clip  # noqa: E402
from simulator.codecs import PCMA  # noqa: E402
from tests.e2e.system import ROOT, System, running_system  # noqa: E402
from tests.web import browser as web  # noqa: E402
from tests.web.v1_server import AUDIO, STREAM, TALK, V1Server, v1_server  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not there"),
]

CALL = "v3:in-a-browser"
LISTEN = f"""async (options) => {{
  globalThis.call = patchbay.call("{CALL}");
  globalThis.reports = [];
  call.on("report", (report) => reports.push(report));
  await call.listen(options);
}}"""
WAIT_MS = 20_000


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with running_system() as running:
        yield running


@pytest.fixture
def chromium() -> Iterator[Browser]:
    with web.chromium() as browser:
        yield browser


@contextmanager
def simulated_call(system: System, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "simulator", "--call-control-id", CALL, "--loop", "--no-webhooks", *options]
    process = subprocess.Popen(command, env=system.environ, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def until(page: Page, condition: str) -> None:
    page.wait_for_function(condition, timeout=WAIT_MS)


def listen(page: Page, **options: Any) -> None:
    page.evaluate(LISTEN, options)
    until(page, "() => call.report.length === 2 && call.report.every((track) => track.playing)")


def record(page: Page, seconds: int) -> None:
    """So much sound, however long a busy machine takes for it."""
    page.evaluate(web.RECORD)
    have = "heard[0].reduce((sum, part) => sum + part.length, 0)"
    page.wait_for_function(f"() => {have} > {seconds} * globalThis.heardRate", timeout=WAIT_MS + 2000 * seconds)


@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "G722", "L16"])
def test_what_is_heard_is_what_was_sent(system: System, chromium: Browser, codec: str) -> None:
    with simulated_call(system, "--codec", codec, "--track", "both"), web.library_page(chromium, system) as page:
        listen(page)
        record(page, 10)
        rate, *sides = web.recorded(page)
        assert page.evaluate("call.format.codec") == codec
    sent_rate, sent = web.read_wav(SHIPPED_CLIP)
    for side in sides:
        found = web.correlations(side, rate, sent, sent_rate)
        assert len(found) > 10
        assert np.median(found) > 0.98, found.round(3)


def test_the_sides_are_not_mixed_up(system: System, chromium: Browser, tmp_path: Path) -> None:
    tones = [tone(tmp_path / "in.wav", 500), tone(tmp_path / "out.wav", 1250)]
    options = ("--track", "both", "--wav", str(tones[0]), "--outbound", str(tones[1]))
    with simulated_call(system, *options), web.library_page(chromium, system) as page:
        listen(page)
        record(page, 3)
        rate, *sides = web.recorded(page)
    for side, frequency in zip(sides, (500, 1250), strict=True):
        spectrum = np.abs(np.fft.rfft(side[-rate:] * np.hanning(rate)))
        assert abs(int(np.argmax(spectrum)) - frequency) < 15


def test_the_stream_is_heard_on_through_a_crash_of_fan_out(system: System, chromium: Browser) -> None:
    with simulated_call(system, "--track", "both"), web.library_page(chromium, system) as page:
        listen(page)
        played = page.evaluate("call.report[0].played")
        command = [sys.executable, "-m", "supervisor", "restart", "fanout"]
        subprocess.run(command, env=system.environ, cwd=ROOT, check=True, capture_output=True)
        until(page, f"() => call.report[0].played > {played} + 150 && call.report.every((track) => track.playing)")
        assert page.evaluate("call.report[0].restarts") == 0


def test_without_a_click_nothing_plays_nothing_piles_up_and_words_say_so(system: System) -> None:
    script = f"""addEventListener("load", async () => {{
      const {{ Patchbay }} = await import("/patchbay.js");
      globalThis.patchbay = new Patchbay();
      patchbay.on("notice", ({{ code }}) => console.log("notice", code));
      globalThis.call = patchbay.call("{CALL}");
      void call.listen();
    }});"""
    with web.chromium(autoplay=False) as browser, simulated_call(system), browser.new_page() as page:
        page.add_init_script(script)
        # Playwright's own evaluate() counts as the user's doing, so until the click the page is only listened to.
        with page.expect_console_message(lambda message: message.text == "notice audio_blocked", timeout=WAIT_MS):
            page.goto(system.http_url("/"))
        page.wait_for_timeout(1500)
        page.mouse.click(5, 5)
        until(page, "() => patchbay.audible && call.report.length && call.report[0].playing")
        report = page.evaluate("call.report[0]")
        assert report["buffer"] < 0.5
        assert report["played"] < 60


def test_a_microphone_that_is_denied_is_said_in_words(system: System) -> None:
    with web.chromium() as browser, simulated_call(system), web.library_page(browser, system, microphone=False) as page:
        page.evaluate(
            "() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); }; }"
        )
        code = page.evaluate(f"""() => patchbay.talk("{CALL}").catch((error) => error.code)""")
        assert code == "microphone_denied"
        assert "address bar" in page.evaluate("notices.at(-1).words")


def test_a_microphone_reaches_the_call(system: System, tmp_path: Path) -> None:
    flag = f"--use-file-for-fake-audio-capture={SHIPPED_CLIP}"
    with web.chromium(flag) as browser, simulated_call(system, "--save-talk", str(tmp_path)) as call:
        with web.library_page(browser, system) as page:
            # What a person's voice needs, the fake microphone's recording is better without.
            page.evaluate("""() => {
              const { mediaDevices } = navigator;
              const real = mediaDevices.getUserMedia.bind(mediaDevices);
              const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
              mediaDevices.getUserMedia = (wanted) => real({ audio: { ...wanted.audio, ...plain } });
            }""")
            page.evaluate(f"""async () => {{ globalThis.talk = await patchbay.talk("{CALL}"); }}""")
            page.wait_for_timeout(8000)
            page.evaluate("() => talk.stop()")
            page.wait_for_timeout(500)
        call.terminate()
        call.wait(10)
    rate, heard = web.read_wav(next(tmp_path.glob("*.wav")))
    sent_rate, sent = web.read_wav(SHIPPED_CLIP)
    found = web.correlations(heard, rate, sent, sent_rate)
    assert len(found) > 8
    assert np.median(found) > 0.95, found.round(3)


def tone(path: Path, frequency: int) -> Path:
    """A WAV file of 2 s."""
    samples = (10_000 * np.sin(2 * np.pi * frequency * np.arange(16_000) / 8000)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())
    return path


@pytest.fixture
def newer() -> Iterator[V1Server]:
    """A server of `patchbay.v1`."""
    clip = load_clip(SHIPPED_CLIP, PCMA)
    with v1_server(1, {"codec": "PCMA", "sample_rate": 8000}, list(clip.frames)) as server:
        yield server


def v1_page(chromium: Browser, system: System, server: V1Server) -> AbstractContextManager[Page]:
    options = f'{{url: "ws://127.0.0.1:{server.port}/audio-stream", token: "a.b.c"}}'
    return web.library_page(chromium, system, options, bypass_csp=True)


def test_v1_both_tracks_on_one_socket_and_nothing_twice_after_a_reconnect(
    system: System, chromium: Browser, newer: V1Server
) -> None:
    with v1_page(chromium, system, newer) as page:
        listen(page)
        page.evaluate(web.RECORD)
        page.wait_for_timeout(5000)
        newer.drop(1012)
        until(page, "() => patchbay.state === 'open' && call.report[0].duplicates + call.report[0].late > 0")
        page.wait_for_timeout(5000)
        rate, *sides = web.recorded(page)
        reports = page.evaluate("call.report")
        assert not page.evaluate("patchbay.legacy")
    assert len(newer.connections) == 2
    assert [message["tracks"] for message in newer.of("subscribe")] == [["inbound", "outbound"]] * 2
    playouts = newer.of("playout")
    assert len(playouts) > 5
    assert [track["track"] for track in playouts[-1]["tracks"]] == ["inbound", "outbound"]
    assert playouts[-1]["tracks"][0]["stream"] == STREAM
    assert all(report["restarts"] == 0 for report in reports)
    sent_rate, sent = web.read_wav(SHIPPED_CLIP)
    for side in sides:
        assert np.median(web.correlations(side, rate, sent, sent_rate)) > 0.98


def test_v1_talk_takes_the_floor_and_is_exact_frames(system: System, chromium: Browser, newer: V1Server) -> None:
    with v1_page(chromium, system, newer) as page:
        page.evaluate(f"""async () => {{ globalThis.talk = await patchbay.talk("{CALL}"); }}""")
        page.wait_for_timeout(1500)
        page.evaluate("() => talk.stop()")
        page.wait_for_timeout(300)
        newer.floor_taken = True
        assert page.evaluate(f"""() => patchbay.talk("{CALL}").catch((error) => error.code)""") == "floor_taken"
    headers = [AUDIO.unpack_from(message) for message in newer.talk]
    assert 40 < len(headers) < 110
    assert all(len(message) == AUDIO.size + 160 for message in newer.talk)
    assert [header[7] for header in headers] == list(range(len(headers)))
    assert {header[:3] + header[4:7] for header in headers} == {(2, 0, 1, 1, 0, TALK)}
    assert newer.of("talk.stop")


def test_the_element_is_heard_and_says_what_it_does(system: System, chromium: Browser) -> None:
    with simulated_call(system), web.library_page(chromium, system) as page:
        page.evaluate(f"""async () => {{
          await import("/element.js");
          const element = document.createElement("patchbay-call");
          element.setAttribute("call", "{CALL}");
          document.body.append(element);
          globalThis.element = element;
        }}""")
        page.get_by_role("button", name="Listen").click()
        until(page, "() => element.patchbayCall.report[0]?.peak > 0.01")
        button = page.get_by_role("button", name="Listening")
        assert button.get_attribute("aria-pressed") == "true"
        talk = page.get_by_role("button", name="Hold to talk")
        talk.focus()
        page.keyboard.down(" ")
        page.wait_for_timeout(1000)
        assert talk.get_attribute("aria-pressed") == "true"
        page.keyboard.up(" ")
        page.wait_for_timeout(700)
        assert talk.get_attribute("aria-pressed") == "false"
        assert page.evaluate("notices.length") == 0
