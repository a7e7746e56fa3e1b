"""Fragments and control frames: joined and judged as another implementation does."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage
from wsproto.utilities import RemoteProtocolError

from patchbay.websocket.assembler import Assembler, Close, Fault, LongFrame, Message
from patchbay.websocket.frames import Frame, find_frames, unmask, whole_messages
from tests.fakes.websockets import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, masked

MAX_BYTES = 2000
firsts = st.sampled_from(
    [TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION, 0x00, 0x01, 0x02, 0x08, 0x09, 0x03, 0x8B, 0xC1]
)
payloads = st.one_of(
    st.binary(max_size=140),
    st.text(max_size=40).map(str.encode),
    st.integers(0, 0xFFFF).map(lambda code: code.to_bytes(2, "big")),
    st.tuples(st.sampled_from([1000, 1001, 1011, 3000, 4999]), st.text(max_size=20)).map(
        lambda pair: pair[0].to_bytes(2, "big") + pair[1].encode()
    ),
    st.sampled_from(["é".encode()[:1], "é".encode()[1:], "€".encode()[:2], "€".encode()[2:]]),
)
frames = st.lists(st.tuples(firsts, payloads), max_size=8)


def ours(sent: list[tuple[int, bytes]]) -> list[object]:
    """What comes of frames, up to the end."""
    assembler, found = Assembler(MAX_BYTES), list[object]()
    for first, payload in sent:
        try:
            event = assembler.take(first, payload)
        except Fault as fault:
            return [*found, ("end", fault.code)]
        if isinstance(event, Message):
            found.append(event.payload.decode() if event.is_text else event.payload)
        elif isinstance(event, Close):
            return [*found, ("end", event.code)]
    return found


def theirs(sent: list[tuple[int, bytes]]) -> list[object]:
    """The same by wsproto."""
    connection, found, parts = Connection(ConnectionType.SERVER), list[object](), list[str | bytes]()
    for first, payload in sent:
        connection.receive_data(masked(payload, first))
        with suppress(RemoteProtocolError):
            for event in connection.events():
                if isinstance(event, CloseConnection):
                    return [*found, ("end", int(event.code))]
                if isinstance(event, TextMessage | BytesMessage):
                    parts.append(event.data if isinstance(event, TextMessage) else bytes(event.data))
                    if event.message_finished:
                        empty = "" if isinstance(event, TextMessage) else b""
                        found.append(empty.join(parts))  # type: ignore[arg-type]
                        parts.clear()
    return found


@given(frames)
def test_judges_as_wsproto_does(sent: list[tuple[int, bytes]]) -> None:
    """Messages, closes and faults, with their codes."""
    assert ours(sent) == theirs(sent)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ([(CONTINUATION, b"")], 1002),
        ([(0x01, b"a"), (TEXT, b"b")], 1002),
        ([(0x09, b"")], 1002),
        ([(PING, bytes(126))], 1002),
        ([(0xC1, b"")], 1002),
        ([(0x83, b"")], 1002),
        ([(CLOSE, b"\x03")], 1002),
        ([(CLOSE, (1005).to_bytes(2, "big"))], 1002),
        ([(CLOSE, (1000).to_bytes(2, "big") + b"\xff")], 1007),
        ([(0x01, b"\xff")], 1007),
        ([(0x01, "é".encode()[:1]), (CONTINUATION, b"")], 1007),
        ([(0x02, bytes(MAX_BYTES)), (CONTINUATION, b"x")], 1009),
    ],
)
def test_faults(sent: list[tuple[int, bytes]], code: int) -> None:
    """Each with its code of RFC 6455 §7.4.1."""
    assert ours(sent) == [("end", code)]


def test_text_of_a_lenient_one_is_its_readers_business() -> None:
    """The carrier's, say: one byte in a name is not worth a call."""
    assembler = Assembler(MAX_BYTES, is_strict=False)
    assert assembler.take(0x01, b"\xff") is None
    assert assembler.take(CONTINUATION, b"x") == Message(True, b"\xffx")


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(1, 100), max_size=10))
def test_a_long_frame_in_pieces(payload: bytes, cuts: list[int]) -> None:
    """However it is cut, and whatever follows."""
    frame = masked(payload, BINARY)
    data, long, at = frame + b"next", LongFrame(len(frame)), 0
    for begin, end in pairwise([0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]):
        if long.left:
            at = long.take(data, begin, end)
    assert at == len(frame)
    raw = long.raw()
    ((_, _, start, end),), _ = find_frames(raw, 0, len(raw), len(raw))
    assert unmask(raw, start, end) == payload


def found(data: bytes) -> list[Frame]:
    return find_frames(data, 0, len(data), 32_768)[0]


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        ([masked(b"whole")], 1),
        ([masked(b"whole"), masked(b"a", 0x01), masked(b"b", 0x00)], 1),
        ([masked(b"a", 0x01), masked(b"b", CONTINUATION), masked(b"c", 0x02)], 2),
        ([masked(b"a", 0x01), masked(b"", PING)], 2),
        ([masked(b"a", 0x01), masked(b"", PING), masked(b"b", 0x00)], 3),
        ([masked(b"\xff", 0x01)], 1),
        ([masked(b"\xff", 0x02)], 0),
        ([masked(b"a", 0x00)], 1),
        ([masked(b"a", 0x02), *[masked(b"b", 0x00)] * 15], 0),
        ([masked(b"a", 0x02), *[masked(b"b", 0x00)] * 16], 17),
        ([masked(bytes(4000), 0x02), masked(bytes(4000), 0x00)], 0),
        ([masked(bytes(4000), 0x02), masked(bytes(5000), 0x00)], 2),
    ],
)
def test_which_fragments_may_wait(sent: list[bytes], left: int) -> None:
    """Few of one message, with nothing among them that can't wait."""
    data = b"".join(sent)
    assert whole_messages(data, found(data), is_strict=True) == found(data)[:left]
