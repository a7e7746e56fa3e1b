"""What ingest and fan-out say to each other over ZeroMQ: packed frames, many to a message.

Pure. A *batch* is what one ingest process has, from one round, for one fan-out process:

    topic (2)  version (1)  ingest index (1)  slot (1)  -  epoch (8)  sequence (8)  time (8)  entries…

The topic is `f` and the fan-out's index. `epoch` names the publishing process, `sequence` counts its batches to that
fan-out, so that a lost batch is counted and not guessed. An *entry* is one frame or one piece of news of a call:

    kind (1)  track (1)  flags (2)  position (4)  chunk (4)  sequence_number (4)  length (4)  timestamp (8)  stream (8)
    call (16)  payload…

`chunk`, `sequence_number` and `timestamp` are Telnyx's. `position` is ingest's: a frame's place in its track, which
rises by the track's step from frame to frame, also where Telnyx's numbers begin anew. Whether a frame is new, ingest
alone says. `call` is a digest of the call control id: fixed width, so no topic is a prefix of another. `stream` is the
number of the connection that carries the call; a later connection has a higher one, which is how a superseded stream is
told. Talk goes the other way in messages of the same idea; see `pack_talk`.
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
EVERY_CALL: Final = bytes(DIGEST_BYTES)  # in place of a call: all of them

# The bridge of a cluster's node is one more ingest to fan-outs, and more fan-outs to ingests: one that gets the news of
# all calls, and one for each node that wants calls, with higher indexes.
BRIDGE: Final = 128
NODES: Final = range(BRIDGE + 1, 255)
UNSEQUENCED: Final = 0  # of a batch that the bridge has made itself; it passes on all others with their numbers

# Kinds of entries.
AUDIO: Final = 1  # payload: codec bytes
START: Final = 2  # payload: Telnyx's start frame, verbatim
STOP: Final = 3  # payload: Telnyx's stop frame, verbatim; the call's stream has ended
ERROR: Final = 4  # payload: Telnyx's error frame, verbatim
GONE: Final = 5  # the stream's connection has ended without a stop
LIVE: Final = 6  # payload: the streams (8 bytes each) of all live calls of this publisher
FLOOR: Final = 7  # payload: JSON, who may talk into the call now
LEFT: Final = 9  # the stream goes on in another process; this one has sent all it had
# This fan-out's interest in the call (EVERY_CALL: in all) has arrived: it misses nothing from now on.
ACKNOWLEDGED: Final = 10
REFUSED: Final = 8  # payload: JSON, to one talker: why its talk is not taken
MARKED: Final = 11  # payload: JSON, to one talker: Telnyx has sent its mark back
DROPPED: Final = 12  # payload: JSON, to one talker: how much of its talk was dropped, and why

TO_TALKER: Final = frozenset({REFUSED, MARKED, DROPPED})
# Of a stream: told again to a fan-out that comes later, which may have missed them.
ENDS: Final = frozenset({STOP, GONE})
IN_ORDER: Final = 1  # flag of START: a predecessor handed the stream over, and says LEFT
SNAPSHOT: Final = 1  # flag of FLOOR: it is no news, but said to a fan-out that has just come
# The lower byte of AUDIO's flags is the step between the chunks of this track: 1, or 2 where both share a numbering.
STEP_MASK: Final = 0xFF
REPLAYED: Final = 0x100  # flag of AUDIO: kept from before anybody listened
# Flag of AUDIO: a predecessor of this ingest, which has crashed, had dealt with it. Who delivered it then knows its
# position; a fan-out that has just come itself does not, and must take it for delivered.
REPEATED: Final = 0x200

TRACKS: Final = ("inbound", "outbound")
EndReason = Literal["stop", "gone", "superseded"]  # why a stream is over
NO_NUMBER: Final = 0xFFFFFFFF  # Telnyx sent none; of a position: it can't be told
NUMBER_MASK: Final = 0x7FFFFFFF
NO_TIMESTAMP: Final = 0xFFFFFFFFFFFFFFFF

_LENGTH: Final = 6  # where an entry's length is among its fields
_BATCH = struct.Struct("<BBBxQQQ")
_ENTRY = struct.Struct("<BBHIIIIQQ16s")
_TALK = struct.Struct("<BBHIQ16s")
TALK_BYTES: Final = _TALK.size
_HEAD = struct.Struct("<BBH")
_TAIL = struct.Struct("<Q16s")
pack_entry = _ENTRY.pack
ENTRY_BYTES: Final = _ENTRY.size
CALL_AT: Final = ENTRY_BYTES - DIGEST_BYTES  # where the call is in an entry
TOPIC_BYTES: Final = 2
# Of the entry that begins there: (kind, track, position, length, stream), all that a frame of audio needs on its way.
# Raises struct.error when there is not so much.
unpack_front = struct.Struct("<BB2xI8xI8xQ").unpack_from
# An entry of audio in two parts: of (`audio_head`, position, chunk, sequence_number, length, timestamp), and
# `entry_tail`. The numbers are signed so that what would need masking is refused: struct.error.
pack_audio = struct.Struct("<IiiiIq").pack
pack_any_audio = struct.Struct("<IIIIIQ").pack  # the same, of numbers that have been masked


@cache  # there are few of them, so that they are at hand
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
    """The message is not of this version of Patchbay."""


def digest(call_control_id: str) -> bytes:
    """Return a call's name on the bus, of any text, also text that has no encoding."""
    return blake2b(call_control_id.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).digest()


