"""Holds what the errors of talk have in common in both protocols: their pace, and a detail. Pure."""

from __future__ import annotations

from typing import Final

ERROR_INTERVAL_S: Final = 1.0  # a talker gets the same error no more often
CLEAR_INTERVAL_S: Final = 1.0  # a talker's rate limit is refilled by `clear` no more often
UNREACHABLE_DETAIL: Final = "What you say does not reach the call at the moment."
