"""Binds the hot path in C (`patchbay/_native/ingest_*.c`) to the classes whose objects it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from actors.ingest.stream.media_reader import MediaReader, MediaTrack
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
    """Return the routine that reads media of Telnyx, for `Poller`. None where not wanted, or not built."""
    media = load_routines(
        "patchbay._native.ingest_media", FastPath, MediaReader, MediaTrack, MediaReader.on_text, wanted=wanted
    )
    return None if media is None else ReadingInC(media.serve, media.take)


def take_talk_in_c(*, wanted: bool = True) -> TakeTalk | None:
    """Return the routine that does what `TalkRouter.take` does with plain talk. None where not wanted, or not built."""
    talk = load_routines("patchbay._native.ingest_talk", Conversation, TalkPacer, Floor, SendQueue, wanted=wanted)
    return None if talk is None else cast("TakeTalk", talk.take_talk)
