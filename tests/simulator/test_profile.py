from __future__ import annotations

import pytest

from config import Settings
from simulator.arguments import call_parser
from simulator.cli import main
from simulator.clips import SHIPPED_CLIP, Clip, ClipError, Echo, Silence
from simulator.listen import listen_url
from simulator.profile import Profile, ProfileError, nth_number, on_same_host, stream_url


def profile(*given: str, settings: Settings | None = None) -> Profile:
    return Profile(call_parser().parse_args(given), settings or Settings())


def test_a_plain_call_plays_the_shipped_clip_once() -> None:
    options = profile().options(0)
    assert options.url == "ws://127.0.0.1:5006/audio-stream"
    assert options.webhook_url == "http://127.0.0.1:5006/api/calls/telnyx/webhook"
    assert list(options.tracks) == ["inbound"]
    assert options.tracks["inbound"].length == 1514
    assert options.reconnect
    assert not options.record


def test_the_demo_is_three_different_calls_for_ever() -> None:
    demo = profile("demo")
    calls = [demo.options(index) for index in range(demo.calls)]
    assert demo.calls == 3
    assert demo.keep
    assert demo.ready_url == "http://127.0.0.1:5006/readyz"
    assert demo.page_url == "http://127.0.0.1:5006/"
    assert [call.identity.call_control_id for call in calls] == ["v3:demo-1", "v3:demo-2", "v3:demo-3"]
    assert len({call.identity.from_number for call in calls} | {call.identity.to_number for call in calls}) == 6
    assert len({call.tracks["inbound"].frame(0) for call in calls}) == 3
    assert all(call.tracks["inbound"].length is None for call in calls)
    assert all(isinstance(call.tracks["outbound"], Echo) for call in calls)


def test_settings_say_where_and_with_which_token() -> None:
    settings = Settings(host="0.0.0.0", port=5107, telnyx=type(Settings().telnyx)(stream_token="secret"))
    options = profile(settings=settings).options(0)
    assert options.url == "ws://127.0.0.1:5107/audio-stream"
    assert options.token == "secret"
    assert profile("--token", "other", settings=settings).options(0).token == "other"


def test_urls() -> None:
    assert stream_url("wss://example.org", Settings(), "/audio-stream") == "wss://example.org/audio-stream"
    assert stream_url("ws://[::1]:7/x?role=telnyx", Settings(), "/audio-stream") == "ws://[::1]:7/x?role=telnyx"
    assert stream_url(None, Settings(host="::1"), "/a") == "ws://[::1]:5006/a"
    assert on_same_host("wss://example.org/audio-stream?x=1", "/readyz") == "https://example.org/readyz"
    for bad in ("http://example.org", "example.org", "ws://"):
        with pytest.raises(ProfileError, match="expected ws"):
            stream_url(bad, Settings(), "/")
    url = listen_url("ws://h/frontend-audio", call_control_id="v3:a+b", track="both", token=None)
    assert url == "ws://h/frontend-audio?call_control_id=v3%3Aa%2Bb&track=both"


def test_numbers_count_up() -> None:
    assert nth_number("+12025550100", 7) == "+12025550107"
    assert nth_number("0099", 1) == "0100"
    assert nth_number("anonymous", 3) == "anonymous"


@pytest.mark.parametrize(
    ("what", "kind"), [("silence", Silence), ("talk", Echo), ("shifted", Clip), (str(SHIPPED_CLIP), Clip)]
)
def test_the_outbound_track(what: str, kind: type) -> None:
    tracks = profile("--track", "both", "--outbound", what).options(0).tracks
    assert isinstance(tracks["outbound"], kind)
    assert list(profile("--track", "outbound").options(0).tracks) == ["outbound"]


def test_faults_and_the_rest_are_passed_on() -> None:
    given = "--shuffle 4 --lose 1.5 --duplicate 2 --jitter-ms 30 --no-reconnect --no-webhooks --speed inf --loop --duration 2"
    options = profile(*given.split(), "--seed", "7").options(0)
    faults = options.faults
    assert (faults.shuffle, faults.lose_pct, faults.duplicate_pct, faults.jitter_ms) == (4, 1.5, 2, 30)
    assert not options.reconnect
    assert options.webhook_url is None
    assert (options.speed, options.duration_s) == (float("inf"), 2)
    assert options.identity == profile("--seed", "7").options(0).identity


def test_what_does_not_go_together_is_said() -> None:
    with pytest.raises(ProfileError, match="for one call"):
        profile("--calls", "2", "--call-control-id", "v3:x")
    with pytest.raises(ClipError, match=r"missing\.wav"):
        profile("--track", "both", "--outbound", "missing.wav")


@pytest.mark.parametrize(
    "given",
    [["--lose", "101"], ["--calls", "0"], ["--stagger", "-1"], ["--speed", "0"], ["--codec", "MP3"], ["nonsense"]],
)
def test_wrong_options_end_with_usage(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(given)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["--help"], ["listen", "--help"]])
def test_help_shows_how(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(given)
    assert caught.value.code == 0
    assert "python -m simulator" in capsys.readouterr().out


@pytest.mark.parametrize(
    "given",
    [["--wav", "missing.wav"], ["--url", "http://x"], ["--signing-key-file", "missing"], ["listen", "--url", "x"]],
)
def test_what_can_t_be_used_is_one_line_and_status_2(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(given) == 2
    error = capsys.readouterr().err
    assert error.startswith("simulator: ")
    assert error.count("\n") == 1
