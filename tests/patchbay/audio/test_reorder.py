from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.audio.reorder import RESTART_CHUNKS, RESTART_RUN, Reorder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FRAME_S = 0.020
WINDOW_S = 0.080


def feed(reorder: Reorder[int], chunks: Iterable[int], start_s: float = 0.0, gap_s: float = FRAME_S) -> list[list[int]]:
    """What each push gives when the caller keeps every deadline; what deadlines give is with the push before."""
    out: list[list[int]] = []
    for turn, chunk in enumerate(chunks):
        now = start_s + turn * gap_s
        while reorder.deadline is not None and reorder.deadline < now:
            out[-1] += reorder.expire(reorder.deadline)
        out.append(reorder.push(chunk, chunk, now))
    return out


def flat(pieces: Iterable[Sequence[int]]) -> list[int]:
    return [chunk for piece in pieces for chunk in piece]


@st.composite
def displaced(draw: st.DrawFn, first: int, count: int, step: int, most: int = 4) -> list[int]:
    """Chunks of which none is overtaken by more than `most` others."""
    waiting = list(range(first, first + count * step, step))
    overtaken = dict.fromkeys(waiting, 0)
    order = []
    while waiting:
        overdue = [n for n, chunk in enumerate(waiting) if overtaken[chunk] == most]
        index = overdue[0] if overdue else draw(st.integers(0, min(most, len(waiting) - 1)))
        for chunk in waiting[:index]:
            overtaken[chunk] += 1
        if any(overtaken[chunk] > most for chunk in waiting[:index]):
            index = 0
        order.append(waiting.pop(index))
    return order


def test_frames_in_order_leave_at_once() -> None:
    reorder: Reorder[int] = Reorder()
    assert feed(reorder, range(1, 200)) == [[chunk] for chunk in range(1, 200)]
    assert reorder.statistics() == {
        "gaps": 0,
        "late": 0,
        "duplicates": 0,
        "reordered": 0,
        "restarts": 0,
        "held": 0,
    }
    assert reorder.deadline is None


@pytest.mark.parametrize("first", [0, 1, 7, 5000])
def test_a_stream_begins_anywhere(first: int) -> None:
    reorder: Reorder[int] = Reorder()
    assert feed(reorder, range(first, first + 5)) == [[c] for c in range(first, first + 5)]


@pytest.mark.parametrize("chunks", [[3, 1, 2, 4, 5], [2, 1, 3], [5, 4, 3, 2, 1], [2, 0, 1, 3]])
def test_the_first_frames_are_put_right_too(chunks: list[int]) -> None:
    reorder: Reorder[int] = Reorder()
    assert flat(feed(reorder, chunks)) == sorted(chunks)


def test_a_first_frame_that_is_missing_is_no_loss_and_delays_by_the_window() -> None:
    reorder: Reorder[int] = Reorder()
    assert reorder.push(3, 3, 1.0) == []
    assert reorder.deadline == 1.0 + WINDOW_S
    assert reorder.expire(1.0 + WINDOW_S) == [3]
    assert (reorder.gaps, reorder.statistics()["held"]) == (0, 0)
    assert reorder.push(2, 2, 1.1) == []
    assert reorder.late == 1


def test_a_swap_is_put_right() -> None:
    reorder: Reorder[int] = Reorder()
    assert feed(reorder, [1, 2, 4, 3, 5]) == [[1], [2], [], [3, 4], [5]]
    assert (reorder.reordered, reorder.gaps, reorder.deadline) == (1, 0, None)


def test_a_lost_frame_delays_by_the_window_at_most() -> None:
    reorder: Reorder[int] = Reorder()
    assert feed(reorder, [1, 2]) == [[1], [2]]
    assert reorder.push(4, 4, 1.00) == []
    assert reorder.push(5, 5, 1.02) == []
    assert reorder.deadline == 1.00 + WINDOW_S
    assert reorder.expire(1.07) == []
    assert reorder.expire(1.00 + WINDOW_S) == [4, 5]
    assert (reorder.gaps, reorder.statistics()["held"]) == (1, 0)


def test_a_push_after_the_deadline_gives_what_has_expired_first() -> None:
    reorder: Reorder[int] = Reorder()
    feed(reorder, [1, 2])
    assert reorder.push(4, 4, 1.0) == []
    assert reorder.push(5, 5, 2.0) == [4, 5]


