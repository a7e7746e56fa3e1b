"""Merges the events of a call into its state, which does not depend on their order and repeats. Pure.

A state is a lattice: each part only changes by `max` or `min`, over (time of the event, id of the event) where two
values compete. So `merge` is commutative, associative and idempotent. A hangup is terminal, whatever events follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from patchbay.protocol import events
from patchbay.protocol.times import microseconds, timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.call_events.events import Event

STREAMS_MAX = 32  # of a call; the newest are kept
PHASES = {"call.initiated": 1, "call.ringing": 2, "call.answered": 3, "call.bridged": 4, "call.hangup": 5}
PHASE_NAMES = ("unknown", "initiated", "ringing", "answered", "bridged", "hangup")
HANGUP = 5
ANSWERED = 3
HOLDS = {"call.hold": True, "call.unhold": False}
STREAMS = {
    events.STREAM_STARTED: True,
    events.STREAM_STOPPED: False,
    events.STREAM_FAILED: False,
    "streaming.started": True,
    "streaming.stopped": False,
    "streaming.failed": False,
}
FACTS = ("call_session_id", "call_leg_id", "direction", "from", "to")
FACT_MAX_CHARS = 256


class Register(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Holds a value of an event. Registers are ordered by (at, id)."""

    at: int  # µs since 1970, by the clock of the sender
    id: str
    value: bool | str = False


class CallState(msgspec.Struct, frozen=True, array_like=True):
    """Holds the state of one call.

    Attributes:
        phase: index into PHASE_NAMES; never decreases.
        first_at, last_at: times of the first and the last event, µs since 1970. A loss does not count.
        facts: the earliest value of each of FACTS.
        answered: the first answer.
        ended: the first hangup, with its cause.
        held, talker: the latest value.
        streams: the latest value of each stream; "" stands for Telnyx's webhooks, which name no stream.
        lost: the latest loss.
    """

    call_control_id: str
    phase: int = 0
    first_at: int = 0
    last_at: int = 0
    facts: dict[str, Register] = {}
    answered: Register | None = None
    ended: Register | None = None
    held: Register | None = None
    talker: Register | None = None
    streams: dict[str, Register] = {}
    lost: Register | None = None

    @property
    def streaming(self) -> bool:
        """Return whether audio of the call is streamed to us. Our own events override Telnyx's."""
        ours = [register.value for stream, register in self.streams.items() if stream]
        return any(ours) if ours else any(register.value for register in self.streams.values())

    @property
    def is_live(self) -> bool:
        """Return whether the call is live. A live stream without webhooks is a live call, too."""
        if self.phase >= HANGUP or (self.lost is not None and self.lost.at >= self.last_at):
            return False
        return self.phase > 0 or self.streaming


def of_event(event: Event) -> CallState | None:
    """Return the state of a call that an event alone gives; None when the event has no call."""
    call = event.call_control_id
    if not call:
        return None
    payload = event.fields
    at = microseconds(event.occurred_at)
    if event.type == events.CALL_LOST:
        return CallState(call, lost=Register(at, event.id, True))
    phase = PHASES.get(event.type, 0)
    stream = str(payload.get("stream_id") or "") if event.type.startswith("stream.") else ""
    return CallState(
        call,
        phase=phase,
        first_at=at,
        last_at=at,
        facts={name: Register(at, event.id, value) for name, value in _facts(payload)},
        answered=Register(at, event.id, True) if phase == ANSWERED else None,
        ended=Register(at, event.id, _text(payload.get("hangup_cause"))) if phase == HANGUP else None,
        held=Register(at, event.id, HOLDS[event.type]) if event.type in HOLDS else None,
        talker=_talker(event, payload, at),
        streams={stream: Register(at, event.id, STREAMS[event.type])} if event.type in STREAMS else {},
    )


def merge(one: CallState, other: CallState) -> CallState:
    """Return the state after the events of both states."""
    return CallState(
        one.call_control_id,
        phase=max(one.phase, other.phase),
        first_at=_outer(min, one.first_at, other.first_at),
        last_at=_outer(max, one.last_at, other.last_at),
        facts=_join(min, one.facts, other.facts),
        answered=_pick(min, one.answered, other.answered),
        ended=_pick(min, one.ended, other.ended),
        held=_pick(max, one.held, other.held),
        talker=_pick(max, one.talker, other.talker),
        streams=_newest(_join(max, one.streams, other.streams)),
        lost=_pick(max, one.lost, other.lost),
    )


def view(state: CallState) -> dict[str, Any]:
    """Return a live call as clients get it in a `snapshot`."""
    held = state.held is not None and bool(state.held.value)
    return {
        "call_control_id": state.call_control_id,
        **{name: register.value for name, register in sorted(state.facts.items())},
        "state": PHASE_NAMES[state.phase],
        "held": held,
        "streaming": state.streaming,
        "talker": state.talker.value or None if state.talker is not None else None,
        "started_at": timestamp(state.first_at),
        "answered_at": None if state.answered is None else timestamp(state.answered.at),
        "last_event_at": timestamp(state.last_at),
    }


def _facts(payload: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, _text(payload[name])) for name in FACTS if isinstance(payload.get(name), str) and payload[name]]


def _talker(event: Event, payload: dict[str, Any], at: int) -> Register | None:
    if event.type == events.FLOOR_TAKEN:
        return Register(at, event.id, _text(payload.get("talker")))
    return Register(at, event.id, "") if event.type == events.FLOOR_RELEASED else None


def _text(value: object) -> str:
    return value[:FACT_MAX_CHARS] if isinstance(value, str) else ""


def _outer(better: Callable[[int, int], int], one: int, other: int) -> int:
    """Return `better` of two times; 0 stands for an unknown time."""
    return better(one, other) if one and other else one or other


def _pick(
    better: Callable[[Register, Register], Register], one: Register | None, other: Register | None
) -> Register | None:
    return better(one, other) if one is not None and other is not None else one or other


def _join(
    better: Callable[[Register, Register], Register], one: dict[str, Register], other: dict[str, Register]
) -> dict[str, Register]:
    if not one or not other:
        return one or other
    both = {key: better(one[key], other[key]) for key in one.keys() & other.keys()}
    return {**one, **other, **both}


def _newest(streams: dict[str, Register]) -> dict[str, Register]:
    if len(streams) <= STREAMS_MAX:
        return streams
    return dict(sorted(streams.items(), key=lambda item: item[1])[-STREAMS_MAX:])
