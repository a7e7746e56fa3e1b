"""The life of one process of an actor, as a table. Pure: says what may follow what, never when or why.

    INIT ──START──► STARTING ──READY──► READY ──DRAIN──► DRAINING ──GONE──► STOPPED
                       │ STOP, ABORT      │ ABORT           │ ABORT             ▲
                       ├──────────────────┴───► STOPPING ◄──┘ ─────GONE─────────┘
                       │ RETRY, GIVE_UP   │ RETRY, GIVE_UP    (STOPPING and DRAINING too: it was ended, and
                       ▼                  ▼                    its end counts as a failure)
                     BACKOFF, FAILED ──START──► STARTING

DRAINING: asked to end (SIGTERM), gives its connections back. STOPPING: ended before it was ready, or by force.
BACKOFF: starts again by itself, soon. FAILED: starts again by itself at the longest back-off only, or, after a
configuration error, when somebody asks. An event that a state does not list is our bug, and an error.
"""

from __future__ import annotations

import enum


class State(enum.Enum):
    INIT = "INIT"
    STARTING = "STARTING"
    READY = "READY"
    DRAINING = "DRAINING"
    STOPPING = "STOPPING"
    BACKOFF = "BACKOFF"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


class Event(enum.Enum):
    START = "start"  # a process has been started
    READY = "ready"  # it said READY=1, or an adopted one says that it is
    DRAIN = "drain"  # a ready one was asked to end
    STOP = "stop"  # one that was not ready, or is not there, is to be no more
    ABORT = "abort"  # it is being ended by force: hung, not ready in time, or past its deadline
    GONE = "gone"  # it has ended, as was wanted
    RETRY = "retry"  # it has ended, as was not wanted, and is started again soon
    GIVE_UP = "give up"  # likewise, but too often, or for a reason that starting again does not mend


class IllegalTransitionError(Exception):
    """Our bug: an event came in a state that does not list it."""


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

# There is a process, so there is something to signal and to wait for.
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
