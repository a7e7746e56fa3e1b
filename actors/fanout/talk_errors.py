"""Error codes and intervals of talk that both protocols share; docs/protocol.md lists the codes. Pure."""

from __future__ import annotations

from typing import Final

ERROR_INTERVAL_S: Final = 1.0  # a talker gets the same error no more often
CLEAR_INTERVAL_S: Final = 1.0  # a talker's rate limit is refilled by `clear` no more often

NO_CALL: Final = (200001, "no_live_call")
BAD_TALK: Final = (200003, "malformed_talk")
UNREACHABLE: Final = (200004, "call_unreachable")
UNREACHABLE_DETAIL: Final = "What you say does not reach the call at the moment."
_REFUSALS: Final = {"floor_taken": 200005, "call_gone": 200006, "too_many_marks": 200016}


def refusal_code(title: str) -> int:
    """Return the error code for an ingest's refusal of talk, by the refusal's title."""
    return _REFUSALS.get(title, UNREACHABLE[0])
