from __future__ import annotations

import json
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.codecs import L16, PCMU
from simulator.talk import Clear, Mark, Media, Refused, parse
from tests.simulator.helpers import media


def refusal(message: str | bytes) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        parse(message, PCMU)
    return caught.value.code, caught.value.title


def test_reads_the_three_frames() -> None:
    payload = bytes(range(160))
    assert parse(json.dumps(media(payload)), PCMU) == Media(payload)
    assert parse('{"event":"mark","mark":{"name":"end"}}', PCMU) == Mark("end")
    assert parse('{"event":"clear","stream_id":"ignored"}', PCMU) == Clear()


@pytest.mark.parametrize(
    "message",
    [
        b"\xff" * 160,
        "",
        "not json",
        "[]",
        "null",
        "{}",
        '{"event":"connected"}',
        '{"event":"media"}',
        '{"event":"media","media":{"payload":7}}',
        '{"event":"mark","mark":{}}',
        '{"event":"mark","mark":{"name":"' + "x" * 1001 + '"}}',
    ],
)
def test_refuses_malformed_frames(message: str | bytes) -> None:
    assert refusal(message) == (100003, "malformed_frame")


@pytest.mark.parametrize("payload", ["", "====", "a", "not base64!", b64encode(b"\xff" * 159).decode()])
def test_refuses_media_that_is_no_base64_or_too_short(payload: str) -> None:
    assert refusal(json.dumps({"event": "media", "media": {"payload": payload}})) == (100004, "invalid_media")


def test_takes_20_ms_to_30_s() -> None:
    assert parse(json.dumps(media(b"\xff" * 240_000)), PCMU) == Media(b"\xff" * 240_000)
    assert refusal(json.dumps(media(b"\xff" * 240_001)))[0] == 100004


def test_wide_samples_must_be_whole() -> None:
    with pytest.raises(Refused, match="within a sample"):
        parse(json.dumps(media(b"\0" * 641)), L16)


@given(st.text() | st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_refuses_whatever_else_comes(message: str | bytes) -> None:
    assert refusal(message)[0] == 100003


@given(
    st.dictionaries(
        st.sampled_from(["event", "media", "mark"]), st.sampled_from(["media", "mark", 1, None, {}, {"payload": "x"}])
    )
)
def test_frames_with_odd_parts_are_refused_too(frame: dict[str, object]) -> None:
    assert refusal(json.dumps(frame))[0] in (100003, 100004)
