"""Who listens to which live call of this fan-out process, and what is asked of the bus for them. No I/O of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from patchbay.protocol.batches import DIGEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from actors.fanout.audit import Audit
    from actors.fanout.calls.call import Call
    from actors.fanout.calls.interest import Interest
    from actors.fanout.calls.subscriber import Subscriber
    from patchbay.process.ttl_cache import TtlCache
    from patchbay.protocol import batches

AHEAD_S: Final = 0.25  # for frames to come here that a listener's process before this one has delivered to it
LENT: Final = b"\xff" * DIGEST_BYTES  # in the place of a call; see `Audience.lend`


class Audience:
    """The listeners of all calls.

    Args:
        interest: kept in step with what they want.
        ended: streams that are over, for those who come from a process that knew them live.
        audit: told who hears.

    Attributes:
        live: calls by digest; kept by whoever hears of them.
    """

    def __init__(
        self, interest: Interest, ended: TtlCache[tuple[batches.EndReason, bytes]], audit: Audit | None
    ) -> None:
        self.live: dict[bytes, Call] = {}
        self._interest = interest
        self._ended = ended
        self._audit = audit
        self._listeners: dict[Subscriber, None] = {}
        self._by_call: dict[bytes, dict[Subscriber, None]] = {}  # those that may want a certain call
        self._of_any: dict[Subscriber, None] = {}  # those that may want any
        self._single: dict[Subscriber, None] = {}  # those that hear one at a time
        self._expecting: set[Subscriber] = set()
        self._ahead: dict[tuple[Subscriber, Call], float] = {}  # not among the call's listeners yet, and until when

    def expect(self, listener: Subscriber) -> None:
        """A listener is about to come: what it wants is to come here from now on."""
        if listener not in self._expecting:
            self._expecting.add(listener)
            for topic in listener.topics():
                self._interest.add(topic)

    def lend(self, others: Collection[int]) -> Callable[[int], bool]:
        """Have other fan-out processes be sent what is heard here too: our listeners move there.

        Returns:
            Whether so many ingest processes know, as a function.
        """
        self._interest.lend(others)
        self._interest.add(LENT)  # what is subscribed to last is acknowledged last
        return lambda processes: self._interest.is_acknowledged([LENT], processes)

    def is_acknowledged(self, listener: Subscriber, processes: int) -> bool:
        """Whether so many ingest processes know what it wants, so that it misses nothing that begins from now on."""
        return self._interest.is_acknowledged(listener.topics(), processes)

    def add(self, listener: Subscriber, now: float) -> None:
        """A listener has come: it hears its calls that are live at once, and others from their first frame on."""
        self.expect(listener)
        self._listeners[listener] = None
        for register in self._registers(listener):
            register[listener] = None
        for stream in listener.begun():
            if (end := self._ended.get(stream, now)) is not None:
                listener.ended_meanwhile(stream, *end)
        for call in self._in_order_of_choice(listener):
            self._offer(listener, call, now)

    def choice(self, listener: Subscriber) -> list[Call]:
        """The live calls that it would hear if it came now."""
        wanted = self._in_order_of_choice(listener)
        return wanted[:1] if listener.is_single else wanted

    def remove(self, listener: Subscriber) -> None:
        """A listener has gone."""
        if listener not in self._expecting:
            return
        self._expecting.discard(listener)
        self._listeners.pop(listener, None)
        for register in self._registers(listener):
            register.pop(listener, None)
        for digest in listener.digests() or ():
            if not self._by_call.get(digest, True):
                del self._by_call[digest]
        for call in list(listener.calls):
            self._leave(listener, call)
        for topic in listener.topics():
            self._interest.remove(topic)

    def listener_counts(self) -> dict[str, int]:
        """How many listen to each live call."""
        return {call.call_control_id: len(call.people) for call in self.live.values()}

    def interest(self, topic: bytes) -> int:
        """How many listeners want this to come."""
        return self._interest.count(topic)

    @property
    def unbound(self) -> int:
        """How many listeners hear every call."""
        return sum(not listener.names_calls for listener in self._listeners)

    def _registers(self, listener: Subscriber) -> Iterator[dict[Subscriber, None]]:
        """Where a listener is looked up."""
        digests = listener.digests()
        if digests is None:
            yield self._of_any
        else:
            for digest in digests:
                yield self._by_call.setdefault(digest, {})
        if listener.is_single:
            yield self._single

    def _who_may_want(self, call: Call) -> list[Subscriber]:
        """Of all listeners, those to ask whether they want a call."""
        return [*self._by_call.get(call.digest, ()), *self._of_any]

    def _in_order_of_choice(self, listener: Subscriber) -> list[Call]:
        """The live calls that a listener wants: first what it heard before (from a predecessor), then the latest."""
        begun = listener.begun()
        digests = listener.digests()
        calls = self.live.values() if digests is None else [self.live[each] for each in digests if each in self.live]
        wanted = [call for call in calls if listener.wants(call)]
        return sorted(wanted, key=lambda call: (call.number in begun, call.number), reverse=True)

    def _offer(self, listener: Subscriber, call: Call, now: float) -> None:
        """A call that it wants is live: it hears it, unless it hears one at a time, and another one now."""
        listener.candidates.add(call)
        if not (listener.is_single and listener.calls):
            self._join(listener, call, now)

    def _go_on_to_the_next(self, ended: Call, now: float) -> None:
        """Listeners that hear one call at a time hear another one."""
        for listener in self._single:
            if ended in listener.candidates:
                listener.candidates.discard(ended)
                if not listener.calls and listener.candidates:
                    self._join(listener, max(listener.candidates, key=lambda call: call.number), now)

    def _join(self, listener: Subscriber, call: Call, now: float) -> None:
        listener.calls.add(call)
        if self._audit is not None and listener.person is not None:
            self._audit.joined(listener.person, call)
        listener.begins(call)
        call.prepare(listener.key, now)
        if call.is_readying or call.is_behind(listener):
            self._ahead[listener, call] = now + AHEAD_S
        else:
            call.join(listener, now)

    def _let_in(self, now: float, over: Call | None = None) -> None:
        """Let those listeners in that are not ahead of their call any more, and whose call's replay buffer have been decoded; all of
        them where its stream is over."""
        if self._ahead:
            for (listener, call), until in list(self._ahead.items()):
                call.prepare(listener.key, now)
                if call is over or (not call.is_readying and (now >= until or not call.is_behind(listener))):
                    del self._ahead[listener, call]
                    call.join(listener, now)

    def _leave(self, listener: Subscriber, call: Call) -> None:
        self._ahead.pop((listener, call), None)
        call.leave(listener)
        self._forget(listener, call)

    def _forget(self, listener: Subscriber, call: Call) -> None:
        listener.calls.discard(call)
        if self._audit is not None and listener.person is not None:
            self._audit.left(listener.person, call)
