"""Converts times between ISO 8601 text in UTC and µs, or seconds, since 1970. Pure.

UNKNOWN stands for a time that is not known. Every accepted time can be written again, compared, and added to.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US: Final = timedelta(microseconds=1)
UNKNOWN: Final = 0
EARLIEST: Final = 1
LATEST: Final = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // _US  # a year of four digits in every time zone
LATEST_S: Final = 253_402_300_799  # the last second of the year 9999
AHEAD_MAX: Final = timedelta(days=1) // _US  # allows for wrong clocks and time zones
TIME_MAX_CHARS: Final = 64


def microseconds(text: str) -> int:
    """Return the µs since 1970 of an ISO 8601 time; UNKNOWN for other text, or a time out of range.

    A time without a zone is UTC, as in Telnyx's messages.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return UNKNOWN
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    at = (moment - _EPOCH) // _US
    return at if EARLIEST <= at <= LATEST else UNKNOWN


def timestamp(at: int) -> str:
    """Return µs since 1970 as Telnyx writes times. A time out of range becomes the end of the range."""
    moment = _EPOCH + min(max(at, 0), LATEST) * _US
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def utc(at_s: float) -> str:
    """Return seconds since 1970 as UTC in ISO 8601, to the millisecond: `2026-01-31T12:00:00.250Z`."""
    return f"{utc_seconds(at_s)[:-1]}.{int(at_s % 1 * 1000):03d}Z"


def utc_seconds(at_s: float) -> str:
    """Return seconds since 1970 as UTC in ISO 8601, to the second, at most the end of the year 9999."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(min(at_s, LATEST_S)))


def occurred_at(given: object, received_at: str, mended: list[str]) -> str:
    """Return when an event occurred: the given time, or the time of arrival where the given one is missing or refused.

    Args:
        mended: gets `occurred_at` where the given time is refused: malformed, out of range, or in the future, so that
            later events would seem to be older.
    """
    if given is None:
        return received_at
    if isinstance(given, str) and len(given) <= TIME_MAX_CHARS and (at := microseconds(given)) != UNKNOWN:
        arrived = microseconds(received_at)
        if arrived == UNKNOWN or at <= arrived + AHEAD_MAX:
            return given
    mended.append("occurred_at")
    return received_at