def batch_topic(fanout_index: int) -> bytes:
    """Return the topic that fan-out `fanout_index` subscribes to."""
    return b"f" + bytes((fanout_index,))


def interest_topic(fanout_index: int, call: bytes) -> bytes:
    """Return the topic that a fan-out subscribes to for each call (digest, or EVERY_CALL) with listeners there."""
    return batch_topic(fanout_index) + call


class Subscription(NamedTuple):
    """Holds what an XPUB receives. `call`: None for the batches themselves."""

    wanted: bool
    fanout_index: int
    call: bytes | None


def parse_subscription(message: bytes) -> Subscription | None:
    """Read what an XPUB received; None for topics that are not fan-outs'."""
    if len(message) not in (3, 3 + DIGEST_BYTES) or message[1:2] != b"f":
        return None
    return Subscription(message[0] == 1, message[2], message[3:] or None)


def pack_batch(fanout_index: int, batch: Batch, entries: Iterable[bytes]) -> bytes:
    """Make one message of entries (each `pack_entry(…)`, followed by its payload)."""
    header = _BATCH.pack(VERSION, batch.ingest, batch.slot == "b", batch.epoch, batch.sequence, batch.time_us)
    return b"".join((batch_topic(fanout_index), header, *entries))


def split_entries(entries: bytes, max_bytes: int) -> Iterator[bytes]:
    """Yield entries in parts of at most so many bytes; a single one may be longer."""
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
    """Return the entries from `at` on that are of these calls, and how many they are. News of a talker are kept too.

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
    """Return a message's header, and where its entries begin.

    Raises:
        BusFormatError: another version, or not a batch.
    """
    try:
        version, ingest, slot, epoch, sequence, time_us = _BATCH.unpack_from(message, TOPIC_BYTES)
    except struct.error as error:
        raise BusFormatError("too short") from error
    if version != VERSION:
        raise BusFormatError(f"version {version}, this is {VERSION}")
    return Batch(ingest, "ab"[slot & 1], epoch, sequence, time_us), TOPIC_BYTES + _BATCH.size


class Entry(NamedTuple):
    """Holds one entry: the fields as they are packed, then the payload."""

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
    """Return the entry that begins there. A payload that is cut short is shorter than `length`; struct.error: the
    fields are."""
    fields = _ENTRY.unpack_from(message, at)
    at += ENTRY_BYTES
    return Entry._make((*fields, message[at : at + fields[_LENGTH]]))


def entries(message: bytes, at: int) -> Iterator[tuple[Entry, bytes]]:
    """Yield the entries from `at` on, each also as its bytes. Raises BusFormatError where one is cut short."""
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
TALK: Final = 1  # payload: G.711 or whatever the call's codec is, to be sent as it is
TALK_STOP: Final = 2  # the talker has stopped or gone
TALK_PREEMPT: Final = 3  # an administrator takes the floor
TALK_CLAIM: Final = 4  # payload: who claims the floor (a token's `sub`); no audio yet
TALK_CLAIM_PREEMPT: Final = 5  # the same for an administrator
TALK_MARK: Final = 6  # payload: the name of a mark, for its place behind what the talker has said so far
TALK_CLEAR: Final = 7  # nothing of what was said and is not played yet is to be played
TALK_SUPERSEDED: Final = 9  # payload: the number of a later stream of the call, which another node has
TALK_MARK_SENT: Final = 8  # payload: as TALK_MARK, of one that a predecessor of this ingest has sent to Telnyx

NOBODY: Final = 255  # in the place of a fan-out's index: nobody is told what becomes of this piece


class Talk(NamedTuple):
    """Holds one piece of talk. `talker` is the number of the talking connection."""

    kind: int
    fanout_index: int
    talker: int
    call: bytes
    payload: bytes


def pack_talk(kind: int, fanout_index: int, talker: int, call: bytes, payload: bytes = b"") -> bytes:
    """Make one piece of talk; a message is any number of them, one after the other."""
    return _TALK.pack(kind, fanout_index, 0, len(payload), talker, call) + payload


def unpack_talk(message: bytes, at: int = 0) -> Iterator[Talk]:
    """Yield the pieces of a message that begin at `at`. Raises BusFormatError when it is cut short."""
    size, make = len(message), tuple.__new__
    while at < size:
        try:
            kind, fanout_index, _, length, talker, call = _TALK.unpack_from(message, at)
        except struct.error as error:
            raise BusFormatError("cut short") from error
        at += _TALK.size
        if at + length > size:
            raise BusFormatError("cut short")
        yield make(
            Talk, (kind, fanout_index, talker, call, message[at : at + length])
        )  # as Talk does, at half its price
        at += length
