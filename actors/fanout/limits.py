"""Limits of one token and of one call in a fan-out process, over all connections of both protocols."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

import trio

from patchbay.net.quota import Quota
from patchbay.net.rate_limit import RateLimit, RateLimits
from patchbay.protocol.batches import EVERY_CALL

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    from config.settings import FanoutSettings

log = logging.getLogger(__name__)

LINES_PER_S: Final = 1.0  # of log
LINES_BURST: Final = 20


class Limits:
    """Counts listeners and subscriptions.

    Args:
        interest: returns the number of listeners of a call, by its topic.
        counters: gets `too_many_listeners` and `too_many_subscriptions`.

    Attributes:
        rate_limits: of messages, by `sub`.
        subscriptions: calls that connections name, by `sub`.
    """

    def __init__(self, options: FanoutSettings, interest: Callable[[bytes], int], counters: Counter[str]) -> None:
        self.rate_limits = RateLimits(
            options.messages_per_s,
            options.messages_burst,
            token_per_s=options.token_messages_per_s,
            token_burst=options.token_messages_burst,
        )
        self.subscriptions = Quota[str](options.subscriptions_per_token, self._on_full)
        self._listeners_per_call = options.listeners_per_call
        self._interest = interest
        self._counters = counters
        self._pending: Quota[bytes] = Quota()  # listeners whose handshakes are under way, by topic
        self._lines = RateLimit(LINES_PER_S, LINES_BURST)

    def refusal(self, topics: list[bytes], sub: str) -> str | None:
        """Return why a listener with these topics is refused; None: it is not."""
        if not self.subscriptions.has_room(sub, len(topics)):
            return "tokens of this `sub` have as many calls as they may have"
        for topic in topics:
            if topic != EVERY_CALL and self._interest(topic) + self._pending[topic] >= self._listeners_per_call:
                self._count_refusal("too_many_listeners", sub)
                return "this call has as many listeners as it may have"
        return None

    @contextmanager
    def held(self, topics: list[bytes], sub: str) -> Iterator[Callable[[], object]]:
        """Count a listener's calls for as long as the context lasts.

        Yields:
            A function to be called when `interest` counts the listener; until then it is counted here.
        """
        with ExitStack() as pending, self.subscriptions.held(sub, len(topics)):
            for topic in topics:
                pending.enter_context(self._pending.held(topic))
            yield pending.close

    def _on_full(self, sub: str) -> None:
        self._count_refusal("too_many_subscriptions", sub)

    def _count_refusal(self, counter: str, sub: str) -> None:
        self._counters[counter] += 1
        if self._lines.spend(1, trio.current_time()):
            log.warning("a listener is refused: %s", counter.replace("_", " "), extra={"sub": sub})
