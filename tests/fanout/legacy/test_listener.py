"""What a listener wants to come, what it may hear, and what its successor must know."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import msgspec
import pytest

from actors.fanout.legacy.listener import TOLD_MAX
from patchbay.protocol import batches
from patchbay.protocol.handover import MAX_STATE_BYTES
from tests.fakes.listening import browser_of, heard, listener

if TYPE_CHECKING:
    from actors.fanout.calls.call import Call


def call(stream: int, digest: int = 5) -> Call:
    """With a start frame to tell."""
    start = SimpleNamespace(raw=b"start %d" % stream, digest=digest)
    return cast("Call", SimpleNamespace(number=stream, start=start))


@pytest.mark.parametrize(
    ("query", "granted", "topics"),
    [
        ({}, None, [batches.EVERY_CALL]),
        ({"call_control_id": ["b", "a"]}, None, [batches.digest("a"), batches.digest("b")]),
        ({"stream_id": "s"}, None, [batches.EVERY_CALL]),
        ({"stream_id": "s", "call_id": "a"}, None, [batches.EVERY_CALL]),
        ({}, frozenset({"c"}), [batches.digest("c")]),
        ({"call_control_id": ["a", "c"]}, frozenset({"c"}), [batches.digest("c")]),
        ({"call_control_id": "a"}, frozenset({"c"}), []),
        ({"stream_id": "s"}, frozenset({"c"}), [batches.digest("c")]),
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
    someone.send_connected(b"welcome")
    someone.on_started(call(7))
    someone.on_started(call(7))
    assert heard(someone) == [b"welcome", b"start 7"]
    successor = listener()
    successor.resume(browser_of(someone).handed.state)
    assert successor.knows_stream(7)
    for number in (7, *range(100, 100 + 3 * TOLD_MAX), 99 + 3 * TOLD_MAX):
        successor.on_started(call(number))
    assert heard(successor) == [b"start %d" % number for number in range(100, 100 + 3 * TOLD_MAX)]
    assert len(browser_of(successor).handed.state) < MAX_STATE_BYTES


def test_another_start_frame_of_a_stream_is_told() -> None:
    """Once, also over a restart; whoever was told by a process that knew no digests is not told again."""
    someone, successor, older = listener(), listener(), listener()
    someone.on_started(call(7, 1))
    someone.on_started(call(7, 2))
    successor.resume(browser_of(someone).handed.state)
    successor.on_started(call(7, 2))
    successor.on_started(call(7, 3))
    older.resume(msgspec.msgpack.encode([[7, 8], {}]))
    older.on_started(call(7, 3))
    assert [len(heard(each)) for each in (someone, successor, older)] == [2, 1, 0]


def test_a_note_of_one_that_has_heard_nothing_yet() -> None:
    """It has had its welcome, and nothing else is known."""
    someone, successor = listener(), listener()
    someone.send_connected(b"welcome")
    successor.resume(browser_of(someone).handed.state)
    assert successor.delivered_before(7) == [-1, -1]
    assert not successor.knows_stream(7)
