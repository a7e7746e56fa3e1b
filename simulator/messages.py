"""The frames Telnyx sends on a media stream, with their numbers. Pure.

Forms and types as Telnyx's guide on media streaming has them: `sequence_number`, `chunk` and `timestamp` are
strings, `sample_rate`, `channels` and an error's `code` are numbers, `stream_id` is at the top.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from simulator.codecs import Codec
    from simulator.identity import Identity
    from simulator.talk import Refused

PROTOCOL_VERSION = "1.0.0"
FRAME_MS = 20
TOKEN_HEADER = "x-telnyx-streaming-auth-token"


@dataclass(frozen=True)
class MediaFrame:
    """A media frame that is ready to be sent."""

    track: str
    chunk: int
    payload: bytes
    text: str


class StreamMessages:
    """Builds and numbers the frames of one stream.

    Telnyx does not say whether chunks count per track or per stream; `shared_chunks` is the latter. `timestamp` is
    taken to be milliseconds from the stream's start.
    """

    def __init__(self, identity: Identity, codec: Codec, *, shared_chunks: bool = False) -> None:
        self._identity = identity
        self._codec = codec
        self._shared_chunks = shared_chunks
        self._sequence = 0
        self._chunks: Counter[str] = Counter()
        self._frames: Counter[str] = Counter()

    def connected(self, token: str | None) -> str:
        """The first frame on a connection."""
        frame: dict[str, Any] = {"event": "connected", "version": PROTOCOL_VERSION}
        if token is not None:
            frame["connected"] = {TOKEN_HEADER: token}
        return _text(frame)

    def start(self) -> str:
        """The second frame; on every connection the sequence begins with it."""
        self._sequence = 0
        identity = self._identity
        start: dict[str, Any] = {
            "user_id": identity.user_id,
            "call_control_id": identity.call_control_id,
            "call_session_id": identity.call_session_id,
            "from": identity.from_number,
            "to": identity.to_number,
            "tags": list(identity.tags),
            "client_state": identity.client_state,
            "media_format": self._codec.media_format,
        }
        if identity.custom_parameters:
            start["custom_parameters"] = identity.custom_parameters
        return self._numbered("start", start=start)

    def media(self, track: str, payload: bytes) -> MediaFrame:
        """The next 20 ms of a track."""
        timestamp = self._frames[track] * FRAME_MS
        chunk = self.skip(track)
        media = {
            "track": track,
            "chunk": str(chunk),
            "timestamp": str(timestamp),
            "payload": b64encode(payload).decode(),
        }
        return MediaFrame(track, chunk, payload, self._numbered("media", media=media))

    def skip(self, track: str) -> int:
        """Let 20 ms of a track pass; returns the chunk number it has used up."""
        counted = "" if self._shared_chunks else track
        self._frames[track] += 1
        self._chunks[counted] += 1
        return self._chunks[counted]

    def restart_chunks(self) -> None:
        """Begin again with chunk 1, as Telnyx may or may not do after a reconnect."""
        self._chunks.clear()

    def stop(self) -> str:
        """The last frame."""
        identity = self._identity
        return self._numbered("stop", stop={"user_id": identity.user_id, "call_control_id": identity.call_control_id})

    def mark(self, name: str) -> str:
        """What was sent before the mark of this name has been played, or cleared."""
        return self._numbered("mark", mark={"name": name})

    def dtmf(self, digit: str, occurred_at: str) -> str:
        """The far party pressed a key."""
        return self._numbered("dtmf", dtmf={"digit": digit}, occurred_at=occurred_at)

    def error(self, refused: Refused) -> str:
        """What was wrong with a frame that came in. It has no sequence number."""
        payload = {"code": refused.code, "title": refused.title, "detail": refused.detail}
        return _text({"event": "error", "payload": payload, "stream_id": self._identity.stream_id})

    def _numbered(self, event: str, **body: Any) -> str:
        self._sequence += 1
        return _text(
            {
                "event": event,
                "sequence_number": str(self._sequence),
                **body,
                "stream_id": self._identity.stream_id,
            }
        )


def _text(frame: dict[str, Any]) -> str:
    return orjson.dumps(frame).decode()
