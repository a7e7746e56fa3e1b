"""Loads fan-out's hot path in C (`fanout_media.c`, `fanout_talk.c`), and binds it to the classes whose slots it
reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from actors.fanout.calls.call import Call
from actors.fanout.calls.encodings import EncodedGroup, UlawEncoder
from actors.fanout.calls.track import Track
from actors.fanout.legacy.talker import Talker
from actors.fanout.talk_sender import TalkSender
from patchbay._native.loader import load_routines
from patchbay.net.polled import ReadingInC
from patchbay.net.rate_limit import RateLimit
from patchbay.protocol.rtp import Depacketizer
from patchbay.websocket.fast_path import FastPath

if TYPE_CHECKING:
    from actors.fanout.calls.track import Deliver


def deliver_in_c(*, wanted: bool = True) -> Deliver | None:
    """Return a routine that does the same as `actors.fanout.calls.track.deliver_audio`, but stops at entries that are
    not plain.

    None: the routine is not wanted, or was not built.
    """
    media = load_routines("patchbay._native.fanout_media", Track, EncodedGroup, UlawEncoder.encode_at, wanted=wanted)
    return None if media is None else cast("Deliver", media.deliver)


def reading_in_c(*, wanted: bool = True) -> ReadingInC | None:
    """Return routines for a `Poller` (`in_c`) that read and send talk. None: not wanted, or not built."""
    bound = FastPath, Talker, Talker.on_text, RateLimit, TalkSender, Call, Depacketizer
    talk = load_routines("patchbay._native.fanout_talk", *bound, wanted=wanted)
    return None if talk is None else ReadingInC(talk.serve, talk.take)
