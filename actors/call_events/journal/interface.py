"""Defines the arguments, results and exceptions of the journal. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.call_events.events import Arrival

if TYPE_CHECKING:
    from actors.call_events.calls.call_state import CallState
    from actors.call_events.entry import Entry

# Writes events to the journal, and returns whether each is new. Raises Unavailable.
Record = Callable[[Sequence[Arrival]], Awaitable[list[bool]]]


class Unavailable(Exception):
    """Reports that the journal can't be read or written now. The text gives the reason."""


@dataclass(frozen=True)
class Commit:
    """Holds the result of a commit.

    Attributes:
        entries: events after the offset that the caller knew, oldest first, also of another process.
        states: the states of the calls of these events.
        taken: whether each arrival is new.
    """

    entries: list[Entry]
    states: dict[str, CallState]
    taken: list[bool]


@dataclass(frozen=True)
class Page:
    """Holds a part of the journal.

    Attributes:
        entries: the wanted events, oldest first.
        upto: every wanted event up to this offset is in `entries`.
        oldest: offset of the oldest event in the journal.
    """

    entries: list[Entry]
    upto: int
    oldest: int


@dataclass(frozen=True)
class Opened:
    """Describes a journal that has just been opened, with its newest events and its live calls.

    Attributes:
        last, oldest: offsets of the newest and the oldest event.
        first: offset of the first event of this epoch. Events before it may be incomplete.
    """

    epoch: str
    last: int
    oldest: int
    entries: list[Entry]
    calls: dict[str, CallState]
    first: int = 0
