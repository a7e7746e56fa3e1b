"""Lists the error codes of both audio protocols, and the close codes of WebSockets. Pure.

docs/protocol.md and docs/protocol-v1.md quote the tables, and a test compares them. Telnyx's own errors (100002 to
100005) are passed on unchanged.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class ErrorCode(NamedTuple):
    """Names an error as clients get it. The detail is added for each error."""

    code: int
    title: str


NO_LIVE_CALL: Final = ErrorCode(200001, "no_live_call")
SEVERAL_LIVE_CALLS: Final = ErrorCode(200002, "several_live_calls")
MALFORMED_TALK: Final = ErrorCode(200003, "malformed_talk")
CALL_UNREACHABLE: Final = ErrorCode(200004, "call_unreachable")
FLOOR_TAKEN: Final = ErrorCode(200005, "floor_taken")
CALL_GONE: Final = ErrorCode(200006, "call_gone")
NOT_ALLOWED: Final = ErrorCode(200007, "not_allowed")
MALFORMED_MESSAGE: Final = ErrorCode(200008, "malformed_message")
TOO_MANY_CALLS: Final = ErrorCode(200009, "too_many_calls")
TALK_TOO_FAST: Final = ErrorCode(200010, "talk_too_fast")
TOKEN_NOT_ACCEPTED: Final = ErrorCode(200011, "token_not_accepted")
TOO_MANY_LISTENERS: Final = ErrorCode(200012, "too_many_listeners")
TALK_NOT_AUDIO: Final = ErrorCode(200013, "talk_not_audio")
TALK_NOT_FLOAT32: Final = ErrorCode(200014, "talk_not_float32")
TALK_LATE: Final = ErrorCode(200015, "talk_late")
TOO_MANY_MARKS: Final = ErrorCode(200016, "too_many_marks")
NOT_TALKING: Final = ErrorCode(200017, "not_talking")
TOO_MANY_REQUESTS: Final = ErrorCode(200018, "too_many_requests")
CANNOT_BE_HEARD: Final = ErrorCode(200020, "cannot_be_heard")

_IN_BOTH: Final = (
    NO_LIVE_CALL,
    MALFORMED_TALK,
    CALL_UNREACHABLE,
    FLOOR_TAKEN,
    CALL_GONE,
    NOT_ALLOWED,
    TALK_TOO_FAST,
    TOKEN_NOT_ACCEPTED,
    TALK_LATE,
    TOO_MANY_MARKS,
    CANNOT_BE_HEARD,
)
OF_LEGACY: Final = frozenset({*_IN_BOTH, SEVERAL_LIVE_CALLS, TALK_NOT_AUDIO, TALK_NOT_FLOAT32})
OF_V1: Final = frozenset(
    {*_IN_BOTH, MALFORMED_MESSAGE, TOO_MANY_CALLS, TOO_MANY_LISTENERS, NOT_TALKING, TOO_MANY_REQUESTS}
)
_REFUSALS: Final = {each.title: each for each in (FLOOR_TAKEN, CALL_GONE, TOO_MANY_MARKS)}


def refusal_code(title: str) -> int:
    """Return the code of a refusal by its title, as ingest sends it; CALL_UNREACHABLE's for an unknown title."""
    return _REFUSALS.get(title, CALL_UNREACHABLE).code


# Close codes: RFC 6455 §7.4.1, the registry of IANA (1012), and ours. 4000-4499: come back; 4500-4999: not unchanged.
CLOSE_NORMAL: Final = 1000
CLOSE_GOING_AWAY: Final = 1001
CLOSE_PROTOCOL: Final = 1002
CLOSE_BAD_TEXT: Final = 1007
CLOSE_POLICY: Final = 1008
CLOSE_TOO_BIG: Final = 1009
CLOSE_RESTART: Final = 1012  # the process is replaced, and this connection could not be moved
CLOSE_SLOW: Final = 4008  # the client did not keep up with its events: come back with `since`
CLOSE_LIFETIME: Final = 4009  # the connection has reached its maximum age
CLOSE_BAD_TOKEN: Final = 4501  # the token is missing or not valid
CLOSE_EXPIRED: Final = 4502  # the token has expired: come back with a new one
CLOSE_NOT_ALLOWED: Final = 4503  # the token does not grant the request
CLOSE_FLOOD: Final = 4506  # the client has exceeded the rate limit of messages

_CLOSE_IN_BOTH: Final = (
    CLOSE_NORMAL,
    CLOSE_GOING_AWAY,
    CLOSE_PROTOCOL,
    CLOSE_BAD_TEXT,
    CLOSE_POLICY,
    CLOSE_TOO_BIG,
    CLOSE_RESTART,
    CLOSE_LIFETIME,
    CLOSE_EXPIRED,
    CLOSE_FLOOD,
)
CLOSE_OF_LEGACY: Final = frozenset(
    {*_CLOSE_IN_BOTH, CLOSE_SLOW}
)  # of Telnyx's and the legacy sockets, and /call-events
CLOSE_OF_V1: Final = frozenset({*_CLOSE_IN_BOTH, CLOSE_BAD_TOKEN, CLOSE_NOT_ALLOWED})