def test_more_frames_than_the_window_are_never_held() -> None:
    reorder: Reorder[int] = Reorder(window_frames=2, window_s=9.0)
    assert feed(reorder, [1, 2, 4, 5, 6, 7]) == [[1], [2], [], [], [4, 5, 6], [7]]
    assert reorder.gaps == 1


def test_two_holes_are_two_waits() -> None:
    reorder: Reorder[int] = Reorder()
    feed(reorder, [1, 2])
    assert reorder.push(4, 4, 1.00) == []
    assert reorder.push(7, 7, 1.06) == []
    assert reorder.expire(1.08) == [4]
    assert reorder.deadline == 1.06 + WINDOW_S
    assert reorder.expire(1.06 + WINDOW_S) == [7]
    assert reorder.gaps == 3


def test_twice_and_too_late() -> None:
    reorder: Reorder[int] = Reorder()
    feed(reorder, [1, 2])
    assert reorder.push(2, 2, 1.0) == []
    assert reorder.push(4, 4, 1.0) == []
    assert reorder.push(4, 4, 1.0) == []
    assert reorder.expire(1.1) == [4]
    assert reorder.push(3, 3, 1.2) == []
    assert reorder.push(3, 3, 1.2) == []
    assert (reorder.duplicates, reorder.late, reorder.gaps) == (3, 1, 1)
    assert reorder.push(5, 5, 1.2) == [5]


@pytest.mark.parametrize("first", [1, 2, 9])
def test_tracks_that_take_turns_in_one_numbering(first: int) -> None:
    reorder: Reorder[int] = Reorder()
    chunks = range(first, first + 200, 2)
    out = feed(reorder, chunks)
    assert flat(out) == list(chunks)
    assert out[4:] == [[chunk] for chunk in chunks[4:]]  # learnt
    assert (reorder.gaps, reorder.late, reorder.deadline) == (0, 0, None)


def test_loss_and_reordering_where_the_step_is_two() -> None:
    reorder: Reorder[int] = Reorder()
    feed(reorder, range(1, 101, 2))
    assert feed(reorder, [103, 101, 105], 10.0) == [[], [101, 103], [105]]
    assert flat(feed(reorder, [109, 111, 113, 115, 117, 119], 20.0)) == list(range(109, 121, 2))
    assert (reorder.gaps, reorder.reordered) == (1, 1)


def test_tracks_that_change_turns_hold_nothing() -> None:
    reorder: Reorder[int] = Reorder()
    feed(reorder, range(1, 101, 2))
    chunks = [102, 104, 105, 107, 110, 112, 114]
    assert feed(reorder, chunks, 10.0) == [[chunk] for chunk in chunks]
    assert reorder.gaps == 0


def test_the_second_track_may_come_and_go_in_mid_call() -> None:
    reorder: Reorder[int] = Reorder()
    together = list(range(52, 152, 2))
    out = feed(reorder, [*range(1, 51), *together, *range(151, 200)])
    assert flat(out) == [*range(1, 51), *together, *range(151, 200)]
    assert reorder.gaps == 0
    assert feed(reorder, [201, 200], 100.0) == [[], [200, 201]]  # the step is 1 again


def test_a_turn_that_comes_while_others_are_held() -> None:
    reorder: Reorder[int] = Reorder()
    feed(reorder, range(1, 101, 2))
    assert feed(reorder, [103, 104, 101, 106], 10.0) == [[], [], [101, 103, 104], [106]]
    assert feed(reorder, [110, 107, 109], 20.0) == [[], [107], [109, 110]]


@pytest.mark.parametrize("window_frames", [0, 1, 2, 3])
def test_small_windows_learn_the_step_too(window_frames: int) -> None:
    reorder: Reorder[int] = Reorder(window_frames)
    out = feed(reorder, range(1, 100, 2))
    assert flat(out) == list(range(1, 100, 2))
    assert all(len(piece) == 1 for piece in out[4:])
    assert reorder.gaps == 0


@pytest.mark.parametrize("jump", [RESTART_CHUNKS + 2, 10**9])
def test_a_jump_far_ahead_is_a_new_numbering(jump: int) -> None:
    reorder: Reorder[int] = Reorder()
    feed(reorder, [1, 2, 4])
    assert feed(reorder, [jump + 2, jump + 3], 0.06) == [[4, jump + 2], [jump + 3]]
    assert (reorder.restarts, reorder.gaps) == (1, 0)


def test_a_jump_far_back_is_a_new_numbering() -> None:
    reorder: Reorder[int] = Reorder()
    feed(reorder, range(5000, 5010))
    assert feed(reorder, [1, 2, 3], 10.0) == [[1], [2], [3]]
    assert reorder.restarts == 1


