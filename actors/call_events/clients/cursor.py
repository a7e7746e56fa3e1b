"""Finds out how far a client is in the stream of events, so that another process can continue its connection at the
next byte.

A client's socket carries the events that it wants, in order, one encoding for all: what comes after a known point is
known. So it is enough to note that point now and then (`Cursor`), and to ask the kernel how much has been written
since: it counts the bytes of a connection, and outlives us. Nothing has to be noted for an event, and after a crash
between any two steps no event is missing and none comes twice.

Pure: the kernel is asked by `patchbay.net.tcp_info`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.call_events.entry import Entry

FORM = 1  # of events as they are written: raise it when `encode` changes, or bytes would be counted wrong
UNKNOWN_OFFSET = -1  # an offset: nobody can tell
PREFIX_MAX_BYTES = 8 * 1024  # of what is noted with a place


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Holds a point in the bytes that a connection carries.

    Attributes:
        epoch: of the journal that `offset` belongs to.
        written: bytes that the connection had carried there, by the kernel's count; NO_COUNT where it has none, and
            then this is where the connection is, not where it was.
        offset: everything wanted up to this offset comes before that point.
        prefix: what comes there before any event: a welcome, a pong.
        form: of the events; see FORM.
    """

    epoch: str
    written: int
    offset: int
    prefix: bytes = b""
    form: int = FORM


encode_cursor = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Cursor).decode


class LostCursor(Exception):
    """The client's position can't be determined. The client must come back with `since`."""


def decode_cursor(state: bytes) -> Cursor:
    """Read a cursor. Raises LostCursor: it is another program's."""
    try:
        cursor: Cursor = _decode(state)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise LostCursor("the state can't be read") from error
    if cursor.form != FORM:
        raise LostCursor("events were written otherwise then")
    if cursor.offset == UNKNOWN_OFFSET:
        raise LostCursor("what this connection carries is not counted")
    return cursor


def walk(cursor: Cursor, written: int, entries: Iterable[Entry]) -> tuple[int, bytes] | None:
    """Find the position of a connection.

    Args:
        written: the kernel's count now.
        entries: those that the client wants after the cursor, in order.

    Returns:
        The offset up to which everything wanted has been written, at least in part, and what is left to be written of
        the last; None when it is further than these entries go.
    """
    left = written - cursor.written
    if left < len(cursor.prefix):
        return cursor.offset, cursor.prefix[left:]
    left -= len(cursor.prefix)
    if not left:
        return cursor.offset, b""
    for entry in entries:
        if left <= len(entry.frame):
            return entry.offset, entry.frame[left:]
        left -= len(entry.frame)
    return None
