from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.ingest.talk import FRAME_S, TAIL_WAIT_S, TalkPacer
from actors.wire import g711

LEAD_S = 0.080


def pacer(**settings: Any) -> TalkPacer:
    defaults: dict[str, Any] = {
        "silence": g711.SILENCE_ULAW,
        "lead_s": LEAD_S,
        "backlog_s": 3.0,
        "drain_s": 0.4,
    }
    return TalkPacer(**(defaults | settings))


def loud(number: int) -> bytes:
    """A frame that is not silent and can be told from others."""
    return bytes([number % 64, number // 64]) * 80


def drain(talk: TalkPacer) -> list[tuple[float, bytes]]:
    """Everything that leaves when each due time is kept."""
    left = []
    while (due := talk.next_due) is not None:
        left += [(due, frame) for frame in talk.due(due)]
    return left


def test_a_talker_in_real_time_never_waits() -> None:
    talk = pacer()
    for turn in range(500):
        assert talk.push(loud(turn), turn * FRAME_S) == [loud(turn)]
        assert talk.next_due is None
    assert talk.statistics() == {"sent": 500, "queued": 0, "dropped": 0, "skipped": 0}


def test_a_burst_leaves_up_to_the_lead_and_then_in_real_time() -> None:
    talk = pacer()
    assert talk.push(b"".join(map(loud, range(10))), 5.0) == [loud(n) for n in range(4)]
    left = drain(talk)
    assert [frame for _, frame in left] == [loud(n) for n in range(4, 10)]
    assert [when for when, _ in left] == pytest.approx([5.02, 5.04, 5.06, 5.08, 5.10, 5.12])


def test_nothing_leaves_before_its_time() -> None:
    talk = pacer()
    talk.push(b"".join(map(loud, range(5))), 5.0)
    assert talk.due(5.01) == []
    assert talk.push(loud(5), 5.01) == []
    assert talk.due(5.021) == [loud(4)]


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
    assert b"".join(frame for frames in sent for frame in frames) == whole
    assert talk.next_due is None


def test_a_tail_is_padded_when_nothing_more_comes() -> None:
    talk = pacer(silence=g711.SILENCE_ALAW)
    assert talk.push(b"\1" * 200, 1.0) == [b"\1" * 160]
    assert talk.next_due == 1.0 + TAIL_WAIT_S
    assert talk.due(1.0 + TAIL_WAIT_S - 0.001) == []
    assert talk.due(1.0 + TAIL_WAIT_S) == [b"\1" * 40 + b"\xd5" * 120]
    assert talk.next_due is None


def test_more_talk_puts_the_padding_off() -> None:
    talk = pacer()
    assert talk.push(b"\1" * 40, 1.00) == []
    assert talk.push(b"\2" * 40, 1.05) == []
    assert talk.due(1.00 + TAIL_WAIT_S) == []
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
    assert talk.due(99.0) == []
    assert talk.push(loud(1), 1.0) == [loud(1)]


@pytest.mark.parametrize("by_time", [False, True])
def test_flushing_sends_everything(by_time: bool) -> None:
    talk = pacer()
    talk.push(b"".join(map(loud, range(10))) + b"\1", 1.0)
    rest = talk.due(math.inf) if by_time else talk.flush()
    assert rest == [*map(loud, range(4, 10)), b"\1" + b"\xff" * 159]
    assert talk.next_due is None
    assert talk.sent == 11
    assert talk.push(loud(1), 1.0) == [loud(1)]


def test_the_oldest_goes_when_the_backlog_is_full() -> None:
    talk = pacer(backlog_s=0.2, drain_s=0.1)
    sent = talk.push(b"".join(map(loud, range(30))), 1.0)
    sent += [frame for _, frame in drain(talk)]
    assert sent == [loud(n) for n in range(20, 30)]
    assert talk.dropped == 20


def test_silence_is_left_out_once_too_much_is_queued_until_the_queue_is_empty() -> None:
    talk = pacer(drain_s=0.1)
    silence = g711.SILENCE_ULAW * 160
    burst = [silence if n % 2 else loud(n) for n in range(20)]
    sent = talk.push(b"".join(burst), 1.0)
    sent += [frame for _, frame in drain(talk)]
    assert [frame for frame in sent if frame != silence] == burst[::2]
    assert talk.skipped == 10
    assert talk.push(silence, 9.0) == [silence]


def test_silence_is_kept_while_little_is_queued() -> None:
    talk = pacer()
    burst = [g711.SILENCE_ULAW * 160, loud(1)] * 5
    sent = talk.push(b"".join(burst), 1.0) + [frame for _, frame in drain(talk)]
    assert sent == burst
    assert talk.skipped == 0


@given(
    st.lists(st.tuples(st.integers(0, 900), st.floats(0, 0.3)), max_size=30),
    st.sampled_from([0.0, 0.02, 0.08, 0.1]),
)
def test_order_is_kept_and_the_lead_never_exceeded(pieces: list[tuple[int, float]], lead_s: float) -> None:
    talk = pacer(lead_s=lead_s, backlog_s=9.0, drain_s=9.0)
    now, played_at, taken, sent = 0.0, -math.inf, 0, b""

    def leave(frames: list[bytes]) -> None:
        nonlocal played_at, sent
        for frame in frames:
            assert len(frame) == 160
            played_at = max(played_at, now) + FRAME_S
            assert played_at - now <= max(lead_s, FRAME_S) + 1e-9
            sent += frame.replace(b"\xff", b"")

    for size, pause_s in pieces:
        then = now + pause_s
        while talk.next_due is not None and talk.next_due <= then:
            now = max(now, talk.next_due)
            leave(talk.due(now))
        now = then
        leave(talk.push(bytes((taken + n) % 255 for n in range(size)), now))
        taken += size
    while talk.next_due is not None:
        now = max(now, talk.next_due)
        leave(talk.due(now))
    assert sent == bytes(n % 255 for n in range(taken))
