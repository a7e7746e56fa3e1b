"""Writes our messages on a Telnyx media stream. Pure.

Source: Telnyx's guide "Media Streaming over Websockets", section on bidirectional streaming.
"""

from __future__ import annotations

import binascii
from typing import Final

import msgspec

MEDIA_ENDS: Final = b'"}}'  # follows the payload in a media message


def media_message(payload: bytes, stream_id: str | None = None) -> bytes:
    """Return the message that has Telnyx play audio into the call.

    Args:
        payload: raw codec bytes, 20 ms or more, without an RTP header (mode `rtp`).
    """
    name = b"" if stream_id is None else b'"stream_id":%b,' % msgspec.json.encode(stream_id)
    encoded = binascii.b2a_base64(payload, newline=False)
    return b'{"event":"media",%b"media":{"payload":"%b%b' % (name, encoded, MEDIA_ENDS)


def clear_message() -> bytes:
    """Return the message that has Telnyx drop audio that was not played yet, and send back all waiting marks."""
    return b'{"event":"clear"}'


def mark_message(name: str) -> bytes:
    """Return a mark, which Telnyx sends back once all audio before it was played."""
    return b'{"event":"mark","mark":{"name":%b}}' % msgspec.json.encode(name)
