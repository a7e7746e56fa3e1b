from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from patchbay.audio.g711 import encode_ulaw, mix_ulaw
from patchbay.audio.mixer import ABSENT_S, HOLD_BYTES, Mixer

if TYPE_CHECKING:
    from patchbay.protocol.telnyx import Track

FRAME_S = 0.020
LAGS: tuple[tuple[Track, float], ...] = (("inbound", 0.0), ("outbound", 0.003))
SILENCE = b"\xff" * 160


def frame(number: int) -> bytes:
    return bytes([128 + number % 100]) * 160


def total(pieces: list[list[bytes]]) -> int:
    return sum(len(piece) for frames in pieces for piece in frames)


def run(mixer: Mixer, arrivals: list[tuple[float, Track, bytes]]) -> list[list[bytes]]:
    return [mixer.push(track, payload, now) for now, track, payload in arrivals]


def test_a_single_track_passes_at_once() -> None:
    mixer = Mixer()
    for turn in range(100):
        assert mixer.push("outbound", frame(turn), turn * FRAME_S) == [frame(turn)]
    assert mixer.flush() == []


def test_both_tracks_are_summed_frame_by_frame() -> None:
    mixer = Mixer()
    assert mixer.push("inbound", frame(0), 0.0) == [frame(0)]  # nobody knows of the other yet
    for turn in range(1, 100):
        now = turn * FRAME_S
        assert mixer.push("outbound", frame(turn), now - 0.01) == []
        assert mixer.push("inbound", frame(2 * turn), now) == [mix_ulaw(frame(turn), frame(2 * turn))]


def test_n_seconds_of_each_track_are_n_seconds_of_the_mix() -> None:
    mixer = Mixer()
    arrivals: list[tuple[float, Track, bytes]] = [
        (turn * FRAME_S + lag, track, frame(turn)) for turn in range(500) for track, lag in LAGS
    ]
    pieces = [*run(mixer, arrivals), mixer.flush()]
    assert total(pieces) == 501 * 160


def test_frames_of_unequal_size_are_mixed_too() -> None:
    mixer = Mixer()
    loud, quiet = encode_ulaw(b"\0\x10" * 240), encode_ulaw(b"\0\x01" * 160)
    mixer.push("outbound", quiet, 0.0)
    pieces = [mixer.push("inbound", loud, 0.0), mixer.push("outbound", quiet * 2, 0.03), mixer.flush()]
    assert b"".join(piece for frames in pieces for piece in frames) == (mix_ulaw(loud, (quiet * 2)[:240]) + quiet[:80])


def test_a_late_track_is_waited_for_by_three_frames_at_most() -> None:
    mixer = Mixer()
    run(mixer, [(0.0, "inbound", frame(0)), (0.0, "outbound", frame(0)), (0.0, "inbound", SILENCE)])
    held = [mixer.push("inbound", frame(turn), turn * FRAME_S) for turn in range(1, 6)]
    assert held == [[], [], [], [frame(1)], [frame(2)]]
    late = [mixer.push("outbound", SILENCE, 0.11) for _ in range(5)]
    assert late == [[frame(3)], [frame(4)], [frame(5)], [], []]
    assert mixer.push("inbound", frame(6), 0.12) == [frame(6)]


def test_a_track_that_has_gone_is_not_waited_for() -> None:
    mixer = Mixer()
    run(mixer, [(0.0, "inbound", frame(0)), (0.0, "outbound", SILENCE), (0.0, "inbound", frame(0))])
    pieces = [mixer.push("inbound", frame(n), n * FRAME_S) for n in range(1, 30)]
    gone_at = round(ABSENT_S / FRAME_S)
    assert [len(frames) for frames in pieces[: gone_at - 1]] == [0, 0, 0, 1, 1, 1, 1, 1, 1]
    assert pieces[gone_at - 1] == [frame(n) for n in range(gone_at - 3, gone_at + 1)]
    assert pieces[gone_at:] == [[frame(n)] for n in range(gone_at + 1, 30)]


def test_a_track_that_comes_back_loses_nothing() -> None:
    mixer = Mixer()
    for turn in range(100):
        mixer.push("inbound", SILENCE, turn * FRAME_S)
        if not 20 < turn < 60:
            mixer.push("outbound", frame(turn), turn * FRAME_S)
    assert mixer.dropped_bytes == 0


def test_stutter_does_not_make_the_mix_longer() -> None:
    mixer = Mixer()
    arrivals: list[tuple[float, Track, bytes]] = []
    for turn in range(2000):
        late = turn // 20 * 20 % 80  # each track in turn comes in bursts of eight
        for track, _ in LAGS:
            stutters = late == (20 if track == "inbound" else 60)
            when = turn // 8 * 8 + 7 if stutters else turn
            arrivals.append((when * FRAME_S, track, frame(turn)))
    arrivals.sort(key=lambda arrival: arrival[0])
    pieces = [*run(mixer, arrivals), mixer.flush()]
    assert abs(total(pieces) // 160 - 2000) <= 6


def test_nothing_gives_nothing() -> None:
    mixer = Mixer()
    assert mixer.push("inbound", b"", 0.0) == []
    assert mixer.flush() == []


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 500), st.floats(0, 0.3)),
        max_size=60,
    )
)
def test_little_is_held_and_nothing_is_made_up(pushes: list[tuple[bool, int, float]]) -> None:
    mixer, now = Mixer(), 0.0
    given_bytes = {"inbound": 0, "outbound": 0}
    passed = 0
    for is_inbound, size, pause_s in pushes:
        now += pause_s
        track: Track = "inbound" if is_inbound else "outbound"
        frames = mixer.push(track, b"\x80" * size, now)
        assert all(0 < len(piece) <= 160 for piece in frames)
        given_bytes[track] += size
        passed += sum(map(len, frames))
    rest = sum(map(len, mixer.flush()))
    assert rest <= HOLD_BYTES
    longest, together = max(given_bytes.values()), sum(given_bytes.values())
    assert longest <= passed + rest + mixer.dropped_bytes
    assert passed + rest + mixer.dropped_bytes <= together
