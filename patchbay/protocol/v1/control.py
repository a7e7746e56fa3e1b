"""Reads and writes the text messages of `patchbay.v1` (docs/protocol-v1.md). Pure."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from patchbay.protocol.lenient_json import DECODE_ERRORS, REPLACEMENT, Malformed, clean, require_utf8
from patchbay.protocol.query import ID_MAX_CHARS
from patchbay.protocol.talk import MARK_NAME_MAX_CHARS
from patchbay.protocol.times import utc_seconds

COUNT_MAX: Final = 2**53
encode = msgspec.json.Encoder().encode

CallId = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_MAX_CHARS)]
RequestId = Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)]
CallNumber = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]
Milliseconds = Annotated[float, msgspec.Meta(ge=-3_600_000, le=3_600_000)]
TrackName = Literal["inbound", "outbound"]


class Subscribe(msgspec.Struct, frozen=True):
    call_control_id: CallId
    tracks: Annotated[list[TrackName], msgspec.Meta(max_length=2)] = []
    peaks: bool = False
    id: RequestId | None = None


class Unsubscribe(msgspec.Struct, frozen=True):
    call: CallNumber
    id: RequestId | None = None


class TalkStart(msgspec.Struct, frozen=True):
    call_control_id: CallId
    id: RequestId | None = None


class TalkStop(msgspec.Struct, frozen=True):
    call: CallNumber
    id: RequestId | None = None


class TalkClear(msgspec.Struct, frozen=True):
    call: CallNumber
    id: RequestId | None = None


class TalkMark(msgspec.Struct, frozen=True):
    call: CallNumber
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MARK_NAME_MAX_CHARS)]
    id: RequestId | None = None


class TrackPlayout(msgspec.Struct, frozen=True):
    """Holds how a client plays one track. Other fields are ignored."""

    track: TrackName
    stream: Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]
    sequence: Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]
    playing: bool = True
    buffer_ms: Milliseconds = 0
    concealed_ms: Annotated[float, msgspec.Meta(ge=0, le=COUNT_MAX)] = 0
    underruns: Count = 0
    lost: Count = 0


class Playout(msgspec.Struct, frozen=True):
    call: CallNumber
    tracks: Annotated[list[TrackPlayout], msgspec.Meta(max_length=2)]
    output_ms: Milliseconds = 0
    rtt_ms: Annotated[float, msgspec.Meta(ge=0, le=60_000)] = 0
    id: RequestId | None = None


class Token(msgspec.Struct, frozen=True):
    token: str
    id: RequestId | None = None


class Ping(msgspec.Struct, frozen=True):
    sent: float | msgspec.UnsetType = msgspec.UNSET
    id: RequestId | None = None


Request = Subscribe | Unsubscribe | TalkStart | TalkStop | TalkClear | TalkMark | Playout | Token | Ping


class _Kind(msgspec.Struct, frozen=True):
    type: str
    id: RequestId | None = None


_decode_kind: Final = msgspec.json.Decoder(_Kind).decode
_DECODERS: Final[dict[str, msgspec.json.Decoder[Request]]] = {
    "subscribe": msgspec.json.Decoder(Subscribe),
    "unsubscribe": msgspec.json.Decoder(Unsubscribe),
    "talk.start": msgspec.json.Decoder(TalkStart),
    "talk.stop": msgspec.json.Decoder(TalkStop),
    "talk.clear": msgspec.json.Decoder(TalkClear),
    "talk.mark": msgspec.json.Decoder(TalkMark),
    "playout": msgspec.json.Decoder(Playout),
    "token": msgspec.json.Decoder(Token),
    "ping": msgspec.json.Decoder(Ping),
}


class BadRequest(Malformed):
    """Reports a message that can't be read. `id`: the id of the request, where that could be read."""

    def __init__(self, reason: str, request_id: int | None = None) -> None:
        super().__init__(reason)
        self.id = request_id


def decode(message: bytes) -> Request | None:
    """Read a client's text message; None for an unknown type. Raises BadRequest."""
    if message.strip() == b"ping":
        return Ping()
    try:
        return _decode(message)
    except BadRequest:
        try:
            mended = clean(require_utf8(message))
        except Malformed as error:
            raise BadRequest(str(error)) from error
        return _of_a_whole_call(_decode(mended))


def _of_a_whole_call(request: Request | None) -> Request | None:
    """Return a mended request. Raises BadRequest where the id of its call was mended."""
    if isinstance(request, Subscribe | TalkStart) and REPLACEMENT in request.call_control_id:
        raise BadRequest("call_control_id can't be read", request.id)
    return request


def _decode(message: bytes) -> Request | None:
    try:
        kind = _decode_kind(message)
    except DECODE_ERRORS as error:
        raise BadRequest("not a JSON object with a `type`") from error
    decoder = _DECODERS.get(kind.type)
    if decoder is None:
        return None
    try:
        return decoder.decode(message)
    except DECODE_ERRORS as error:
        raise BadRequest(f"{kind.type}: {error}", kind.id) from error


def welcome(connection: int, epoch: str, can: list[str], expires_at: float | None) -> bytes:
    """Return the first message. `expires_at`: when the token expires, seconds since 1970."""
    return encode(
        {
            "type": "welcome",
            "protocol": "patchbay.v1",
            "connection": str(connection),
            "epoch": epoch,
            "can": can,
            "expires_at": None if expires_at is None else utc_seconds(expires_at),
        }
    )


def message(kind: str, request_id: int | None = None, **fields: Any) -> bytes:
    """Return a message of any other type."""
    answered = {} if request_id is None else {"id": request_id}
    return encode({"type": kind, **answered, **fields})


def error(
    code: int | None,
    title: str,
    detail: str,
    *,
    call: int | None = None,
    request_id: int | None = None,
    **more: int,
) -> bytes:
    """Return an error. Clients show `detail` to the user."""
    about = {} if call is None else {"call": call}
    return message("error", request_id, **about, code=code, title=title, detail=detail, **more)


def pong(asked: Ping, now: float) -> bytes:
    """Return the answer to a ping. `now`: seconds since 1970."""
    echoed = {} if isinstance(asked.sent, msgspec.UnsetType) else {"sent": asked.sent}
    return message("pong", asked.id, **echoed, time=round(now * 1000))


class _Started(msgspec.Struct):
    start: msgspec.Raw = msgspec.Raw(b"{}")


_decode_started: Final = msgspec.json.Decoder(_Started).decode


def start_object(frame: bytes) -> msgspec.Raw:
    """Return the `start` object of Telnyx's start frame, verbatim."""
    try:
        return _decode_started(frame).start
    except DECODE_ERRORS:
        return msgspec.Raw(b"{}")
