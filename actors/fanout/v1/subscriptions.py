"""The subscriptions of one `patchbay.v1` connection: by number and by call, bounded by what their note may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.fanout.v1.state import SubscriptionState, size_with
from patchbay.protocol.v1 import frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.fanout.calls.registry import Calls
    from actors.fanout.peak_meter import PeakMeter
    from actors.fanout.v1.subscription import Subscription
    from patchbay.net.quota import Quota

AUDIO_CALLS_MAX: Final = 64


class Subscriptions:
    """Keeps the registry of calls and the meter of peaks in step with what is subscribed to.

    Args:
        holdings: how many subscriptions there are of each `sub`, on whatever connection.
        sub: of this connection's token.

    Attributes:
        last_number: the latest that was given out.
    """

    def __init__(self, calls: Calls, peaks: PeakMeter, note_max_bytes: int, holdings: Quota[str], sub: str) -> None:
        self._holdings = holdings
        self._sub = sub
        self._calls = calls
        self._peaks = peaks
        self._note_max_bytes = note_max_bytes
        self._by_number: dict[int, Subscription] = {}
        self._by_id: dict[str, Subscription] = {}
        self.last_number = 0

    def __iter__(self) -> Iterator[Subscription]:
        return iter(list(self._by_number.values()))

    def number(self, call_number: int) -> Subscription | None:
        """By the call's number on this connection."""
        return self._by_number.get(call_number)

    def call(self, call_control_id: str) -> Subscription | None:
        """By the call."""
        return self._by_id.get(call_control_id)

    def fullness(self, call_control_id: str) -> str | None:
        """Return why this call can't be subscribed to besides the others; None: it can."""
        if size_with([*self._by_id, call_control_id]) > self._note_max_bytes:
            return "This connection has as many calls as it may have."
        if not self._holdings.has_room(self._sub):
            return "All connections with tokens of this `sub` have as many calls as they may have."
        return None

    @property
    def has_ears(self) -> bool:
        """Whether one more may be heard."""
        return sum(each.person is not None for each in self) < AUDIO_CALLS_MAX

    def next_number(self) -> int:
        """Upwards, so that a number stays unused for as long as possible after its call."""
        number = self.last_number % frames.CALL_MAX + 1
        while number in self._by_number:
            number = number % frames.CALL_MAX + 1
        self.last_number = number
        return number

    def enter(self, subscription: Subscription) -> Subscription | None:
        """Note it down; returns the one whose place it takes. `hear` makes it count."""
        before = self._by_id.get(subscription.call_control_id)
        if before is None:
            self._holdings.add(self._sub)
        self._by_number[subscription.call_number] = subscription
        self._by_id[subscription.call_control_id] = subscription
        return before

    def hear(self, subscription: Subscription, before: Subscription | None, now: float) -> None:
        """Let it hear its call, and the one before it no more."""
        self._calls.add(subscription, now)
        if subscription.peaks:
            self._peaks.watch(subscription.call_control_id, now)
        if before is not None:
            self._leave(before)

    def set_peaks(self, subscription: Subscription, wanted: bool, now: float) -> None:
        """Whether the client wants to know how loud it is."""
        if wanted and not subscription.peaks:
            self._peaks.watch(subscription.call_control_id, now)
        elif subscription.peaks and not wanted:
            self._peaks.unwatch(subscription.call_control_id)
        subscription.peaks = wanted

    def drop(self, subscription: Subscription) -> None:
        """Forget it."""
        self._holdings.remove(self._sub)
        del self._by_number[subscription.call_number]
        del self._by_id[subscription.call_control_id]
        self._leave(subscription)

    def notes(self, *, heard: bool) -> list[SubscriptionState]:
        """What a successor must know; `heard`: it is to go on with the very next frames."""
        return [
            SubscriptionState(
                each.call_number,
                each.call_control_id,
                each.tracks,
                each.peaks,
                each.stream,
                next((call.heard_by(each) for call in each.calls), None) if heard else None,
                each.digest,
            )
            for each in self
        ]

    def _leave(self, subscription: Subscription) -> None:
        if subscription.peaks:
            self._peaks.unwatch(subscription.call_control_id)
        self._calls.remove(subscription)
