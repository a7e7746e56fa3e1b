"""Statistics of listeners' playout: their reports, joined with the times when ingest had the frames. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.fanout.v1.frames import V1Encoder
from patchbay.protocol.batches import TRACKS
from patchbay.protocol.histogram import Histogram

if TYPE_CHECKING:
    from actors.fanout.calls.encoder import Encoder
    from patchbay.protocol.v1.control import Playout, TrackPlayout

BUCKETS_S: Final = (0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0)


class PlayoutStats:
    """Collects the reports of one process's listeners."""

    def __init__(self) -> None:
        self.ear_delay = Histogram.empty(BUCKETS_S)

    def add(self, report: Playout, encoder: Encoder | None, now_us: int) -> dict[str, Any]:
        """Add a listener's report. Returns what the console shows of that listener.

        Args:
            encoder: of the listener's encoding; it knows when ingest had each frame.
            now_us: on the machine's monotonic clock.
        """
        delays = [delay for track in report.tracks if (delay := _ear_ms(report, track, encoder, now_us)) is not None]
        for delay in delays:
            self.ear_delay.observe(delay / 1000)
        tracks = report.tracks
        return {
            "ear_ms": round(max(delays)) if delays else None,
            "buffer_ms": round(max((track.buffer_ms for track in tracks), default=0)),
            "underruns": sum(track.underruns for track in tracks),
            "concealed_ms": round(sum(track.concealed_ms for track in tracks)),
            "lost": sum(track.lost for track in tracks),
        }


def _ear_ms(report: Playout, track: TrackPlayout, encoder: Encoder | None, now_us: int) -> float | None:
    """Return the delay from ingest to the ear; None: nothing is played, or the encoder has forgotten the frame."""
    if not track.playing or not isinstance(encoder, V1Encoder):
        return None
    had_us = encoder.ingest_time_us(track.stream, TRACKS.index(track.track), track.sequence)
    if had_us is None:
        return None
    return max(0.0, (now_us - had_us) / 1000 - report.rtt_ms / 2 + report.output_ms)
