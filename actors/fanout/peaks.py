"""Measures the recent peaks of a call, in steps of 100 ms, for pages that show many calls without hearing them.
Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.fanout.calls.encoder import Encoder
from patchbay.audio import level
from patchbay.audio.transcode import UnknownCodec
from patchbay.protocol.batches import TRACKS

if TYPE_CHECKING:
    from collections.abc import Callable

    from patchbay.audio.media_format import MediaFormat
    from patchbay.protocol.batches import Entry

STEP_MS: Final = 100
STEPS_PER_S: Final = 1000 // STEP_MS
KEPT: Final = 16  # steps; they are fetched every five steps


class PeakEncoder(Encoder):
    """Makes no frames, but keeps the peaks of both tracks, by the time of arrival, so that both tracks have the same
    steps.

    Raises UnknownCodec for a format that can't be measured without decoding.
    """

    def __init__(self, media_format: MediaFormat) -> None:
        measure = measure_of(media_format)
        if measure is None:
            raise UnknownCodec(f"no way to measure {media_format.encoding}")
        self._measure = measure
        self._steps: list[dict[int, int]] = [{} for _ in TRACKS]

    def encode(self, entry: Entry, now: float) -> bytes:
        step = step_of(now)
        peak = self._measure(entry.payload)
        steps = self._steps[entry.track]
        if peak > steps.get(step, -1):
            steps[step] = peak
            if len(steps) > KEPT:
                del steps[min(steps)]
        return b""

    def peaks(self, first: int, end: int) -> list[list[int]]:
        """Return, for each track, the peaks of the steps from `first` up to `end` (numbers from `step_of`); forget
        earlier steps.

        A track that was silent has an empty list.
        """
        found = []
        for steps in self._steps:
            wanted = [steps.get(step, 0) for step in range(first, end)]
            found.append(wanted if any(wanted) else [])
            for step in [step for step in steps if step < first]:
                del steps[step]
        return found


def step_of(now: float) -> int:
    """Return the number of the present step."""
    return int(now * STEPS_PER_S)


def measure_of(media_format: MediaFormat) -> Callable[[bytes], int] | None:
    """Return the function that measures a payload without decoding: mono G.711, and L16. None: it must be decoded."""
    if media_format.channels == 1 and media_format.encoding == "PCMA":
        return level.of_alaw
    if media_format.channels == 1 and media_format.encoding == "PCMU":
        return level.of_ulaw
    if media_format.encoding == "L16":
        return level.of_l16
    return None
