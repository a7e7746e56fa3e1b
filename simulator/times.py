"""Writes times as Telnyx does. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


def timestamp_text(moment: datetime) -> str:
    """Write a UTC time as in `occurred_at`: to the microsecond, with Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
