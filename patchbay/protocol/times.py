"""Converts times: ISO 8601 text in UTC from and to µs, or seconds, since 1970, in a range that every reader has.

Pure. 0 stands for a time that is not known. Every time that is accepted can be written again, compared, and added to.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US: Final = timedelta(microseconds=1)
UNKNOWN: Final = 0
EARLIEST: Final = 1
LATEST: Final = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // _US  # in every time zone still in a year of four digits
LATEST_S: Final = 253_402_300_799  # the last second of the year 9999
AHEAD_MAX: Final = timedelta(days=1) // _US  # clocks and time zones that are wrong
TIME_MAX_CHARS: Final = 64


def microseconds(text: str) -> int:
    """Return the µs since 1970 of an ISO 8601 time; UNKNOWN for what is none, or out of range. Without a zone it is
    UTC, as Telnyx means it."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return UNKNOWN
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    at = (moment - _EPOCH) // _US
    return at if EARLIEST <= at <= LATEST else UNKNOWN


def timestamp(at: int) -> str:
    """Return the time as Telnyx writes it, of µs since 1970; one that is out of range becomes the end of the range."""
    moment = _EPOCH + min(max(at, 0), LATEST) * _US
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def utc(at_s: float) -> str:
    """Return seconds since 1970 as UTC in ISO 8601, to the millisecond: `2026-01-31T12:00:00.250Z`."""
    return f"{utc_seconds(at_s)[:-1]}.{int(at_s % 1 * 1000):03d}Z"


def utc_seconds(at_s: float) -> str:
    """Return seconds since 1970 as UTC in ISO 8601, to the second; what is later than the year 9999 becomes its end."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(min(at_s, LATEST_S)))


def occurred_at(given: object, received_at: str, mended: list[str]) -> str:
    """Return when something happened: what its witness wrote, or when it arrived, where that can't be.

    Args:
        mended: gets `occurred_at` where something else was written: no time, one out of range, or one in the future,
            which would make everything later look old.
    """
    if given is None:
        return received_at
    if isinstance(given, str) and len(given) <= TIME_MAX_CHARS and (at := microseconds(given)) != UNKNOWN:
        arrived = microseconds(received_at)
        if arrived == UNKNOWN or at <= arrived + AHEAD_MAX:
            return given
    mended.append("occurred_at")
    return received_at
