"""Ingest's hot path in C (`_media.c`, `_talk.c`), bound to the classes that it deals with."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from actors.ingest.media_reader import MediaReader, MediaTrack
from actors.ingest.talk.conversation import Conversation
from actors.ingest.talk.floor import Floor
from patchbay._native.loader import load_routines
from patchbay.audio.pacer import TalkPacer
from patchbay.net.polled import ReadingInC
from patchbay.websocket.fast_path import FastPath
from patchbay.websocket.send_queue import SendQueue

if TYPE_CHECKING:
    from actors.ingest.talk.receiver import TakeTalk


def reading_in_c(*, wanted: bool = True) -> ReadingInC | None:
    """For a poller (`in_c`); it knows Telnyx's media. None where it is not wanted, or was not built."""
    media = load_routines(
        "patchbay._native.ingest_media", FastPath, MediaReader, MediaTrack, MediaReader.on_text, wanted=wanted
    )
    return None if media is None else ReadingInC(media.serve, media.take)


def take_talk_in_c(*, wanted: bool = True) -> TakeTalk | None:
    """What does the same as `actors.ingest.talk.router.TalkRouter.take` with talk that is plain. None as above."""
    talk = load_routines("patchbay._native.ingest_talk", Conversation, TalkPacer, Floor, SendQueue, wanted=wanted)
    return None if talk is None else cast("TakeTalk", talk.take_talk)
