"""The subscriptions of one `patchbay.v1` connection, by number and by call. Their number is limited by the state's
length."""

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
    """Keeps the registry of calls and the peak meter in step with the subscriptions.

    Args:
        state_max_bytes: limit of the connection's state.
        quota: counts the subscriptions of each `sub`, on all connections.
        sub: of this connection's token.

    Attributes:
        last_number: the last call number that was assigned.
    """

    def __init__(self, calls: Calls, peaks: PeakMeter, state_max_bytes: int, quota: Quota[str], sub: str) -> None:
        self._quota = quota
        self._sub = sub
        self._calls = calls
        self._peaks = peaks
        self._state_max_bytes = state_max_bytes
        self._by_number: dict[int, Subscription] = {}
        self._by_id: dict[str, Subscription] = {}
        self.last_number = 0

    def __iter__(self) -> Iterator[Subscription]:
        return iter(list(self._by_number.values()))

    def by_number(self, call_number: int) -> Subscription | None:
        """Return the subscription with this number; None: there is none."""
        return self._by_number.get(call_number)

    def by_call(self, call_control_id: str) -> Subscription | None:
        """Return the subscription to this call; None: there is none."""
        return self._by_id.get(call_control_id)

    def refusal(self, call_control_id: str) -> str | None:
        """Return why this call can't be subscribed to besides the others; None: it can."""
        if size_with([*self._by_id, call_control_id]) > self._state_max_bytes:
            return "This connection has as many calls as it may have."
        if not self._quota.has_room(self._sub):
            return "All connections with tokens of this `sub` have as many calls as they may have."
        return None

    @property
    def can_add_audio(self) -> bool:
        """Return whether the client may hear one more call."""
        return sum(each.participant is not None for each in self) < AUDIO_CALLS_MAX

    def next_number(self) -> int:
        """Assign a call number. Numbers go upwards, so that a number stays unused for as long as possible after its
        call."""
        number = self.last_number % frames.CALL_MAX + 1
        while number in self._by_number:
            number = number % frames.CALL_MAX + 1
        self.last_number = number
        return number

    def add(self, subscription: Subscription) -> None:
        """Add a subscription, in place of the one to the same call; `activate` connects it with the call."""
        if subscription.call_control_id not in self._by_id:
            self._quota.add(self._sub)
        self._by_number[subscription.call_number] = subscription
        self._by_id[subscription.call_control_id] = subscription

    def activate(self, subscription: Subscription, before: Subscription | None, now: float) -> None:
        """Connect a subscription with its call, then disconnect the one that it replaces (`before`)."""
        self._calls.add(subscription, now)
        if subscription.peaks:
            self._peaks.watch(subscription.call_control_id, now)
        if before is not None:
            self._disconnect(before)

    def set_peaks(self, subscription: Subscription, wanted: bool, now: float) -> None:
        """Start or stop to measure peaks for a subscription."""
        if wanted and not subscription.peaks:
            self._peaks.watch(subscription.call_control_id, now)
        elif subscription.peaks and not wanted:
            self._peaks.unwatch(subscription.call_control_id)
        subscription.peaks = wanted

    def remove(self, subscription: Subscription) -> None:
        """Remove a subscription, and disconnect it from its call."""
        self._quota.remove(self._sub)
        del self._by_number[subscription.call_number]
        del self._by_id[subscription.call_control_id]
        self._disconnect(subscription)

    def states(self, *, with_positions: bool) -> list[SubscriptionState]:
        """Return the state of all subscriptions, for a successor.

        Args:
            with_positions: with the positions of the last frames delivered, so that the successor goes on with the next
                frames.
        """
        return [
            SubscriptionState(
                each.call_number,
                each.call_control_id,
                each.tracks,
                each.peaks,
                each.stream,
                next((call.positions_of(each) for call in each.calls), None) if with_positions else None,
                each.digest,
            )
            for each in self
        ]

    def _disconnect(self, subscription: Subscription) -> None:
        if subscription.peaks:
            self._peaks.unwatch(subscription.call_control_id)
        self._calls.remove(subscription)
