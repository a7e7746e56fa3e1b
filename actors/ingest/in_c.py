"""Ingest's hot path in C (`_media.c`, `_talk.c`), bound to the classes that it deals with."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from actors.ingest.conversation import Conversation
from actors.ingest.floor import Floor
from actors.ingest.intake import Intake, Lane
from actors.ingest.talk import TalkPacer
from actors.runtime.native import routines
from actors.runtime.outbox import Outbox
from actors.runtime.plain_way import PlainWay
from actors.runtime.pumped import ReadingInC

if TYPE_CHECKING:
    from actors.ingest.talk_switch import TakeTalk


def reading_in_c(*, wanted: bool = True) -> ReadingInC | None:
    """For a pump (`in_c`); it knows Telnyx's media. None where it is not wanted, or was not built."""
    media = routines("actors.ingest._media", PlainWay, Intake, Lane, Intake.on_text, wanted=wanted)
    return None if media is None else ReadingInC(media.serve, media.take)


def take_talk_in_c(*, wanted: bool = True) -> TakeTalk | None:
    """What does the same as `actors.ingest.talkback.Talkback.take` with talk that is plain. None as above."""
    talk = routines("actors.ingest._talk", Conversation, TalkPacer, Floor, Outbox, wanted=wanted)
    return None if talk is None else cast("TakeTalk", talk.take_talk)
