from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.audio import g711
from patchbay.audio.marks import Mark
from patchbay.audio.pacer import FRAME_S, PACE_WINDOW_S, SETTLE_S, Item, TalkPacer

if TYPE_CHECKING:
    from collections.abc import Iterable

LEAD_S = 0.080
TAIL_S = 1.0


def pacer(**settings: Any) -> TalkPacer:
    defaults: dict[str, Any] = {
        "silence": g711.SILENCE_ULAW,
        "lead_s": LEAD_S,
        "backlog_s": 3.0,
        "drain_s": 0.4,
        "tail_s": TAIL_S,
    }
    return TalkPacer(**(defaults | settings))


def loud(number: int) -> bytes:
    """A frame that is not silent and can be told from others."""
    return bytes([number % 64, number // 64]) * 80


def joined(items: Iterable[Item]) -> bytes:
    """The frames among them."""
    return b"".join(item for item in items if isinstance(item, bytes))


def drain(talk: TalkPacer) -> list[tuple[float, Item]]:
    """Everything that leaves when each due time is kept."""
    left = []
    while (due := talk.next_due) is not None:
        left += [(due, frame) for frame in talk.take_due(due)]
    return left


def test_a_talker_in_real_time_never_waits() -> None:
    talk = pacer()
    for turn in range(500):
        assert talk.push(loud(turn), turn * FRAME_S) == [loud(turn)]
        assert talk.next_due is None
    assert talk.statistics() == {"sent": 500, "queued": 0, "dropped_bytes": 0, "skipped": 0}


def test_a_burst_leaves_up_to_the_lead_and_then_in_real_time() -> None:
    talk = pacer()
    assert talk.push(b"".join(map(loud, range(10))), 5.0) == [loud(n) for n in range(4)]
    left = drain(talk)
    assert [frame for _, frame in left] == [loud(n) for n in range(4, 10)]
    assert [when for when, _ in left] == pytest.approx([5.02, 5.04, 5.06, 5.08, 5.10, 5.12])


def test_nothing_leaves_before_its_time() -> None:
    talk = pacer()
    talk.push(b"".join(map(loud, range(5))), 5.0)
    assert talk.take_due(5.01) == []
    assert talk.push(loud(5), 5.01) == []
    assert talk.take_due(5.021) == [loud(4)]


def test_a_pause_restarts_the_clock() -> None:
    talk = pacer()
    talk.push(b"".join(map(loud, range(10))), 0.0)
    drain(talk)
    assert talk.push(b"".join(map(loud, range(10))), 9.0) == [loud(n) for n in range(4)]


def test_a_lead_shorter_than_a_frame_still_sends_frames() -> None:
    talk = pacer(lead_s=0.001)
    assert talk.push(loud(1) + loud(2), 1.0) == [loud(1)]
    assert [frame for _, frame in drain(talk)] == [loud(2)]


def test_pieces_are_put_together_to_frames() -> None:
    talk = pacer()
    whole = bytes(range(128)) * 5
    sent = [talk.push(whole[n : n + 128], n / 8000) for n in range(0, 640, 128)]
    assert [len(frames) for frames in sent] == [0, 1, 1, 1, 1]
    assert joined(item for items in sent for item in items) == whole
    assert talk.next_due is None


def test_a_tail_is_padded_when_nothing_more_comes() -> None:
    talk = pacer(silence=g711.SILENCE_ALAW)
    assert talk.push(b"\1" * 200, 1.0) == [b"\1" * 160]
    assert talk.next_due == 1.0 + TAIL_S
    assert talk.take_due(1.0 + TAIL_S - 0.001) == []
    assert talk.take_due(1.0 + TAIL_S) == [b"\1" * 40 + b"\xd5" * 120]
    assert talk.next_due is None


def test_more_talk_puts_the_padding_off() -> None:
    talk = pacer()
    assert talk.push(b"\1" * 40, 1.00) == []
    assert talk.push(b"\2" * 40, 1.05) == []
    assert talk.take_due(1.00 + TAIL_S) == []
    assert talk.push(b"\3" * 80, 1.10) == [b"\1" * 40 + b"\2" * 40 + b"\3" * 80]


def test_a_tail_that_is_due_while_frames_wait_comes_after_them() -> None:
    talk = pacer(lead_s=0.020)
    frames = list(map(loud, range(6)))
    assert talk.push(b"".join(frames) + b"\1" * 8, 1.0) == frames[:1]
    left = [frame for _, frame in drain(talk)]
    assert left == [*frames[1:], b"\1" * 8 + b"\xff" * 152]


def test_finishing_pads_at_once() -> None:
    talk = pacer()
    assert talk.push(b"\1" * 8, 1.0) == []
    assert talk.finish(1.0) == [b"\1" * 8 + b"\xff" * 152]
    assert talk.finish(1.0) == []
    talk.push(b"".join(map(loud, range(10))) + b"\1", 9.0)
    assert talk.finish(9.0) == []
    assert len(drain(talk)) == 7


def test_clearing_forgets_what_waits_and_the_clock() -> None:
    talk = pacer()
    talk.push(b"".join(map(loud, range(10))) + b"\1", 1.0)
    talk.clear()
    assert talk.next_due is None
    assert talk.take_due(99.0) == []
    assert talk.push(loud(1), 1.0) == [loud(1)]


@pytest.mark.parametrize("size", [160, 1000, 160 * 30 + 40, 7])
def test_the_beginning_is_kept_when_the_backlog_is_full(size: int) -> None:
    """However talk is cut; the rest is counted to the byte."""
    talk = pacer(backlog_s=0.2)
    whole = b"".join(map(loud, range(30))) + b"\1" * 40
    sent: list[Item] = []
    for at in range(0, len(whole), size):
        sent += talk.push(whole[at : at + size], 1.0)
    sent += [item for _, item in drain(talk)]
    kept = joined(sent)[:2240]
    assert kept == whole[:2240]  # 10 frames, and the 4 that could leave at once
    assert len(whole) - talk.dropped_bytes in range(2240, 2240 + 160)
    assert talk.statistics()["queued"] == 0


def test_there_is_room_again_when_frames_have_left() -> None:
    talk = pacer(backlog_s=0.2)
    talk.push(b"".join(map(loud, range(14))), 1.0)
    assert talk.push(loud(14) + loud(15), 1.0) == []
    assert talk.dropped_bytes == 320
    assert talk.push(loud(16), 1.02) == [loud(4)]
    assert [frame for _, frame in drain(talk)][-1] == loud(16)
    assert talk.dropped_bytes == 320


SILENCE = g711.SILENCE_ULAW * 160
SENTENCE = [SILENCE if n % 5 > 2 else loud(n) for n in range(500)]  # 10 s, a good part of which is pauses


@pytest.mark.parametrize("frames", [1, 5, 15, 500])
@pytest.mark.parametrize("pace", [1.0, 1.5, 4.0, 1000.0])
def test_talk_that_is_sent_ahead_keeps_its_pauses(pace: float, frames: int) -> None:
    """Whatever its pieces, and however much faster than speech; so does what is no longer than a few frames."""
    talk = pacer(backlog_s=30)
    now, sent = 1.0, list[Item]()
    for at in range(0, len(SENTENCE), frames):
        while talk.next_due is not None and talk.next_due <= now:
            sent += talk.take_due(talk.next_due)
        sent += talk.push(b"".join(SENTENCE[at : at + frames]), now)
        now += frames * FRAME_S / pace
    sent += [item for _, item in drain(talk)]
    assert sent == SENTENCE
    assert talk.skipped == 0


@pytest.mark.parametrize("frames", [1, 6, 12])
@pytest.mark.parametrize("stall_s", [0.96, 1.44, 2.4])
def test_a_live_talker_who_was_held_back_is_in_time_again(stall_s: float, frames: int) -> None:
    """By what is silent: nobody is heard later for the rest of the call because the network stood still once."""
    talk = pacer()
    begins, ends = round(2.4 / FRAME_S), round((2.4 + stall_s) / FRAME_S)
    held_back, late = b"", []
    for turn in range(1200):
        now = turn * FRAME_S
        if turn % frames == 0:
            held_back += b"".join(SENTENCE[number % 500] for number in range(turn, turn + frames))
        if not begins <= turn < ends:
            for at in range(0, len(held_back), 160 * frames):
                talk.push(held_back[at : at + 160 * frames], now)
            held_back = b""
        talk.take_due(now)
        late.append(talk.statistics()["queued"])
    assert max(late) > 20
    assert max(late[-100:]) <= frames
    assert talk.dropped_bytes == 0
    assert talk.skipped >= round(stall_s / FRAME_S) - frames - 6
    settled = round((2.4 + stall_s + SETTLE_S + 1.5 * PACE_WINDOW_S + 5 * stall_s) / FRAME_S)
    assert max(late[settled:]) <= frames


def test_a_mark_stays_in_its_place() -> None:
    talk, mark = pacer(), [Mark(str(number), 1, 0) for number in range(5)]
    assert talk.push_mark(mark[0], 1.0) == [mark[0]]  # nothing waits
    frames = list(map(loud, range(6)))
    assert talk.push(b"".join(frames), 1.0) == frames[:4]
    assert talk.push_mark(mark[1], 1.0) == []
    assert talk.push(b"\1" * 100, 1.0) == []
    assert talk.push_mark(mark[2], 1.0) == []
    assert talk.push(b"\1" * 60 + b"\2" * 10, 1.0) == []
    assert talk.push_mark(mark[3], 1.0) == []
    assert talk.push_mark(mark[4], 1.0) == []
    left = [item for _, item in drain(talk)]
    padded = (b"\2" * 10).ljust(160, b"\xff")
    assert left == [*frames[4:], mark[1], b"\1" * 160, mark[2], padded, mark[3], mark[4]]


def test_marks_are_given_back_when_nothing_is_to_be_played() -> None:
    """In their order; and for a successor all is given up as it is."""
    for give_up in (False, True):
        talk, mark = pacer(lead_s=0.02), [Mark(str(number), 1, 0) for number in range(3)]
        talk.push(loud(0) + loud(1), 1.0)
        talk.push_mark(mark[0], 1.0)
        talk.push(loud(2) + b"\1" * 5, 1.0)
        talk.push_mark(mark[1], 1.0)
        talk.push_mark(mark[2], 1.0)
        if give_up:
            assert talk.take_all() == [loud(1), mark[0], loud(2), b"\1" * 5, mark[1], mark[2]]
        else:
            assert talk.clear() == mark
        assert talk.next_due is None
        assert talk.take_all() == []


@given(st.lists(st.integers(1, 1200), min_size=1, max_size=40), st.floats(0, 0.3))
def test_talk_in_real_time_arrives_to_the_byte(sizes: list[int], late_s: float) -> None:
    """However it is cut: only the very last frame is padded, when the talk has ended."""
    talk = pacer()
    whole = bytes(1 + n % 60 for n in range(sum(sizes)))
    sent, at = list[Item](), 0
    for number, size in enumerate(sizes):
        now = (at + size) / 8000 + late_s * (number % 2)
        while talk.next_due is not None and talk.next_due <= now:
            sent += talk.take_due(talk.next_due)
        sent += talk.push(whole[at : at + size], now)
        at += size
    sent += [item for _, item in drain(talk)]
    assert joined(sent) == whole + b"\xff" * (-len(whole) % 160)
    assert all(len(item) == 160 for item in sent)


@given(
    st.lists(st.tuples(st.integers(0, 900), st.floats(0, 0.3)), max_size=30),
    st.sampled_from([0.0, 0.02, 0.08, 0.1]),
)
def test_order_is_kept_and_the_lead_never_exceeded(pieces: list[tuple[int, float]], lead_s: float) -> None:
    talk = pacer(lead_s=lead_s, backlog_s=9.0, drain_s=9.0)
    now, played_at, taken, sent = 0.0, -math.inf, 0, b""

    def leave(frames: list[Item]) -> None:
        nonlocal played_at, sent
        for frame in frames:
            assert isinstance(frame, bytes)
            assert len(frame) == 160
            played_at = max(played_at, now) + FRAME_S
            assert played_at - now <= max(lead_s, FRAME_S) + 1e-9
            sent += frame.replace(b"\xff", b"")

    for size, pause_s in pieces:
        then = now + pause_s
        while talk.next_due is not None and talk.next_due <= then:
            now = max(now, talk.next_due)
            leave(talk.take_due(now))
        now = then
        leave(talk.push(bytes((taken + n) % 255 for n in range(size)), now))
        taken += size
    while talk.next_due is not None:
        now = max(now, talk.next_due)
        leave(talk.take_due(now))
    assert sent == bytes(n % 255 for n in range(taken))
