"""Encodes the state that a media stream leaves to the process that goes on with it. Pure.

The gateway keeps the encoded state (`HandedConnection.set_state`). The successor may be of this version
or the one before.
"""

from __future__ import annotations

from typing import Final

import msgspec

NOT_BEGUN: Final = 0.0  # started_at of a stream that waits for its admission
STATE_MAX_BYTES: Final = 16 * 1024  # a start frame, which is shorter, and all other fields


class StreamState(msgspec.Struct, frozen=True, array_like=True):
    """State of one stream, for its successor.

    Attributes:
        start: Telnyx's start frame; empty: the stream carries no call.
        started_at: seconds since 1970; NOT_BEGUN: the successor asks for admission again.
        talker: the talker who has the floor.
        in_order: the predecessor hands the stream over; False: it has crashed.
        tracks: offset, expected chunk and step of each track (`MediaTrack.state`); the latter two are known only where
            the stream is handed over in order.
    """

    start: bytes
    started_at: float
    talker: int | None
    in_order: bool
    tracks: tuple[tuple[int, int, int], ...] = ()


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(StreamState).decode
