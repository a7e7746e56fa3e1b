"""Fan-out's hot path in C (`_native.c`), bound to the classes that it deals with."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from actors.fanout.groups import Group, UlawEncoder
from actors.fanout.lane import Lane
from actors.runtime.native import routines

if TYPE_CHECKING:
    from actors.fanout.lane import Deliver


def deliver_in_c(*, wanted: bool = True) -> Deliver | None:
    """What does the same as `actors.fanout.lane.deliver_audio`, but stops at all that is not plain. None where it is not
    wanted, or was not built."""
    native = routines("actors.fanout", wanted=wanted)
    if native is None:
        return None
    native.bind(Lane, Group, UlawEncoder.encode_at)
    return cast("Deliver", native.deliver)
