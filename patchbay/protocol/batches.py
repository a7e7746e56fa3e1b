"""Packs the messages between ingest and fan-out on the bus: batches of entries one way, pieces of talk the other. Pure.

A *batch* holds the entries of one round of an ingest process for one fan-out process:

    topic (2)  version (1)  ingest index (1)  slot (1)  -  epoch (8)  sequence (8)  time (8)  entries…

The topic is `f` and the fan-out's index. `epoch` names the publishing process. `sequence` counts its batches to that
fan-out, so that lost batches can be counted. An *entry* is one frame of audio, or one event of a call:

    kind (1)  track (1)  flags (2)  position (4)  chunk (4)  sequence_number (4)  length (4)  timestamp (8)  stream (8)
    call (16)  payload…

`chunk`, `sequence_number` and `timestamp` are Telnyx's. `position` is ingest's number of a frame in its track: it rises
by the track's step from frame to frame, also where Telnyx's numbers begin anew. `call` is a digest of the call control
id: all have one length, so no topic is a prefix of another. `stream` is the number of the connection that carries the
call: a later connection has a higher number, so fan-out knows a superseded stream. For talk, see `pack_talk`.
"""

from __future__ import annotations

import struct
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

VERSION: Final = 2
STATS_TOPIC: Final = b"s"
DIGEST_BYTES: Final = 16
EVERY_CALL: Final = bytes(DIGEST_BYTES)  # in place of a call's digest: all calls

# The bridge of a cluster's node is one more ingest to fan-outs. To ingests, it is several fan-outs: BRIDGE gets the
# events of all calls, and each node that wants calls has an index of its own.
BRIDGE: Final = 128
NODES: Final = range(BRIDGE + 1, 255)
UNSEQUENCED: Final = 0  # of a batch that the bridge has made; batches that it passes on keep their numbers

# Kinds of entries.
AUDIO: Final = 1  # payload: codec bytes
START: Final = 2  # payload: Telnyx's start frame, verbatim
STOP: Final = 3  # payload: Telnyx's stop frame, verbatim; the call's stream has ended
ERROR: Final = 4  # payload: Telnyx's error frame, verbatim
GONE: Final = 5  # the stream's connection has ended without a stop
LIVE: Final = 6  # payload: the streams (8 bytes each) of all live calls of this publisher
FLOOR: Final = 7  # payload: JSON, the talker that has the floor now
LEFT: Final = 9  # the stream goes on in another process; this process has sent all its frames
# This fan-out's interest in the call (EVERY_CALL: in all) has arrived: the fan-out gets all further entries.
ACKNOWLEDGED: Final = 10
REFUSED: Final = 8  # payload: JSON, to one talker: why its talk was refused
MARKED: Final = 11  # payload: JSON, to one talker: Telnyx has sent its mark back
DROPPED: Final = 12  # payload: JSON, to one talker: how much of its talk was dropped, and why

TO_TALKER: Final = frozenset({REFUSED, MARKED, DROPPED})
# Ends of a stream: sent again to a fan-out that connects later, and may have missed them.
ENDS: Final = frozenset({STOP, GONE})
IN_ORDER: Final = 1  # flag of START: a predecessor handed the stream over, and sends LEFT
SNAPSHOT: Final = 1  # flag of FLOOR: the floor has not changed; the entry is for a fan-out that has just connected
# The lower byte of AUDIO's flags is the step between the chunks of this track: 1, or 2 where both share a numbering.
STEP_MASK: Final = 0xFF
REPLAYED: Final = 0x100  # flag of AUDIO: the frame was kept from before anybody listened
# Flag of AUDIO: a crashed predecessor of this ingest had handled the frame. A fan-out that has delivered it knows its
# position. A fan-out that has just started does not, and must treat the frame as delivered.
REPEATED: Final = 0x200

TRACKS: Final = ("inbound", "outbound")
EndReason = Literal["stop", "gone", "superseded"]  # why a stream is over
NO_NUMBER: Final = 0xFFFFFFFF  # Telnyx sent no number; as a position: not known
NUMBER_MASK: Final = 0x7FFFFFFF
NO_TIMESTAMP: Final = 0xFFFFFFFFFFFFFFFF

