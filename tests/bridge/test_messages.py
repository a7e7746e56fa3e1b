"""What two bridges say to each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.bridge import messages
from patchbay.protocol import batches
from patchbay.protocol.batches import DIGEST_BYTES

CALLS = st.lists(st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES), max_size=20)


@given(st.text(max_size=50), st.integers(0, 255), CALLS)
def test_a_hello_is_read_as_it_was_written(node: str, index: int, calls: list[bytes]) -> None:
    found = messages.read_hello(messages.hello(node, index, calls))
    assert (found.node, found.index) == (node, index)
    assert messages.read_calls(found.calls) == calls


@given(st.integers(0, 255))
def test_a_welcome_is_read_as_it_was_written(index: int) -> None:
    assert messages.read_welcome(messages.welcome(index)).index == index


@given(st.binary(max_size=200))
def test_rubbish_is_refused(data: bytes) -> None:
    """With the one error that callers expect."""
    for read in (messages.read_hello, messages.read_welcome, messages.read_calls):
        try:
            read(data)
        except messages.MalformedMessage:
            continue


def test_another_version_is_refused() -> None:
    message = messages.HELLO + messages._encode(messages.Hello(messages.VERSION + 1, "a", 0, b""))
    with pytest.raises(messages.MalformedMessage, match="version"):
        messages.read_hello(message)


def test_too_many_calls_are_refused() -> None:
    with pytest.raises(messages.MalformedMessage):
        messages.read_calls(bytes(DIGEST_BYTES * (messages.CALLS_MAX + 1)))


@given(
    st.lists(st.tuples(st.sampled_from([b"a" * 16, b"b" * 16]), st.binary(max_size=5)), max_size=10), st.integers(0, 9)
)
def test_entries_of_some_calls_are_kept(given_entries: list[tuple[bytes, bytes]], cut: int) -> None:
    """In order, and byte for byte; a batch that is cut short is refused."""
    entries = [batches.news_entry(batches.ERROR, 1, call, payload) for call, payload in given_entries]
    message = b"begin" + b"".join(entries)
    kept = [entry for entry, (call, _) in zip(entries, given_entries, strict=True) if call == b"a" * 16]
    assert batches.keep_entries(message, 5, {b"a" * 16}) == (b"".join(kept), len(kept))
    if cut and entries:
        with pytest.raises(batches.BusFormatError):
            batches.keep_entries(message[:-cut], 5, {b"a" * 16})
