"""The objects and limits that all `patchbay.v1` connections of a process share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from patchbay.net.quota import Quota

if TYPE_CHECKING:
    from actors.fanout.calls.registry import Calls
    from actors.fanout.peak_meter import PeakMeter
    from actors.fanout.playout_stats import PlayoutStats
    from actors.fanout.talk_sender import TalkSender


class HasState(Protocol):
    """A connection whose state for a successor is to be saved."""

    def save_state(self) -> None: ...


@dataclass(frozen=True)
class V1Context:
    """Holds what is shared.

    Attributes:
        state_max_bytes: limit of a connection's state at the gateway.
        subscriptions: number of subscriptions of each `sub`, on all its connections.
        requests_per_s, requests_burst: rate limit of one connection's costly requests.
        unsaved: connections whose state has changed in this round of the event loop, and is saved at its end.
    """

    calls: Calls
    talk_sender: TalkSender
    peaks: PeakMeter
    playout: PlayoutStats
    fanout_index: int
    state_max_bytes: int
    listeners_per_call: int
    subscriptions: Quota[str] = field(default_factory=Quota)
    requests_per_s: float = 20.0
    requests_burst: int = 500
    unsaved: dict[HasState, None] = field(default_factory=dict)
