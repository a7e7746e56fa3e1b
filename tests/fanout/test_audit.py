"""What the journal is told of listeners and talkers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from actors.fanout.audit import FOLD_S, Audit

CALL = cast("Any", SimpleNamespace(digest=b"d", number=7, call_control_id="v3:a", start=SimpleNamespace(stream_id="s")))


class Events:
    """What would be sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.times: list[str | None] = []
        self.now = 0.0

    def send_nowait(self, event_type: str, payload: dict[str, Any], occurred_at: str | None = None) -> None:
        self.sent.append((event_type, payload))
        self.times.append(occurred_at)

    @property
    def kinds(self) -> list[str]:
        return [kind.partition(".")[2] for kind, _ in self.sent]


def listener(number: int, *, told: bool = False, is_transferred: bool = False) -> Any:
    handed = SimpleNamespace(claims={"sub": "ann"}, peer="192.0.2.1", is_transferred=is_transferred)
    found = SimpleNamespace(number=number, track="inbound", handed=handed)
    found.knows_stream = lambda stream: told
    return found


def audit(*listeners: Any) -> tuple[Audit, Events]:
    events = Events()
    by_number = {each.number: each for each in listeners}
    return Audit(cast("Any", events), by_number.get, lambda: events.now), events


def test_joining_and_leaving() -> None:
    found, events = audit()
    found.on_joined(listener(1), CALL)
    found.on_left(listener(1), CALL)
    assert [kind for kind, _ in events.sent] == ["listener.joined", "listener.left"]
    assert events.sent[0][1] == {
        "call_control_id": "v3:a",
        "stream_id": "s",
        "connection": "1",
        "peer": "192.0.2.1",
        "sub": "ann",
        "track": "inbound",
    }


def test_one_that_another_process_goes_on_with_has_neither_left_nor_joined() -> None:
    found, events = audit()
    found.on_left(listener(1, is_transferred=True), CALL)
    found.on_joined(listener(1, told=True), CALL)
    assert events.sent == []


def test_the_floor() -> None:
    found, events = audit(listener(1), listener(2))
    for talker in (1, 1, None, None, 2, 1, 99, None):  # 99 is another process's
        found.on_floor_changed(CALL, talker)
        events.now += FOLD_S
        found.tick()
    told = [(kind.partition(".")[2], payload["talker"]) for kind, payload in events.sent]
    assert told == [
        ("taken", "1"),
        ("released", "1"),
        ("taken", "2"),
        ("released", "2"),
        ("taken", "1"),
        ("released", "1"),
    ]


@pytest.mark.parametrize(
    ("after", "told", "folded"),
    [
        ("", [], None),
        ("j", ["joined"], None),
        ("jl", ["joined", "left"], None),
        ("jlj", ["joined"], 2),
        ("jljl", ["joined", "left"], 2),
        ("jl" * 2000, ["joined", "left"], 3998),
        ("jl" * 2000 + "j", ["joined"], 4000),
    ],
)
def test_joining_and_leaving_in_turn_is_one_pair_a_second(after: str, told: list[str], folded: int | None) -> None:
    """Who is there is right at each moment; who was there in between is not kept quiet."""
    found, events = audit()
    found.on_joined(listener(1), CALL)
    found.on_left(listener(1), CALL)
    for step in after:
        (found.on_joined if step == "j" else found.on_left)(listener(1), CALL)
    events.now += FOLD_S * 0.9
    found.tick()
    assert events.kinds == ["joined", "left"]
    events.now += FOLD_S * 0.2
    found.tick()
    assert events.kinds[2:] == told
    assert all(payload.get("folded") == folded for _, payload in events.sent[2:])
    assert all(events.times[2:])
    assert found.folded == (folded or 0)


def test_floods_are_told_once_a_second_each() -> None:
    """And the sums stay right."""
    found, events = audit()
    for _ in range(10):
        for _ in range(500):
            found.on_joined(listener(1), CALL)
            found.on_left(listener(1), CALL)
        events.now += FOLD_S
        found.tick()
    assert len(events.sent) <= 2 + 2 * 10
    assert events.kinds.count("joined") == events.kinds.count("left")
    events.now += 2 * FOLD_S
    found.tick()
    found.tick()
    assert found._held == {}


def test_another_is_not_held_for_that() -> None:
    """Others' comings, and this one's on other calls, are told at once."""
    found, events = audit()
    found.on_joined(listener(1), CALL)
    found.on_left(listener(1), CALL)
    found.on_joined(listener(1), CALL)
    found.on_joined(listener(2), CALL)
    found.on_joined(listener(1), cast("Any", SimpleNamespace(**{**vars(CALL), "digest": b"other"})))
    assert events.kinds == ["joined", "left", "joined", "joined"]


def test_tracks_change() -> None:
    """Another subscription takes the first one's place before that is over: one pair, and then at most one a second."""
    found, events = audit()
    found.on_joined(listener(1), CALL)
    for _ in range(100):
        found.on_joined(listener(1), CALL)
        found.on_left(listener(1), CALL)
    events.now += 2 * FOLD_S
    found.tick()
    assert events.kinds == ["joined", "joined", "left", "joined", "left"]


def test_the_floor_in_turn() -> None:
    found, events = audit(listener(1))
    for _ in range(100):
        found.on_floor_changed(CALL, 1)
        found.on_floor_changed(CALL, None)
    events.now += FOLD_S
    found.tick()
    assert events.kinds == ["taken", "released"] * 2


def test_what_is_held_is_told_when_the_process_ends() -> None:
    found, events = audit()
    for _ in range(3):
        found.on_joined(listener(1), CALL)
        found.on_left(listener(1), CALL)
    found.flush()
    found.flush()
    assert events.kinds == ["joined", "left"] * 2
