"""Ingest's hot path in C (`_native.c`), bound to the classes that it deals with."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from actors.ingest.intake import Intake, Lane
from actors.runtime.native import routines
from actors.runtime.plain_way import PlainWay

if TYPE_CHECKING:
    from actors.runtime.pump import ServeInC


def serve_in_c(*, wanted: bool = True) -> ServeInC | None:
    """What a pump may use (`serve_in_c`). None where it is not wanted, or was not built."""
    native = routines("actors.ingest", wanted=wanted)
    if native is None:
        return None
    native.bind(PlainWay, Intake, Lane, Intake.on_text)
    return cast("ServeInC", native.serve)
