"""The states of a `patchbay.v1` connection's talk, and what the client is told at each transition. Pure.

    IDLE ------START-----------------------------> REQUESTED
    REQUESTED -GRANTED---------------------------> TALKING     talk.started
    REQUESTED -REFUSED, CALL_ENDED, UNREACHABLE--> IDLE        error
    REQUESTED -STOP------------------------------> IDLE
    TALKING ---FLOOR_LOST, REFUSED, CALL_ENDED---> IDLE        talk.ended
    TALKING ---STOP------------------------------> IDLE
    IDLE ------RESUMED---------------------------> TALKING     the predecessor's process has told the client

Every other event changes nothing. Talk that does not reach the call for a moment does not end it.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class State(Enum):
    """Names the states of a talk."""

    IDLE = "idle"  # the client neither talks nor waits for the floor
    REQUESTED = "requested"  # the call's ingest is asked for the floor
    TALKING = "talking"  # the client has the floor, as far as this process knows


class Event(Enum):
    """Names what happens to a talk."""

    START = "start"  # the client asks for the floor
    STOP = "stop"  # the client gives the floor back, or has gone
    RESUMED = "resumed"  # the connection comes from a process in which the client was talking
    GRANTED = "granted"  # the client has the floor
    FLOOR_LOST = "floor lost"  # somebody else has the floor, or nobody
    REFUSED = "refused"  # the ingest does not take the talk
    CALL_ENDED = "call ended"
    UNREACHABLE = "unreachable"  # the request did not reach the ingest, or was not answered


class Message(Enum):
    """Names what the client is told."""

    STARTED = "talk.started"
    ENDED = "talk.ended"
    ERROR = "error"


TRANSITIONS: Final[dict[tuple[State, Event], tuple[State, Message | None]]] = {
    (State.IDLE, Event.START): (State.REQUESTED, None),
    (State.IDLE, Event.RESUMED): (State.TALKING, None),
    (State.REQUESTED, Event.GRANTED): (State.TALKING, Message.STARTED),
    (State.REQUESTED, Event.REFUSED): (State.IDLE, Message.ERROR),
    (State.REQUESTED, Event.CALL_ENDED): (State.IDLE, Message.ERROR),
    (State.REQUESTED, Event.UNREACHABLE): (State.IDLE, Message.ERROR),
    (State.REQUESTED, Event.STOP): (State.IDLE, None),
    (State.TALKING, Event.FLOOR_LOST): (State.IDLE, Message.ENDED),
    (State.TALKING, Event.REFUSED): (State.IDLE, Message.ENDED),
    (State.TALKING, Event.CALL_ENDED): (State.IDLE, Message.ENDED),
    (State.TALKING, Event.STOP): (State.IDLE, None),
}


def transition(state: State, event: Event) -> tuple[State, Message | None]:
    """Return the next state, and what the client is told; None: nothing."""
    return TRANSITIONS.get((state, event), (state, None))
