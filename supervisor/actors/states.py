"""Holds the states of one process of an actor and the transitions between them, as a table. Pure.

    INIT ──START──► STARTING ──READY──► READY ──DRAIN──► DRAINING ──GONE──► STOPPED
                       │ STOP, ABORT      │ ABORT           │ ABORT             ▲
                       ├──────────────────┴───► STOPPING ◄──┘ ─────GONE─────────┘
                       │ RETRY, GIVE_UP   │ RETRY, GIVE_UP    (STOPPING and DRAINING too: it was ended, and
                       ▼                  ▼                    its end counts as a failure)
                     BACKOFF, FAILED ──START──► STARTING

DRAINING: asked to end (SIGTERM), gives its connections back. STOPPING: ended before it was ready, or by force.
BACKOFF: started again by itself, soon. FAILED: started again by itself at the longest back-off only, or, after a
configuration error, on request. An event that a state does not list is a fault of the supervisor.
"""

from __future__ import annotations

import enum


class State(enum.Enum):
    """Names the state of one process; the values are what `status` shows."""

    INIT = "INIT"
    STARTING = "STARTING"
    READY = "READY"
    DRAINING = "DRAINING"
    STOPPING = "STOPPING"
    BACKOFF = "BACKOFF"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


class Event(enum.Enum):
    """Names what happens to a process."""

    START = "start"  # it was started
    READY = "ready"  # it sent READY=1, or its hello says that it is ready
    DRAIN = "drain"  # it was READY and is asked to end
    STOP = "stop"  # it was not READY, or is not there, and is stopped for good
    ABORT = "abort"  # it is ended by force: hung, not ready in time, or past its deadline
    GONE = "gone"  # it has ended as requested
    RETRY = "retry"  # it has ended without a request, and is started again soon
    GIVE_UP = "give up"  # likewise, but too often, or for a reason that starting again does not remove


class IllegalTransitionError(Exception):
    """An event came in a state that does not list it: a fault of the supervisor."""


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.INIT: {Event.START: State.STARTING, Event.STOP: State.STOPPED},
    State.STARTING: {
        Event.READY: State.READY,
        Event.STOP: State.STOPPING,
        Event.ABORT: State.STOPPING,
        Event.RETRY: State.BACKOFF,
        Event.GIVE_UP: State.FAILED,
    },
    State.READY: {
        Event.DRAIN: State.DRAINING,
        Event.ABORT: State.STOPPING,
        Event.RETRY: State.BACKOFF,
        Event.GIVE_UP: State.FAILED,
    },
    State.DRAINING: {
        Event.ABORT: State.STOPPING,
        Event.GONE: State.STOPPED,
        Event.RETRY: State.BACKOFF,
        Event.GIVE_UP: State.FAILED,
    },
    State.STOPPING: {
        Event.ABORT: State.STOPPING,
        Event.GONE: State.STOPPED,
        Event.RETRY: State.BACKOFF,
        Event.GIVE_UP: State.FAILED,
    },
    State.BACKOFF: {Event.START: State.STARTING, Event.STOP: State.STOPPED},
    State.FAILED: {Event.START: State.STARTING, Event.STOP: State.STOPPED},
    State.STOPPED: {Event.START: State.STARTING, Event.STOP: State.STOPPED},
}

# The states in which there is a process.
ALIVE = frozenset({State.STARTING, State.READY, State.DRAINING, State.STOPPING})


def advance(state: State, event: Event) -> State:
    """Return the state that follows.

    Raises:
        IllegalTransitionError: the table has no such transition.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransitionError(f"{event.name} in state {state.name}") from None
