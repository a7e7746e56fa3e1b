"""Bodies in chunks: what comes out, what is malformed, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.http.chunked import ChunkedBody, MalformedBody, TooMuchFraming
from tests.fakes.work import assert_linear

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def decoded(wire: bytes, *, piece: int = 1 << 20, steps: int = 10_000) -> bytes | None:
    """The content; None: it is not complete."""
    body = ChunkedBody()
    for at in range(0, len(wire), piece):
        body.feed(wire[at : at + piece])
        while body.decode(steps):
            pass
    return bytes(body.content) if body.is_complete else None


def by_h11(wire: bytes) -> bytes | None:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(HEAD + wire)
    content = b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Data):
            content += event.data
        elif isinstance(event, h11.EndOfMessage):
            return content
        elif event is h11.NEED_DATA:
            return None


chunks = st.lists(
    st.tuples(st.binary(min_size=1, max_size=40), st.sampled_from([b"", b";a", b";a=b", b"  "])), max_size=6
)


@given(chunks, st.sampled_from([b"", b"A: b\r\n", b"A:\r\nB: c\r\n"]), st.integers(1, 50), st.integers(1, 5), st.data())
def test_the_same_as_h11_in_whatever_pieces(
    parts: list[tuple[bytes, bytes]], trailers: bytes, piece: int, steps: int, data: st.DataObject
) -> None:
    """Whole or cut off; what follows the end is nobody's business."""
    wire = b"".join(b"%x%s\r\n%s\r\n" % (len(text), extension, text) for text, extension in parts)
    wire += b"0\r\n" + trailers + b"\r\n"
    assert decoded(wire, piece=piece, steps=steps) == by_h11(wire) == b"".join(text for text, _ in parts)
    assert decoded(wire + b"GET / HTTP/1.1\r\n", piece=piece) == by_h11(wire)
    cut = wire[: data.draw(st.integers(0, len(wire) - 1))]
    assert decoded(cut, piece=piece, steps=steps) is None


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n", b"g\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b" 1\r\n", b"1 x\r\n", b"1 ;a\r\n", b"1_0\r\n", b"1" * 17 + b"\r\n",
        b"3\r\nabcd\r\n", b"3\r\nabc\n\r\n", b"1\na\r\n", b"1;\nx\r\na\r\n", b"1;\0\r\n", b"1;\r\r\n",
        b"0\r\nno trailer\r\n\r\n", b"0\r\n: x\r\n\r\n", b"0\r\nA\n: x\r\n\r\n", b"0\r\n" + b"A: b\r\n" * 101 + b"\r\n",
        b"1;" + b"x" * 9000, b"1" * 9000, b"0\r\n" + b"x" * 9000,
    ],
)  # fmt: skip
def test_malformed(wire: bytes) -> None:
    """What two parsers could frame differently, and what has no end."""
    with pytest.raises(MalformedBody):
        decoded(wire)


@given(st.binary(max_size=200))
def test_any_bytes(wire: bytes) -> None:
    """Raise nothing else, and never more is made of them than h11 does."""
    try:
        ours = decoded(wire)
    except MalformedBody:
        return
    assert ours is None or ours == by_h11(wire)


def test_mostly_framing() -> None:
    """A body of chunks of one byte ends soon; chunks of a few bytes are a body."""
    with pytest.raises(TooMuchFraming):
        decoded(b"1\r\nx\r\n" * 10_000)
    assert decoded(b"8\r\nxxxxxxxx\r\n" * 10_000 + b"0\r\n\r\n") == b"x" * 80_000


def test_how_long_it_is_going_to_be() -> None:
    """Is known with the size of a chunk, before its content."""
    body = ChunkedBody()
    body.feed(b"2\r\nab\r\nffffffff\r\nab")
    while body.decode(1):
        pass
    assert body.announced_bytes == 2 + 0xFFFFFFFF


@pytest.mark.parametrize("chunk", [b"4\r\nxxxx\r\n", b"5;a=b\r\nxxxxx\r\n", b"40\r\n" + b"x" * 64 + b"\r\n"])
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_twice_the_chunks_take_twice_the_work(chunk: bytes, piece: int) -> None:
    """In whatever pieces they come."""

    def work(count: int) -> Callable[[], object]:
        return lambda: decoded(chunk * count, piece=piece)

    assert_linear(work, 300)


@pytest.mark.parametrize("filler", [b" ", b"\t", b";", b"a"])
def test_a_long_line_is_looked_at_once(filler: bytes) -> None:
    """Byte by byte, and whatever it ends with: h11 would try it in as many ways as there are spaces."""

    def work(count: int) -> Callable[[], object]:
        def run() -> None:
            with pytest.raises(MalformedBody):
                decoded(b"1;" + filler * count + b"\n\r\n", piece=1)

        return run

    assert_linear(work, 1000)
