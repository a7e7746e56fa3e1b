"""Writes the messages that we send on a Telnyx media stream. Pure.

Source: Telnyx's guide "Media Streaming over Websockets", section on bidirectional streaming.
"""

from __future__ import annotations

import binascii
from typing import Final

import msgspec

MEDIA_ENDS: Final = b'"}}'  # what follows the payload in a media message


def media_message(payload: bytes, stream_id: str | None = None) -> bytes:
    """Return the message that plays audio into the call.

    Args:
        payload: raw codec bytes, 20 ms or more, without an RTP header (mode `rtp`).
    """
    name = b"" if stream_id is None else b'"stream_id":%b,' % msgspec.json.encode(stream_id)
    encoded = binascii.b2a_base64(payload, newline=False)
    return b'{"event":"media",%b"media":{"payload":"%b%b' % (name, encoded, MEDIA_ENDS)


def clear_message() -> bytes:
    """Return the message on which Telnyx drops what it has not played, and sends back all marks that wait."""
    return b'{"event":"clear"}'


def mark_message(name: str) -> bytes:
    """Return the mark that Telnyx sends back once everything sent before it has been played."""
    return b'{"event":"mark","mark":{"name":%b}}' % msgspec.json.encode(name)
