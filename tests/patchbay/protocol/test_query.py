"""Which calls a URL names: one reader for every path, which never takes the one that is meant for all of them."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.protocol.query import (
    CALL_PARAMETERS,
    IDS_MAX,
    STREAM_PARAMETERS,
    BadQuery,
    calls_of,
    calls_only,
    is_null,
    names_of,
)

LISTS = ("", "[]", "[0]", "[17]")


@pytest.mark.parametrize("name", CALL_PARAMETERS)
@pytest.mark.parametrize("as_list", LISTS)
def test_a_call_under_each_of_its_names(name: str, as_list: str) -> None:
    assert calls_of({f"{name}{as_list}": ["v3:a"], "x": ["y"]}) == ("v3:a",)
    assert names_of({f"{name}{as_list}": ["v3:a"]}) == (("v3:a",), ())


@pytest.mark.parametrize("name", STREAM_PARAMETERS)
@pytest.mark.parametrize("as_list", LISTS)
def test_a_stream_under_each_of_its_names(name: str, as_list: str) -> None:
    assert names_of({f"{name}{as_list}": ["s"]}) == ((), ("s",))
    with pytest.raises(BadQuery, match="call_control_id"):
        calls_only({f"{name}{as_list}": ["s"]})


def test_several_under_several_names() -> None:
    """Each once."""
    query = parse_qs("call_id=b&callId=c&call_control_id=a&call=b&callControlId[]=d&callControlId[]=a&stream_id=s")
    assert calls_of(query) == ("a", "b", "c", "d")
    assert names_of(query) == (("a", "b", "c", "d"), ("s",))
    assert calls_of({}) == calls_only({}) == ()
    assert names_of({}) == ((), ())


@pytest.mark.parametrize(
    "name",
    [
        "callid", "CallId", "callID", "CALL_ID", "call-id", "call.id", "Call_Control_Id", "CALLCONTROLID", "callControlID",
        "call_control_ids", "calls", "call_ids", "Call", "call_sid", "CallSid", "callUuid", "call_leg_id", "callSessionId",
        "call_control", "control_id", "controlId", "telnyx_call_id", "x-call-id", " call_control_id", "call_control_id\u200b",
        "call_control_id[a]", "call_control_id[][]", "call id", "streamID", "stream", "StreamSid", "stream-id", "streams",
        "telnyxStreamId",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_call_is_refused(name: str) -> None:
    """In words that say the right one."""
    right = "stream_id" if "stream" in name.lower() else "call_control_id"
    for read in (calls_of, names_of, calls_only):
        with pytest.raises(BadQuery, match=f"it is {right}$"):
            read({name: ["v3:a"]})


@pytest.mark.parametrize(
    "name", ["callback", "caller", "called", "local", "locally", "type", "call_direction", "upstream", ""]
)
def test_what_does_not_is_not(name: str) -> None:
    assert calls_only({name: ["v3:a"]}) == ()


@pytest.mark.parametrize("value", ["", " ", "\t", "undefined", "null", "None", "NaN", "[object Object]", "x" * 513])
@pytest.mark.parametrize("name", [*CALL_PARAMETERS, *STREAM_PARAMETERS, "call_control_id[]"])
def test_what_names_nothing_is_refused(name: str, value: str) -> None:
    """Alone, and beside one that names something."""
    for query in ({name: [value]}, {name: ["v3:a", value]}, {"call": ["v3:b"], name: [value]}):
        with pytest.raises(BadQuery):
            names_of(query)


def test_so_many_and_no_more() -> None:
    ids = [str(number) for number in range(IDS_MAX)]
    assert len(calls_of({"call_id": ids, "callId": ids})) == IDS_MAX
    with pytest.raises(BadQuery, match="more than"):
        calls_of({"call_id": ids, "callId": ["one more"]})


@given(st.dictionaries(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=3), max_size=4))
def test_whoever_names_a_call_is_never_taken_for_one_who_names_none(query: dict[str, list[str]]) -> None:
    for name in CALL_PARAMETERS:
        asked = {**query, name: ["v3:a"]}
        try:
            assert "v3:a" in calls_of(asked)
        except BadQuery:
            continue


def test_nothing() -> None:
    assert all(is_null(text) for text in ("", "undefined", "NULL", " none "))
    assert not any(is_null(text) for text in ("v3:a", "0", "undefined1"))
