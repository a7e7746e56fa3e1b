"""What a request asks for, and what its token lets it have."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.call_events.clients.filter import EventFilter, parse_filter
from actors.call_events.entry import Interest, entry_of
from patchbay.protocol.query import BadQuery
from tests.call_events.samples import arrival


def asked(text: str, claims: dict[str, object] | None = None) -> EventFilter:
    return parse_filter(parse_qs(text, keep_blank_values=True), claims)


def test_the_calls_of_a_client_are_those_it_names_of_those_it_may_have() -> None:
    def wanted(text: str, claims: dict[str, object] | None) -> set[str] | None:
        calls = asked(text, claims).interest.calls
        return None if calls is None else set(calls)

    two = "callControlId=v3%3Aa&call[]=v3%3Ab"
    assert wanted("", None) is None
    assert wanted(two, None) == {"v3:a", "v3:b"}
    assert wanted("", {"calls": "*"}) is None
    assert wanted(two, {"calls": "*"}) == {"v3:a", "v3:b"}
    assert wanted("", {"calls": ["v3:a"]}) == {"v3:a"}
    assert wanted(two, {"calls": ["v3:a", "v3:c"]}) == {"v3:a"}
    assert wanted("call_id=v3%3Ac", {"calls": ["v3:a"]}) == set()
    assert wanted("", {}) == set()


@pytest.mark.parametrize(
    ("text", "since"), [("", None), ("since=7", 7), ("since=x", -1), ("since=-3", -1), ("since=" + "9" * 30, -1)]
)
def test_since(text: str, since: int | None) -> None:
    assert asked(text).since == since


@pytest.mark.parametrize(
    ("text", "limit"), [("", 100), ("limit=7", 7), ("limit=0", 1), ("limit=99999", 1000), ("limit=x", 100)]
)
def test_limit(text: str, limit: int) -> None:
    assert asked(text).limit == limit


def test_types() -> None:
    interest = asked("type=call.hangup,stream.*&type=x").interest
    assert (interest.types, interest.prefixes) == (frozenset({"call.hangup", "x"}), ("stream.",))
    kinds = ("call.hangup", "call.hangup.x", "stream.dtmf", "x", "stream")
    wanted = [kind for kind in kinds if interest.wants(entry_of(arrival(1, kind=kind).event, 1, "e"))]
    assert wanted == ["call.hangup", "stream.dtmf", "x"]
    assert asked("type=").interest == Interest()
    assert Interest().is_everything
    assert not interest.is_everything


@pytest.mark.parametrize(
    "text", ["call=", "call_control_id=", "callId[]=", "CallSid=v3:a", "stream_id=s", "call=undefined"]
)
def test_who_means_one_call_does_not_get_all(text: str) -> None:
    """As on `/audio-stream`."""
    several: tuple[dict[str, object] | None, ...] = (None, {"calls": "*"}, {"calls": ["v3:a"]})
    for claims in several:
        with pytest.raises(BadQuery):
            asked(text, claims)


@given(st.integers(-(10**20), 10**20).map(str) | st.text(max_size=25))
def test_whatever_is_asked_for_the_journal_can_be_asked(text: str) -> None:
    """Numbers that SQLite has."""
    got = parse_filter({"since": [text], "limit": [text]}, None)
    assert got.since is None or -1 <= got.since < 2**63
    assert 1 <= got.limit <= 1000
