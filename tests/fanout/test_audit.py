"""What the journal is told of listeners and talkers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from actors.fanout.audit import Audit

CALL = cast("Any", SimpleNamespace(digest=b"d", number=7, call_control_id="v3:a", start=SimpleNamespace(stream_id="s")))


class Events:
    """What would be sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send_nowait(self, event_type: str, payload: dict[str, Any]) -> None:
        self.sent.append((event_type, payload))


def listener(number: int, *, told: bool = False, given_away: bool = False) -> Any:
    handed = SimpleNamespace(claims={"sub": "ann"}, peer="192.0.2.1", given_away=given_away)
    found = SimpleNamespace(number=number, track="inbound", handed=handed)
    found.was_told = lambda stream: told
    return found


def audit(*listeners: Any) -> tuple[Audit, Events]:
    events = Events()
    by_number = {each.number: each for each in listeners}
    return Audit(cast("Any", events), by_number.get), events


def test_joining_and_leaving() -> None:
    found, events = audit()
    found.joined(listener(1), CALL)
    found.left(listener(1), CALL)
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
    found.left(listener(1, given_away=True), CALL)
    found.joined(listener(1, told=True), CALL)
    assert events.sent == []


def test_the_floor() -> None:
    found, events = audit(listener(1), listener(2))
    for talker in (1, 1, None, None, 2, 1, 99, None):  # 99 is another process's
        found.floor(CALL, talker)
    told = [(kind.partition(".")[2], payload["talker"]) for kind, payload in events.sent]
    assert told == [
        ("taken", "1"),
        ("released", "1"),
        ("taken", "2"),
        ("released", "2"),
        ("taken", "1"),
        ("released", "1"),
    ]
