"""Counts and logs faults in a call's audio: payloads that can't be decoded, and encodings that can't be made."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import Counter

log = logging.getLogger(__name__)


class AudioFaults:
    """Counts the faults of one stream.

    Args:
        counters: gets `frames_undecodable` and `forms_failed`.
        call_control_id, codec: fields of the log lines.
    """

    __slots__ = ("_counters", "_is_logged", "log_fields")

    def __init__(self, counters: Counter[str], call_control_id: str, codec: str) -> None:
        self._counters = counters
        self._is_logged = False
        self.log_fields = {"call_control_id": call_control_id, "codec": codec}

    def on_undecodable(self) -> None:
        """Count a payload that can't be decoded; the first one of a stream is logged."""
        self._counters["frames_undecodable"] += 1
        if not self._is_logged:
            self._is_logged = True
            log.warning("undecodable audio: silence in its place", extra=self.log_fields)

    def on_failed(self, error: Exception) -> None:
        """Count and log an encoding that can't be made any more."""
        self._counters["forms_failed"] += 1
        log.error("a form of this call's audio can't be made: %r", error, exc_info=error, extra=self.log_fields)
