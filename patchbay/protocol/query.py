"""Reads the calls and streams that a URL's query names. Pure.

A client that wants one call must never get all calls. So an empty name is refused, and so is an unknown parameter that
looks like the name of a call: without a known name, the client would get every call.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Query = Mapping[str, Sequence[str]]

ID_MAX_CHARS: Final = 512  # call ids of Telnyx are under 100
IDS_MAX: Final = 200  # calls, or streams, that one request may name
SHOWN_CHARS: Final = 40

CALL_PARAMETERS: Final = ("call_control_id", "call_id", "callId", "callControlId", "call")
STREAM_PARAMETERS: Final = ("stream_id", "streamId")
# Text that JavaScript or Python programs write for a value that is missing, or for an object.
NULLS: Final = frozenset({"", "undefined", "null", "none", "nan", "[object object]"})

_LIST: Final = re.compile(r"\[\d*\]$")  # `call_control_id[]`, `call_control_id[0]`: lists, as some libraries write them
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")  # of `callControlId`, `CALL_ID`, `call-id`
_ID: Final = r"_?(?:ids?|sids?|uuids?)?"
# Patterns for words joined by `_`, with or without another word before.
_OF_A_CALL: Final = re.compile(rf"(?:\w+_)?(?:calls?_?(?:control|leg|session)?{_ID}|control_?ids?)")
_OF_A_STREAM: Final = re.compile(rf"(?:\w+_)?streams?{_ID}")


class BadQuery(ValueError):
    """Reports a query that can't be served. The text is for the author of the URL."""


def is_null(value: str) -> bool:
    """Return whether a value is text that programs write for a missing value."""
    return value.strip().lower() in NULLS


def calls_of(query: Query) -> tuple[str, ...]:
    """Return the calls that a query names, by any of CALL_PARAMETERS; empty when it names none.

    Raises:
        BadQuery: a name is empty or too long, there are too many, or an unknown parameter looks like a known one.
    """
    _refuse_lookalikes(query)
    return _ids(query, CALL_PARAMETERS)


def names_of(query: Query) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the calls and the streams that a query names. Raises BadQuery, as `calls_of` does."""
    return calls_of(query), _ids(query, STREAM_PARAMETERS)


def calls_only(query: Query) -> tuple[str, ...]:
    """Return the calls that a query names, where streams can't be named. Raises BadQuery, also for a stream."""
    calls, streams = names_of(query)
    if streams:
        raise BadQuery(f"{STREAM_PARAMETERS[0]} has no meaning here: name the call, with {CALL_PARAMETERS[0]}")
    return calls


def _ids(query: Query, names: tuple[str, ...]) -> tuple[str, ...]:
    given = [(_LIST.sub("", name), values) for name, values in query.items()]
    ids = tuple(
        dict.fromkeys(value for wanted in names for name, values in given if name == wanted for value in values)
    )
    if len(ids) > IDS_MAX:
        raise BadQuery(f"more than {IDS_MAX} of {names[0]}")
    for value in ids:
        if not value.strip() or len(value) > ID_MAX_CHARS:
            raise BadQuery(f"{names[0]} is empty or too long")
        if is_null(value):
            raise BadQuery(f"{names[0]} is `{value}`, which is no id: the program that wrote this URL had none")
    return ids


def _refuse_lookalikes(query: Query) -> None:
    for name in query:
        bare = _LIST.sub("", name)
        if bare in CALL_PARAMETERS or bare in STREAM_PARAMETERS:
            continue
        words = "_".join(_WORDS.findall(bare.partition("[")[0])).lower()
        for pattern, right in ((_OF_A_CALL, CALL_PARAMETERS[0]), (_OF_A_STREAM, STREAM_PARAMETERS[0])):
            if pattern.fullmatch(words):
                raise BadQuery(f"{bare[:SHOWN_CHARS]!r} is not known: it is {right}")
