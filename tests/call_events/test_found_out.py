"""Events that call_events finds out itself: calls that are lost, actors that were restarted."""

from __future__ import annotations

import orjson

from actors.call_events.calls.call_state import CallState, merge, of_event
from actors.call_events.calls.lost_calls import LostCalls
from actors.call_events.restarts import restart_of
from tests.call_events.samples import NOW_US, arrival

SECOND = 1_000_000


def state(call: str) -> CallState:
    found = of_event(arrival(call, call).event)
    assert found is not None
    return found


async def never(arrivals: object) -> list[bool]:
    raise AssertionError(arrivals)


def test_a_call_without_a_sign_of_life_is_lost_once() -> None:
    calls = {"v3:a": state("v3:a"), "v3:b": state("v3:b")}
    looker = LostCalls(calls, never, lost_after_s=60)
    assert looker.lost(NOW_US + 60 * SECOND) == []
    looker.receive(orjson.dumps({"calls": [{"call_control_id": "v3:b"}]}), NOW_US + 60 * SECOND)
    (lost,) = looker.lost(NOW_US + 61 * SECOND)
    assert (lost.event.type, lost.event.call_control_id) == ("call.lost", "v3:a")
    (again,) = looker.lost(NOW_US + 62 * SECOND)
    assert again.event.id == lost.event.id  # found out twice, it is one event
    told = of_event(lost.event)
    assert told is not None
    assert not merge(calls["v3:a"], told).is_live
    del calls["v3:a"]
    assert [each.event.call_control_id for each in looker.lost(NOW_US + 121 * SECOND)] == ["v3:b"]


def test_odd_statistics_are_ignored() -> None:
    looker = LostCalls({"v3:a": state("v3:a")}, never, lost_after_s=60)
    for odd in (b"", b"[]", b"{}", b'{"calls":1}', b'{"calls":[1,{}]}'):
        looker.receive(odd, NOW_US + 60 * SECOND)
    assert len(looker.lost(NOW_US + 61 * SECOND)) == 1


def line(**changes: object) -> bytes:
    entry = {"at": 1.5, "actor": "ingest.0", "generation": 2, "pid": 7, "before": "STARTING", "after": "READY"}
    return orjson.dumps({**entry, **changes})


def test_a_restart_is_an_event_and_a_first_start_is_none() -> None:
    found = restart_of(line(), NOW_US)
    assert found is not None
    assert (found.event.type, found.event.occurred_at) == ("actor.restarted", "1970-01-01T00:00:01.500000Z")
    assert orjson.loads(found.event.payload) == {"actor": "ingest.0", "generation": 2, "pid": 7}
    same = restart_of(line(), NOW_US + 1)
    assert same is not None
    assert same.event.id == found.event.id
    for other in (line(generation=1), line(after="BACKOFF"), line(before="READY"), line(at="x"), b"{", b"[]"):
        assert restart_of(other, NOW_US) is None