_LENGTH: Final = 6  # index of `length` among an entry's fields
_BATCH = struct.Struct("<BBBxQQQ")
_ENTRY = struct.Struct("<BBHIIIIQQ16s")
_TALK = struct.Struct("<BBHIQ16s")
TALK_BYTES: Final = _TALK.size
_HEAD = struct.Struct("<BBH")
_TAIL = struct.Struct("<Q16s")
pack_entry = _ENTRY.pack
ENTRY_BYTES: Final = _ENTRY.size
CALL_AT: Final = ENTRY_BYTES - DIGEST_BYTES  # offset of the call in an entry
TOPIC_BYTES: Final = 2
# Return (kind, track, position, length, stream) of the entry that begins at an offset: all that the hot path needs.
# Raises struct.error when the entry is cut short.
unpack_front = struct.Struct("<BB2xI8xI8xQ").unpack_from
# Pack (`audio_head`, position, chunk, sequence_number, length, timestamp) of an entry of audio; `entry_tail` follows.
# Raises struct.error for numbers that must be masked first: they are signed here.
pack_audio = struct.Struct("<IiiiIq").pack
pack_any_audio = struct.Struct("<IIIIIQ").pack  # the same for masked numbers


@cache  # there are few different ones
def audio_head(track: int, flags: int) -> int:
    """Return the first fields of an entry of audio, for `pack_audio`."""
    return int.from_bytes(_HEAD.pack(AUDIO, track, flags), "little")


def news_entry(kind: int, stream: int, call: bytes, payload: bytes = b"", flags: int = 0) -> bytes:
    """Return an entry that is not audio."""
    return pack_entry(kind, 0, flags, 0, 0, 0, len(payload), 0, stream, call) + payload


def entry_tail(stream: int, call: bytes) -> bytes:
    """Return the last fields of every entry of a stream."""
    return _TAIL.pack(stream, call)


class Batch(NamedTuple):
    """Holds the header of a batch."""

    ingest: int
    slot: str
    epoch: int
    sequence: int
    time_us: int


class BusFormatError(Exception):
    """Reports a message that is malformed, or of another version of Patchbay."""


def digest(call_control_id: str) -> bytes:
    """Return the digest that names a call on the bus. Accepts any text, also lone surrogates."""
    return blake2b(call_control_id.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).digest()


def batch_topic(fanout_index: int) -> bytes:
    """Return the topic that fan-out `fanout_index` subscribes to."""
    return b"f" + bytes((fanout_index,))


def interest_topic(fanout_index: int, call: bytes) -> bytes:
    """Return the topic that a fan-out subscribes to for each call (digest, or EVERY_CALL) with listeners there."""
    return batch_topic(fanout_index) + call


class Subscription(NamedTuple):
    """Holds a subscription, or its end, as an XPUB receives it. `call`: a digest; None: the batches themselves."""

    wanted: bool
    fanout_index: int
    call: bytes | None


def parse_subscription(message: bytes) -> Subscription | None:
    """Read a message of an XPUB; None for a topic that is not a fan-out's."""
    if len(message) not in (3, 3 + DIGEST_BYTES) or message[1:2] != b"f":
        return None
    return Subscription(message[0] == 1, message[2], message[3:] or None)


def pack_batch(fanout_index: int, batch: Batch, entries: Iterable[bytes]) -> bytes:
    """Pack a batch of entries, each packed by `pack_entry` and followed by its payload."""
    header = _BATCH.pack(VERSION, batch.ingest, batch.slot == "b", batch.epoch, batch.sequence, batch.time_us)
    return b"".join((batch_topic(fanout_index), header, *entries))


def split_entries(entries: bytes, max_bytes: int) -> Iterator[bytes]:
    """Yield entries in parts of at most `max_bytes`; a single entry may be longer."""
    begin = at = 0
    while at < len(entries):
        end = at + ENTRY_BYTES + unpack_front(entries, at)[3]
        if end - begin > max_bytes and at > begin:
            yield entries[begin:at]
            begin = at
        at = end
    if at > begin:
        yield entries[begin:at]


