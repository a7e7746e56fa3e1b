from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.codecs import L16, PCMU
from simulator.playback import Playback
from simulator.talk import Refused

SILENT = 0xFF


def test_plays_in_order_with_silence_between() -> None:
    playback = Playback(PCMU, began_at=100.0)
    playback.media(b"\x01" * 160, 100.1)
    playback.media(b"\x02" * 160, 100.1)
    playback.media(b"\x03" * 160, 100.2)
    silence = bytes([SILENT])
    expected = silence * 800 + b"\x01" * 160 + b"\x02" * 160 + silence * 480 + b"\x03" * 160 + silence * 640
    assert playback.played(100.3) == expected


def test_a_mark_is_reached_when_what_came_before_has_been_played() -> None:
    playback = Playback(PCMU, began_at=0.0)
    playback.media(b"\x01" * 800, 1.0)
    playback.mark("first", 1.0)
    playback.media(b"\x01" * 800, 1.05)
    playback.mark("second", 1.05)
    assert playback.reached(1.0999) == []
    assert playback.next_mark_at() == pytest.approx(1.1)
    assert playback.reached(playback.next_mark_at()) == ["first"]
    assert playback.reached(playback.next_mark_at()) == ["second"]
    assert playback.next_mark_at() == float("inf")


def test_a_mark_behind_nothing_is_reached_at_once() -> None:
    playback = Playback(PCMU, began_at=0.0)
    playback.mark("now", 0.5)
    assert playback.reached(0.5) == ["now"]


def test_clear_stops_what_plays_and_returns_all_marks_in_order() -> None:
    playback = Playback(PCMU, began_at=0.0)
    playback.media(b"\x01" * 1600, 0.0)
    playback.mark("first", 0.0)
    playback.media(b"\x02" * 1600, 0.0)
    playback.mark("second", 0.0)
    playback.clear(0.05)
    assert playback.next_mark_at() == float("-inf")
    assert playback.reached(0.05) == ["first", "second"]
    assert playback.queued_s(0.05) == 0
    playback.media(b"\x03" * 160, 0.06)
    assert playback.played(0.1) == b"\x01" * 400 + b"\xff" * 80 + b"\x03" * 160 + b"\xff" * 160


def test_the_queue_is_bounded() -> None:
    playback = Playback(PCMU, began_at=0.0)
    for _ in range(20):
        playback.media(b"\xff" * 240_000, 0.0)
    with pytest.raises(Refused, match="rate_limit_reached"):
        playback.media(b"\xff" * 160, 0.0)
    assert playback.queued_s(0.0) == 600


def test_wide_samples_are_never_split() -> None:
    playback = Playback(L16, began_at=0.0)
    playback.media(b"\x01\x02" * 320, 0.0)
    assert len(playback.played(0.0100013)) % 2 == 0


step = st.tuples(
    st.sampled_from(["media", "mark", "clear", "played"]),
    st.integers(0, 90),  # ms that pass before it
    st.integers(160, 900),  # size, when it is media
)


@settings(deadline=None)
@given(st.lists(step, max_size=40))
def test_is_the_same_as_a_machine_that_plays_byte_by_byte(steps: list[tuple[str, int, int]]) -> None:
    """The reference plays one byte at a time; what is played and which marks come back must agree."""
    playback = Playback(PCMU, began_at=50.0)
    queue: list[int | str] = []
    expected, expected_marks, played, marks, now_ms = bytearray(), [], b"", [], 0

    def pop_marks() -> None:
        while queue and isinstance(queue[0], str):
            expected_marks.append(queue.pop(0))

    for number, (what, pause_ms, size) in enumerate(steps):
        for _ in range(pause_ms * 8):
            pop_marks()
            byte = queue.pop(0) if queue else SILENT
            assert isinstance(byte, int)
            expected.append(byte)
        pop_marks()
        now_ms += pause_ms
        now = 50.0 + now_ms / 1000
        if what == "media":
            playback.media(bytes([number]) * size, now)
            queue += [number] * size
        elif what == "mark":
            playback.mark(str(number), now)
            queue.append(str(number))
        elif what == "clear":
            playback.clear(now)
            expected_marks += [item for item in queue if isinstance(item, str)]
            queue.clear()
        else:
            played += playback.played(now)
        pop_marks()
        marks += playback.reached(now)
    played += playback.played(50.0 + now_ms / 1000)
    assert played == bytes(expected)
    assert marks == expected_marks
