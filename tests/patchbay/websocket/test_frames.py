"""Frames found in place are those that an independent implementation finds; frames built are those it reads."""

from __future__ import annotations

from codecs import utf_8_decode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from patchbay.websocket.frames import (
    BINARY,
    NOT_MASKED,
    PING,
    TEXT,
    binary_frame,
    cannot_be_text,
    close_frame,
    find_frames,
    text_frame,
    unmask,
)
from tests.fakes.websockets import masked

LONGEST = 70_000
texts = st.text(max_size=200) | st.integers(0, 67_000).map(lambda size: "x" * size)


def client_frame(message: str | bytes) -> bytes:
    """A masked frame, by wsproto."""
    event = TextMessage(message) if isinstance(message, str) else BytesMessage(message)
    return Connection(ConnectionType.CLIENT).send(event)


@given(st.lists(texts | st.binary(max_size=300), max_size=6), st.integers(0, 20))
def test_finds_whole_frames_and_their_payloads(messages: list[str | bytes], cut: int) -> None:
    """Every complete frame is found, wherever the buffer ends; the rest is left."""
    frames = [client_frame(message) for message in messages]
    data = b"".join(frames)
    size = max(len(data) - cut, 0)
    found, need = find_frames(memoryview(data), 0, size, LONGEST)
    assert need == 0
    complete = 0
    end = 0
    for frame in frames:
        if end + len(frame) > size:
            break
        end += len(frame)
        complete += 1
    assert len(found) == complete
    for (first, _, payload, stop), message in zip(found, messages, strict=False):
        expected = message.encode() if isinstance(message, str) else message
        assert first == (TEXT if isinstance(message, str) else BINARY)
        assert unmask(memoryview(data), payload, stop) == expected


def test_begins_where_it_is_told() -> None:
    """Frames before the start are not looked at."""
    first, second = client_frame("one"), client_frame("two")
    found, _ = find_frames(first + second, len(first), len(first + second), LONGEST)
    assert [unmask(first + second, payload, end) for _, _, payload, end in found] == [b"two"]


def test_a_frame_that_is_too_long_says_how_long() -> None:
    """It is not waited for; the whole length comes back, header included."""
    frame = client_frame("x" * 1000)
    assert find_frames(frame[:20], 0, 20, 999) == ([], len(frame))


def test_an_unmasked_frame_is_told() -> None:
    """Clients must mask; what does not is for the general implementation."""
    assert find_frames(text_frame(b"x"), 0, 3, LONGEST) == ([], NOT_MASKED)


@given(st.binary(max_size=64))
def test_any_bytes_are_harmless(data: bytes) -> None:
    """Rubbish gives frames within the buffer, or none."""
    found, _ = find_frames(data, 0, len(data), LONGEST)
    assert all(0 <= start < payload <= end <= len(data) for _, start, payload, end in found)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_built_frames_are_read_by_wsproto(size: int) -> None:
    """Each of the three length forms."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(binary_frame(b"a" * size) + text_frame(b"b" * size) + PING)
    events = list(client.events())
    binary = b"".join(bytes(event.data) for event in events if isinstance(event, BytesMessage))
    text = "".join(event.data for event in events if isinstance(event, TextMessage))
    assert (binary, text) == (b"a" * size, "b" * size)
    assert any(isinstance(event, Ping) for event in events)


@pytest.mark.parametrize("code", [1002, 1007, 4008])
def test_a_goodbye_is_read_by_wsproto(code: int) -> None:
    """Its code, without words."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(close_frame(code))
    [event] = client.events()
    assert isinstance(event, CloseConnection)
    assert (event.code, event.reason) == (code, "")


@given(st.binary(max_size=12) | st.text(max_size=200).map(str.encode), st.binary(max_size=4), st.integers(0, 500))
def test_text_that_can_not_be_any_is_known_before_its_end(text: bytes, more: bytes, cut: int) -> None:
    """Exactly then, when no ending would make it UTF-8."""
    payload = text + more
    frame = masked(payload + b"x" * 200)
    begun = len(frame) - 200 - len(payload) + min(cut, len(payload))
    try:
        utf_8_decode(payload[:cut], "strict", False)
        hopeless = False
    except UnicodeDecodeError:
        hopeless = True
    assert cannot_be_text(b"??" + frame[:begun], 2, 2 + begun) == hopeless


@pytest.mark.parametrize("length", [b"\xfe\x13\x01", b"\xff" + b"\x00" * 7 + b"\x80", b"\x85"])
def test_any_beginning_of_a_frame_may_be_asked_about(length: bytes) -> None:
    """However little of its head is there."""
    frame = b"\x81" + length + b"\x00" * 4 + b"\xff"
    for size in range(1, len(frame)):
        assert not cannot_be_text(frame, 0, size)
    assert cannot_be_text(frame, 0, len(frame))
