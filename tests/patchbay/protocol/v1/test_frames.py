"""The wire format of `patchbay.v1`: headers to the byte, and nothing but Malformed for what can't be read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.audio.media_format import MediaFormat
from patchbay.protocol.lenient_json import Malformed
from patchbay.protocol.v1 import control
from patchbay.protocol.v1 import frames as v1
from tests.fakes.listening import messages

payloads = st.binary(min_size=1, max_size=1000)
u32 = st.integers(0, 2**32 - 1)


@given(st.integers(0, 1), st.integers(0, 6), st.integers(0, 1), u32, u32, u32, payloads)
def test_audio(track: int, code: int, flags: int, stream: int, sequence: int, timestamp: int, payload: bytes) -> None:
    """Every field where the description has it."""
    [(first, message)] = messages(v1.audio_frame(track, code, flags, stream, sequence, timestamp, payload))
    assert first == 0x82
    assert message[:8] == bytes([1, track, code, flags, 1, 0, 0, 0])
    assert [int.from_bytes(message[at : at + 4], "little") for at in (8, 12, 16)] == [stream, sequence, timestamp]
    assert message[20:] == payload


@given(st.lists(payloads, min_size=1, max_size=4), st.integers(1, 0xFFFF))
def test_another_call(pieces: list[bytes], number: int) -> None:
    """Only its number differs, in each of the messages."""
    frames = b"".join(v1.audio_frame(0, 0, 0, 1, index, 0, piece) for index, piece in enumerate(pieces))
    changed = list(messages(v1.renumbered(frames, number.to_bytes(2, "little"))))
    for (_, was), (_, now) in zip(messages(frames), changed, strict=True):
        assert now == was[:4] + number.to_bytes(2, "little") + was[6:]


def test_numbers_wrap_round() -> None:
    """Sequence numbers and times are of 32 bits."""
    [(_, message)] = messages(v1.audio_frame(0, 0, 0, 1, 2**32 + 5, 2**32 + 6, b"x"))
    assert message[12:20] == (5).to_bytes(4, "little") + (6).to_bytes(4, "little")


def test_streams_are_moments() -> None:
    """A later connection has a higher number, whatever process counts them."""
    assert v1.stream_number(1_795_000_000_123_000_000) + 1 == v1.stream_number(1_795_000_000_124_000_000)


@pytest.mark.parametrize(
    ("encoding", "rate", "channels", "expected"),
    [
        ("PCMU", 8000, 1, (0, "PCMU", 8000, True)),
        ("PCMA", 8000, 1, (1, "PCMA", 8000, True)),
        ("G722", 16_000, 1, (2, "G722", 8000, True)),
        ("G722", 8000, 1, (2, "G722", 8000, True)),
        ("L16", 16_000, 1, (4, "L16", 16_000, True)),
        ("L16", 48_000, 1, (6, "L16", 48_000, True)),
        ("L16", 44_100, 1, (0, "PCMU", 8000, False)),
        ("PCMU", 8000, 2, (0, "PCMU", 8000, False)),
        ("PCMU", 16_000, 1, (0, "PCMU", 8000, False)),
        ("OPUS", 48_000, 1, (0, "PCMU", 8000, False)),
    ],
)
def test_codecs(encoding: str, rate: int, channels: int, expected: tuple[object, ...]) -> None:
    """What the protocol has goes as it is, the rest as PCMU."""
    assert v1.wire_format(MediaFormat(encoding, rate, channels)) == expected


def test_talk() -> None:
    message = v1.HEADER.pack(2, 0, 1, 0, 3, 0, 9, 41, 820) + bytes(160)
    assert v1.unpack_talk(message) == v1.TalkFrame(3, 9, 41, "PCMA", bytes(160))


@given(st.binary(max_size=200))
def test_no_talk_of_anything(message: bytes) -> None:
    """A kind of the future is nothing; the rest is read or refused."""
    try:
        frame = v1.unpack_talk(message)
    except Malformed:
        assert message[0] == 2
    else:
        assert (frame is None) == (message[:1] != b"\x02")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_requests_of_anything(rubbish: object) -> None:
    """Are read, ignored or refused."""
    kinds = ["subscribe", "unsubscribe", "talk.start", "talk.stop", "playout", "token", "ping", "future"]
    fields = ("call_control_id", "tracks", "peaks", "call", "token", "sent", "id", "output_ms")
    for kind in kinds:
        message = {"type": kind, **dict.fromkeys(fields, rubbish)}
        try:
            request = control.decode(json.dumps(message).encode())
        except control.BadRequest as error:
            assert error.reason  # noqa: PT017
        else:
            assert (request is None) == (kind == "future")


@given(st.binary(max_size=50))
def test_requests_of_rubbish(message: bytes) -> None:
    with pytest.raises(control.BadRequest):
        control.decode(b"{" + message)


def test_a_request() -> None:
    """Unknown fields are ignored; what is refused can be answered by its id."""
    asked = b'{"type":"subscribe","call_control_id":"a","tracks":["inbound"],"new":1,"id":3}'
    assert control.decode(asked) == control.Subscribe("a", ["inbound"], False, 3)
    with pytest.raises(control.BadRequest) as refusal:
        control.decode(b'{"type":"subscribe","call_control_id":"","id":3}')
    assert control.decode(b'{"type":"ping","sent":1,"x":"\\ud83d","y":1e999}') == control.Ping(1.0)
    half = b'{"type":"subscribe","call_control_id":"v3:\\ud83d","id":3}'
    for message in (b'{"type":"ping","sent":1,"x":"\xff","id":0}', b'{"type":"ping","sent":1e999}', half):
        with pytest.raises(control.BadRequest):
            control.decode(message)
    assert refusal.value.id == 3


def test_start_objects() -> None:
    """Verbatim, or empty."""
    assert bytes(control.start_object(b'{"start":{"a": 1},"b":2}')) == b'{"a": 1}'
    assert bytes(control.start_object(b"rubbish")) == b"{}"
