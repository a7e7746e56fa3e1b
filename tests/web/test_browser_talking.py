"""Talking from a real Chromium, the custom element, and the library against a small server of `patchbay.v1`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from simulator.clips import SHIPPED_CLIP, load_clip
from simulator.codecs import PCMA
from tests.web import browser as web
from tests.web.v1_server import AUDIO, STREAM, TALK, V1Server, v1_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Playwright

    from tests.e2e.system import System

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CALL = "v3:in-a-browser"


def test_a_microphone_that_is_denied_is_said_in_words(system: System, chromium: Browser) -> None:
    with web.simulated_call(system, CALL), web.library_page(chromium, system, microphone=False) as page:
        page.evaluate(
            "() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); }; }"
        )
        code = page.evaluate(f"""() => patchbay.talk("{CALL}").catch((error) => error.code)""")
        assert code == "microphone_denied"
        assert "address bar" in page.evaluate("notices.at(-1).words")


def test_a_microphone_reaches_the_call(system: System, driver: Playwright, tmp_path: Path) -> None:
    flag = f"--use-file-for-fake-audio-capture={SHIPPED_CLIP}"
    with web.chromium(driver, flag) as browser, web.simulated_call(system, CALL, "--save-talk", str(tmp_path)) as call:
        with web.library_page(browser, system) as page:
            # What a person's voice needs, the fake microphone's recording is better without.
            page.evaluate("""() => {
              const { mediaDevices } = navigator;
              const real = mediaDevices.getUserMedia.bind(mediaDevices);
              const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
              mediaDevices.getUserMedia = (wanted) => real({ audio: { ...wanted.audio, ...plain } });
            }""")
            page.evaluate(f"() => patchbay.call('{CALL}').watchPeaks(true)")
            web.until(page, f"() => patchbay.call('{CALL}').state === 'live'")
            page.evaluate(f"""async () => {{ globalThis.talk = await patchbay.talk("{CALL}"); }}""")
            page.wait_for_timeout(6000)
            page.evaluate("() => talk.stop()")
            page.wait_for_timeout(500)
        call.terminate()
        call.wait(10)
    rate, heard = web.read_wav(next(tmp_path.glob("*.wav")))
    sent_rate, sent = web.read_wav(SHIPPED_CLIP)
    found = web.correlations(heard, rate, sent, sent_rate)
    assert len(found) > 6
    assert np.median(found) > 0.95, found.round(3)
    assert abs(web.louder_db(heard, rate, sent, sent_rate)) < 1


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
        web.listen(page, CALL)
        page.evaluate(web.RECORD, CALL)
        page.wait_for_timeout(3000)
        newer.drop(1012)
        web.until(page, "() => patchbay.state === 'open' && call.report[0].duplicates + call.report[0].late > 0")
        page.wait_for_timeout(3000)
        rate, *sides = web.recorded(page, CALL)
        reports = page.evaluate("call.report")
        assert not page.evaluate("patchbay.legacy")
    assert len(newer.connections) == 2
    assert [message["tracks"] for message in newer.of("subscribe")] == [["inbound", "outbound"]] * 2
    playouts = newer.of("playout")
    assert len(playouts) > 3
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
    with web.simulated_call(system, CALL), web.library_page(chromium, system) as page:
        page.evaluate(f"""async () => {{
          await import("/element.js");
          const element = document.createElement("patchbay-call");
          element.setAttribute("call", "{CALL}");
          document.body.append(element);
          globalThis.element = element;
        }}""")
        shown = page.locator("patchbay-call")  # the page around it has buttons of its own
        shown.get_by_role("button", name="Listen", exact=True).click()
        web.until(page, "() => element.patchbayCall.report[0]?.peak > 0.01")
        button = shown.get_by_role("button", name="Listening")
        assert button.get_attribute("aria-pressed") == "true"
        talk = shown.get_by_role("button", name="Hold to talk")
        talk.focus()
        page.keyboard.down(" ")
        page.wait_for_timeout(1000)
        assert talk.get_attribute("aria-pressed") == "true"
        page.keyboard.up(" ")
        page.wait_for_timeout(700)
        assert talk.get_attribute("aria-pressed") == "false"
        assert page.evaluate("notices.length") == 0
