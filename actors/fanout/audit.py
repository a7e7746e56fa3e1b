"""Who heard a call and who spoke into it, and when: told to call events, for the journal.

Each fan-out tells of its own connections only. A connection that another process goes on with has neither left nor
joined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.fanout.call import Call
    from actors.fanout.hearer import Person
    from actors.runtime.event_sender import EventSender


class Audit:
    """Sends the events.

    Args:
        of_number: the listener with a connection's number, if it is one of this process.
    """

    def __init__(self, events: EventSender, of_number: Callable[[int], Person | None]) -> None:
        self._events = events
        self._of_number = of_number
        self._holders: dict[
            bytes, dict[str, Any]
        ] = {}  # by the call's digest: those of this process that have the floor

    def joined(self, listener: Person, call: Call) -> None:
        """A listener begins to hear a call; nothing is told of one whose predecessor has told it."""
        if not listener.was_told(call.number):
            self._tell("listener.joined", call, {**_who(listener), "track": listener.track})

    def left(self, listener: Person, call: Call) -> None:
        """A listener hears a call no more, because either has ended."""
        if not listener.handed.given_away:
            self._tell("listener.left", call, _who(listener))

    def floor(self, call: Call, talker: int | None, *, known: bool = False) -> None:
        """Somebody has the floor of a call now, here or elsewhere, or nobody has. `known`: a predecessor has told it."""
        holder = self._holders.get(call.digest)
        name = None if talker is None else str(talker)
        if holder is not None and holder["talker"] != name:
            del self._holders[call.digest]
            self._tell("floor.released", call, holder)
        listener = None if talker is None else self._of_number(talker)
        if listener is not None and call.digest not in self._holders:
            self._holders[call.digest] = taken = {**_who(listener), "talker": name}
            if not known:
                self._tell("floor.taken", call, taken)

    def _tell(self, event_type: str, call: Call, payload: dict[str, Any]) -> None:
        about = {"call_control_id": call.call_control_id, "stream_id": call.start.stream_id}
        self._events.send_nowait(event_type, {**about, **payload})


def _who(listener: Person) -> dict[str, Any]:
    handed = listener.handed
    sub = None if handed.claims is None else handed.claims.get("sub")
    return {"connection": str(listener.number), "peer": handed.peer, "sub": sub}