@pytest.mark.parametrize("before", [RESTART_RUN + 1, 50, 499])
@pytest.mark.parametrize("step", [1, 2])
def test_a_short_jump_back_loses_nothing(before: int, step: int) -> None:
    reorder: Reorder[int] = Reorder()
    feed(reorder, range(1, before * step + 1, step))
    chunks = range(1, 200 * step, step)
    out = feed(reorder, chunks, 20.0)
    assert flat(out) == list(chunks)
    assert out[: RESTART_RUN - 1] == [[]] * (RESTART_RUN - 1)
    assert (reorder.restarts, reorder.duplicates, reorder.late, reorder.gaps) == (1, 0, 0, 0)


def test_a_jump_back_to_before_a_lost_frame_loses_nothing() -> None:
    """It is no late frame then."""
    reorder: Reorder[int] = Reorder()
    feed(reorder, [*range(1, 20), *range(22, 100)])
    assert flat(feed(reorder, range(15, 80), 20.0)) == list(range(15, 80))


def test_late_frames_are_no_new_numbering() -> None:
    """However many there are: each was missed."""
    reorder: Reorder[int] = Reorder()
    feed(reorder, [*range(1, 10), *range(40, 50)])
    assert flat(feed(reorder, range(10, 40), 20.0)) == []
    assert (reorder.restarts, reorder.late) == (0, 30)


def test_goes_on_where_another_window_has_ended() -> None:
    """What came too late there comes too late here."""
    reorder: Reorder[int] = Reorder()
    reorder.resume(101, 2)
    assert feed(reorder, [99, 101, 103]) == [[], [101], [103]]
    assert reorder.duplicates == 1


def test_a_stream_sent_twice_is_no_new_numbering() -> None:
    reorder: Reorder[int] = Reorder()
    out = feed(reorder, [chunk for chunk in range(1, 200) for _ in range(2)])
    assert flat(out) == list(range(1, 200))
    assert (reorder.duplicates, reorder.restarts) == (199, 0)


@given(displaced(first=3, count=40, step=1))
def test_any_permutation_within_the_window_arrives_in_order(chunks: list[int]) -> None:
    reorder: Reorder[int] = Reorder()
    assert flat(feed(reorder, [1, 2, *chunks], gap_s=0.010)) == list(range(1, 43))
    assert (reorder.gaps, reorder.late, reorder.duplicates) == (0, 0, 0)


@given(displaced(first=41, count=40, step=2))
def test_any_permutation_arrives_in_order_where_the_step_is_two(chunks: list[int]) -> None:
    reorder: Reorder[int] = Reorder()
    feed(reorder, range(1, 41, 2))
    assert flat(feed(reorder, chunks, start_s=10.0, gap_s=0.010)) == list(range(41, 121, 2))
    assert (reorder.gaps, reorder.late) == (0, 0)


@given(st.lists(st.permutations(range(4)), min_size=1, max_size=10))
def test_shuffled_fours_arrive_in_order_from_the_very_first(fours: list[list[int]]) -> None:
    chunks = [1 + 4 * turn + place for turn, four in enumerate(fours) for place in four]
    assert flat(feed(Reorder(), chunks)) == sorted(chunks)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.floats(0, 0.1)), max_size=RESTART_RUN - 1),
    st.integers(0, 5),
)
def test_nothing_twice_nothing_out_of_order_nothing_too_long(
    arrivals: list[tuple[int, float]], window_frames: int
) -> None:
    reorder: Reorder[tuple[int, float]] = Reorder(window_frames, WINDOW_S)
    now, delivered = 0.0, [-1]

    def take(ready: list[tuple[int, float]]) -> None:
        for chunk, came in ready:
            assert chunk > delivered[-1]
            assert now - came <= WINDOW_S + 1e-9
            delivered.append(chunk)

    for chunk, pause_s in [*arrivals, (1, 1.0)]:
        then = now + pause_s
        while reorder.deadline is not None and reorder.deadline <= then:
            now = reorder.deadline
            take(reorder.expire(now))
        now = then
        take(reorder.push(chunk, (chunk, now), now))
        assert reorder.statistics()["held"] <= window_frames
        assert (reorder.statistics()["held"] > 0) == (reorder.deadline is not None)
    dropped = reorder.duplicates + reorder.late + reorder.statistics()["held"]
    assert len(delivered) - 1 + dropped == len(arrivals) + 1
