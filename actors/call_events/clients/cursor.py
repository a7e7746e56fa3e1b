"""Computes how far a client is in the stream of events, so that a successor can continue its connection. Pure.

A connection carries the wanted events in order, in one encoding for all clients, so the bytes behind a known point are
known. A process sets such a point, a `Cursor`, from time to time. Its successor asks the kernel how many bytes were
written since (`patchbay.net.tcp_info`), and continues with the next byte. So no event is missing and none is repeated,
wherever a crash occurs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.call_events.entry import Entry

FORM = 1  # version of the encoding of events: must be raised when `encode` changes, since bytes are counted
UNKNOWN_OFFSET = -1  # the kernel counts no bytes of this connection
PREFIX_MAX_BYTES = 8 * 1024  # of `Cursor.prefix`


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Holds a point in the bytes that a connection carries.

    Attributes:
        epoch: the journal's epoch.
        written: how many bytes the connection had carried at this point, by the kernel's count; NO_COUNT: the kernel
            has no count, and this point is where a parked connection is.
        offset: all wanted events up to this offset are before this point.
        prefix: bytes at this point that are no event, such as a welcome or a pong.
        form: see FORM.
    """

    epoch: str
    written: int
    offset: int
    prefix: bytes = b""
    form: int = FORM


encode_cursor = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Cursor).decode


class LostCursor(Exception):
    """Reports that a client's position is not known. The client must come back with `since`."""


def decode_cursor(state: bytes) -> Cursor:
    """Read a cursor. Raises LostCursor for a cursor of another version, or without an offset."""
    try:
        cursor: Cursor = _decode(state)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise LostCursor("the state can't be read") from error
    if cursor.form != FORM:
        raise LostCursor("a version with another encoding of events has written it")
    if cursor.offset == UNKNOWN_OFFSET:
        raise LostCursor("the kernel counts no bytes of this connection")
    return cursor


def walk(cursor: Cursor, written: int, entries: Iterable[Entry]) -> tuple[int, bytes] | None:
    """Find the position of a connection.

    Args:
        written: the kernel's count now.
        entries: the wanted events after the cursor, in order.

    Returns:
        The offset of the last event that was written, at least in part, and its unwritten bytes; None when more was
        written than these entries.
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