def keep_entries(message: bytes, at: int, calls: Container[bytes]) -> tuple[bytes, int]:
    """Return the entries from `at` on that are of these calls, or for a talker; and their number.

    Raises:
        BusFormatError: the message is cut short.
    """
    size, begin, kept, count = len(message), at, [], 0
    try:
        while at < size:
            kind, _, _, length, _ = unpack_front(message, at)
            end = at + ENTRY_BYTES + length
            if message[at + CALL_AT : at + ENTRY_BYTES] in calls or kind in TO_TALKER:
                count += 1
            else:
                kept.append(message[begin:at])
                begin = end
            at = end
    except struct.error as error:
        raise BusFormatError("cut short") from error
    if at > size:
        raise BusFormatError("cut short")
    kept.append(message[begin:])
    return b"".join(kept), count


def unpack_batch(message: bytes) -> tuple[Batch, int]:
    """Return the header of a batch, and the offset of its first entry.

    Raises:
        BusFormatError: the message is of another version, or no batch.
    """
    try:
        version, ingest, slot, epoch, sequence, time_us = _BATCH.unpack_from(message, TOPIC_BYTES)
    except struct.error as error:
        raise BusFormatError("too short") from error
    if version != VERSION:
        raise BusFormatError(f"version {version}, this is {VERSION}")
    return Batch(ingest, "ab"[slot & 1], epoch, sequence, time_us), TOPIC_BYTES + _BATCH.size


class Entry(NamedTuple):
    """Holds one entry: its fields in the order in which they are packed, then the payload."""

    kind: int
    track: int
    flags: int
    position: int
    chunk: int
    sequence_number: int
    length: int
    timestamp: int
    stream: int
    call: bytes
    payload: bytes


def entry_at(message: bytes, at: int) -> Entry:
    """Return the entry that begins at an offset. A payload that is cut short is shorter than `length`.

    Raises:
        struct.error: the fields are cut short.
    """
    fields = _ENTRY.unpack_from(message, at)
    at += ENTRY_BYTES
    return Entry._make((*fields, message[at : at + fields[_LENGTH]]))


def entries(message: bytes, at: int) -> Iterator[tuple[Entry, bytes]]:
    """Yield the entries from `at` on, each with its bytes. Raises BusFormatError at an entry that is cut short."""
    while at < len(message):
        try:
            entry = entry_at(message, at)
        except struct.error as error:
            raise BusFormatError("cut short") from error
        begin, at = at, at + ENTRY_BYTES + entry.length
        if at > len(message):
            raise BusFormatError("cut short")
        yield entry, message[begin:at]


# Talk: fan-out to the ingest process that carries the call.
TALK: Final = 1  # payload: audio in the call's codec
TALK_STOP: Final = 2  # the talker has stopped, or has disconnected
TALK_PREEMPT: Final = 3  # an administrator takes the floor
TALK_CLAIM: Final = 4  # payload: who claims the floor (a token's `sub`); no audio yet
TALK_CLAIM_PREEMPT: Final = 5  # the same for an administrator
TALK_MARK: Final = 6  # payload: the name of a mark, which is played behind the talk so far
TALK_CLEAR: Final = 7  # talk that was not played yet must be dropped
TALK_SUPERSEDED: Final = 9  # payload: the number of a later stream of the call, on another node
TALK_MARK_SENT: Final = 8  # payload: as TALK_MARK; a predecessor of this ingest has sent the mark to Telnyx

NOBODY: Final = 255  # in place of a fan-out's index: no fan-out is told about this piece


class Talk(NamedTuple):
    """Holds one piece of talk. `talker` is the number of the talking connection."""

    kind: int
    fanout_index: int
    talker: int
    call: bytes
    payload: bytes


def pack_talk(kind: int, fanout_index: int, talker: int, call: bytes, payload: bytes = b"") -> bytes:
    """Pack one piece of talk. A message is any number of pieces, one after the other."""
    return _TALK.pack(kind, fanout_index, 0, len(payload), talker, call) + payload


def unpack_talk(message: bytes, at: int = 0) -> Iterator[Talk]:
    """Yield the pieces of talk in a message from `at` on. Raises BusFormatError at a piece that is cut short."""
    size, make = len(message), tuple.__new__
    while at < size:
        try:
            kind, fanout_index, _, length, talker, call = _TALK.unpack_from(message, at)
        except struct.error as error:
            raise BusFormatError("cut short") from error
        at += _TALK.size
        if at + length > size:
            raise BusFormatError("cut short")
        # Calling `Talk` would cost twice as much.
        yield make(Talk, (kind, fanout_index, talker, call, message[at : at + length]))
        at += length
