"""What a listener wants to come, what it may hear, and what its successor must know."""

from __future__ import annotations

import pytest

from actors.fanout.listener import TOLD_MAX
from actors.wire import bus as wire
from actors.wire.handoff import MAX_NOTE_BYTES
from tests.fakes.listening import browser_of, listener


@pytest.mark.parametrize(
    ("query", "granted", "topics"),
    [
        ({}, None, [wire.EVERY_CALL]),
        ({"call_control_id": ["b", "a"]}, None, [wire.digest("a"), wire.digest("b")]),
        ({"stream_id": "s"}, None, [wire.EVERY_CALL]),
        ({"stream_id": "s", "call_id": "a"}, None, [wire.EVERY_CALL]),
        ({}, frozenset({"c"}), [wire.digest("c")]),
        ({"call_control_id": ["a", "c"]}, frozenset({"c"}), [wire.digest("c")]),
        ({"call_control_id": "a"}, frozenset({"c"}), []),
        ({"stream_id": "s"}, frozenset({"c"}), [wire.digest("c")]),
    ],
)
def test_what_has_to_come(
    query: dict[str, str | list[str]], granted: frozenset[str] | None, topics: list[bytes]
) -> None:
    """No more than it may hear; enough to miss no first frame."""
    assert listener(1, granted, **query).topics() == topics


def test_a_start_frame_is_told_once() -> None:
    """Also over a restart. Only so many are remembered."""
    someone = listener()
    assert someone.first_time(7)
    assert not someone.first_time(7)
    successor = listener()
    successor.resume(browser_of(someone).handed.note)
    assert not successor.first_time(7)
    assert successor.was_told(7)
    for number in range(100, 100 + 3 * TOLD_MAX):
        assert successor.first_time(number)
    assert len(browser_of(successor).handed.note) < MAX_NOTE_BYTES
    assert not successor.first_time(99 + 3 * TOLD_MAX)


def test_without_a_note_nothing_is_known() -> None:
    """A predecessor died before it could say anything."""
    someone = listener()
    someone.resume(b"")
    assert someone.heard_before(7) == [-1, -1]
    assert someone.first_time(7)
