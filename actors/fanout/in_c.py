"""Fan-out's hot path in C (`_media.c`, `_talk.c`), bound to the classes that it deals with."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from actors.fanout.call import Call
from actors.fanout.groups import Group, UlawEncoder
from actors.fanout.lane import Lane
from actors.fanout.links import IngestLinks
from actors.fanout.talker import Talker
from actors.runtime.allowance import Allowance
from actors.runtime.native import routines
from actors.runtime.plain_way import PlainWay
from actors.runtime.pumped import ReadingInC
from actors.wire.rtp import Depacketizer

if TYPE_CHECKING:
    from actors.fanout.lane import Deliver


def deliver_in_c(*, wanted: bool = True) -> Deliver | None:
    """What does the same as `actors.fanout.lane.deliver_audio`, but stops at all that is not plain. None where it is not
    wanted, or was not built."""
    media = routines("actors.fanout._media", Lane, Group, UlawEncoder.encode_at, wanted=wanted)
    return None if media is None else cast("Deliver", media.deliver)


def reading_in_c(*, wanted: bool = True) -> ReadingInC | None:
    """For a pump (`in_c`); it knows what talkers say. None as above."""
    bound = PlainWay, Talker, Talker.on_text, Allowance, IngestLinks, Call, Depacketizer
    talk = routines("actors.fanout._talk", *bound, wanted=wanted)
    return None if talk is None else ReadingInC(talk.serve, talk.take)
