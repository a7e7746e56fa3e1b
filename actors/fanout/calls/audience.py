"""Connects subscribers with live calls, and keeps this process's subscriptions on the bus in step. No I/O of its
own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from patchbay.protocol.batches import DIGEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from actors.fanout.audit import Audit
    from actors.fanout.calls.call import Call
    from actors.fanout.calls.interest import Interest
    from actors.fanout.calls.subscriber import LiveCall, Subscriber
    from patchbay.process.ttl_cache import TtlCache
    from patchbay.protocol import batches

CATCH_UP_S: Final = 0.25  # for frames to come here that a subscriber's previous process has delivered
SHARED_MARKER: Final = b"\xff" * DIGEST_BYTES  # a topic that is no call; see `Audience.share_interest`


class Audience:
    """The subscribers of all calls.

    Args:
        interest: the topics on the bus that subscribers need.
        ended: streams that have ended, for subscribers whose previous process knew them live.
        audit: told which connection listens to which call.
        is_clustered: other nodes have calls too, and are told of those that subscribers want.

    Attributes:
        live: calls by digest; a derived class adds and removes them.
    """

    def __init__(
        self,
        interest: Interest,
        ended: TtlCache[tuple[batches.EndReason, bytes]],
        audit: Audit | None,
        *,
        is_clustered: bool = False,
    ) -> None:
        self._is_clustered = is_clustered
        self.live: dict[bytes, Call] = {}
        self._interest = interest
        self._ended = ended
        self._audit = audit
        self._subscribers: dict[Subscriber, None] = {}
        self._by_call: dict[bytes, dict[Subscriber, None]] = {}  # those that may want a certain call
        self._any_call: dict[Subscriber, None] = {}  # those that may want any call
        self._single: dict[Subscriber, None] = {}  # those that get one call at a time
        self._expecting: set[Subscriber] = set()
        # Subscribers that have not joined a call yet since it is behind or being decoded, and until when they wait.
        self._waiting: dict[tuple[Subscriber, Call], float] = {}

    def subscribe_topics(self, subscriber: Subscriber) -> None:
        """Subscribe on the bus to the topics of a subscriber that is about to be added."""
        if subscriber not in self._expecting:
            self._expecting.add(subscriber)
            for topic in self._topics(subscriber):
                self._interest.add(topic)

    def share_interest(self, others: Collection[int]) -> Callable[[int], bool]:
        """Have ingest send all topics of this process to other fan-out processes too: the connections move there.

        Args:
            others: indexes of those processes.

        Returns:
            A function that tells whether so many ingest processes have acknowledged that.
        """
        self._interest.share(others)
        self._interest.add(SHARED_MARKER)  # the last topic that is subscribed to is acknowledged last
        return lambda processes: self._interest.is_acknowledged([SHARED_MARKER], processes)

    def is_acknowledged(self, subscriber: Subscriber, processes: int) -> bool:
        """Return whether so many ingest processes know a subscriber's topics: it misses no call that starts from now
        on."""
        return self._interest.is_acknowledged(subscriber.topics(), processes)

    def add(self, subscriber: Subscriber, now: float) -> None:
        """Add a subscriber: it joins the live calls that it wants at once, and others when they start."""
        self.subscribe_topics(subscriber)
        self._subscribers[subscriber] = None
        for register in self._registers(subscriber):
            register[subscriber] = None
        for stream in subscriber.started_streams():
            if (end := self._ended.get(stream, now)) is not None:
                subscriber.on_stopped_before(stream, *end)
        for call in self._wanted_calls(subscriber):
            self._offer(subscriber, call, now)

    def calls_for(self, subscriber: Subscriber) -> list[Call]:
        """Return the live calls that a subscriber would join if it were added now."""
        wanted = self._wanted_calls(subscriber)
        return wanted[:1] if subscriber.is_single else wanted

    def remove(self, subscriber: Subscriber) -> None:
        """Remove a subscriber; one that is not there is ignored."""
        if subscriber not in self._expecting:
            return
        self._expecting.discard(subscriber)
        self._subscribers.pop(subscriber, None)
        for register in self._registers(subscriber):
            register.pop(subscriber, None)
        for digest in subscriber.digests() or ():
            if not self._by_call.get(digest, True):
                del self._by_call[digest]
        for call in list(subscriber.calls):
            if (live := self.live.get(call.digest)) is not None:
                self._leave(subscriber, live)
            else:
                self._on_left(subscriber, call)
        for topic in self._topics(subscriber):
            self._interest.remove(topic)

    def listener_counts(self) -> dict[str, int]:
        """Return the number of listeners of each live call, by its id."""
        return {call.call_control_id: len(call.participants) for call in self.live.values()}

    def interest(self, topic: bytes) -> int:
        """Return the number of subscribers that need this topic."""
        return self._interest.count(topic)

    @property
    def unbound(self) -> int:
        """Return the number of subscribers that want every call."""
        return sum(not subscriber.names_calls for subscriber in self._subscribers)

    def _registers(self, subscriber: Subscriber) -> Iterator[dict[Subscriber, None]]:
        """Yield the dictionaries in which a subscriber is found."""
        digests = subscriber.digests()
        if digests is None:
            yield self._any_call
        else:
            for digest in digests:
                yield self._by_call.setdefault(digest, {})
        if subscriber.is_single:
            yield self._single

    def _topics(self, subscriber: Subscriber) -> list[bytes]:
        """Return the topics that a subscriber needs; in a cluster also of a call of which it wants no audio."""
        return subscriber.topics() or (list(subscriber.digests() or ()) if self._is_clustered else [])

    def _possible_subscribers(self, call: Call) -> list[Subscriber]:
        """Return the subscribers that may want a call."""
        return [*self._by_call.get(call.digest, ()), *self._any_call]

    def _wanted_calls(self, subscriber: Subscriber) -> list[Call]:
        """Return the live calls that a subscriber wants: first those of its previous process, then the latest first."""
        started = subscriber.started_streams()
        digests = subscriber.digests()
        calls = self.live.values() if digests is None else [self.live[each] for each in digests if each in self.live]
        wanted = [call for call in calls if subscriber.wants(call)]
        return sorted(wanted, key=lambda call: (call.number in started, call.number), reverse=True)

    def _offer(self, subscriber: Subscriber, call: Call, now: float) -> None:
        """Have a subscriber join a live call that it wants, unless it gets one call at a time and has one."""
        subscriber.candidates.add(call)
        if not (subscriber.is_single and subscriber.calls):
            self._join(subscriber, call, now)

    def _join_next(self, ended: Call, now: float) -> None:
        """Have the subscribers that get one call at a time, and had this call, join their latest candidate."""
        for subscriber in self._single:
            if ended in subscriber.candidates:
                subscriber.candidates.discard(ended)
                live = [call for each in subscriber.candidates if (call := self.live.get(each.digest)) is not None]
                if live and not subscriber.calls:
                    self._join(subscriber, max(live, key=lambda call: call.number), now)

    def _join(self, subscriber: Subscriber, call: Call, now: float) -> None:
        subscriber.calls.add(call)
        if self._audit is not None and subscriber.participant is not None:
            self._audit.on_joined(subscriber.participant, call)
        subscriber.on_started(call)
        call.prepare(subscriber.key, now)
        if call.is_decoding_replay or call.is_behind(subscriber):
            self._waiting[subscriber, call] = now + CATCH_UP_S
        else:
            call.join(subscriber, now)

    def _join_waiting(self, now: float, ended: Call | None = None) -> None:
        """Have subscribers join whose call is not behind any more, or for too long, and whose replay buffer is decoded.

        Args:
            ended: a call whose stream has ended: all its waiting subscribers join.
        """
        if self._waiting:
            for (subscriber, call), until in list(self._waiting.items()):
                call.prepare(subscriber.key, now)
                is_ready = not call.is_decoding_replay and (now >= until or not call.is_behind(subscriber))
                if call is ended or is_ready:
                    del self._waiting[subscriber, call]
                    call.join(subscriber, now)

    def _leave(self, subscriber: Subscriber, call: Call) -> None:
        self._waiting.pop((subscriber, call), None)
        call.leave(subscriber)
        self._on_left(subscriber, call)

    def _on_left(self, subscriber: Subscriber, call: LiveCall) -> None:
        subscriber.calls.discard(call)
        if self._audit is not None and subscriber.participant is not None:
            self._audit.on_left(subscriber.participant, call)
