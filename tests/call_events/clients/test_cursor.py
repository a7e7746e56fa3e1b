"""Where a client is, from a state and a count of bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.call_events.clients.cursor import Cursor, LostCursor, decode_cursor, encode_cursor, walk
from actors.call_events.entry import Entry
from patchbay.net.tcp_info import NO_COUNT


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=8), st.binary(max_size=10), st.data())
def test_what_was_written_and_what_is_left_are_all_there_is(
    frames: list[bytes], prefix: bytes, data: st.DataObject
) -> None:
    entries = [Entry(offset, b"", "x", None, frame) for offset, frame in enumerate(frames, start=100)]
    everything = prefix + b"".join(frames)
    written = data.draw(st.integers(0, len(everything)))
    found = walk(Cursor("e", 1000, 99, prefix), 1000 + written, entries)
    assert found is not None
    offset, rest = found
    assert everything[:written] + rest + b"".join(frames[offset - 99 :]) == everything


def test_more_than_there_is() -> None:
    assert walk(Cursor("e", 0, 99), 1, []) is None


def test_unreadable_states() -> None:
    cursor = Cursor("e", 7, 9, b"prefix")
    assert decode_cursor(encode_cursor(cursor)) == cursor
    for state in (b"", b"rubbish", encode_cursor(Cursor("e", 7, 9, form=0)), encode_cursor(Cursor("e", NO_COUNT, -1))):
        with pytest.raises(LostCursor):
            decode_cursor(state)
