"""Which node has which wanted call."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.bridge.directory import Directory, Lease

CALL = b"c" * 16


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_leases_compare_as_their_texts(one: int, other: int) -> None:
    assert (Lease(one, "a:1").encode()[:20] < Lease(other, "a:1").encode()[:20]) == (one < other)
    assert Lease.decode(Lease(one, "a:1").encode()) == Lease(one, "a:1")


@given(st.binary(max_size=40))
def test_rubbish_is_no_lease(text: bytes) -> None:
    found = Lease.decode(text)
    assert found is None or found.node


def directory(lease: Lease | None) -> Directory:
    made = Directory("here:1")
    assert made.want(CALL)
    assert made.unknown == {CALL}
    made.learn(CALL, lease)
    return made


def test_a_call_of_another_node() -> None:
    made = directory(Lease(5, "a:1"))
    assert made.unknown == set()
    assert made.by_node() == {"a:1": {CALL}}


def test_a_call_of_this_node_is_not_elsewhere() -> None:
    made = directory(Lease(5, "here:1"))
    assert made.by_node() == {}
    assert made.node_of(CALL) is None


def test_the_later_stream_counts() -> None:
    made = directory(Lease(5, "a:1"))
    made.learn(CALL, Lease(4, "b:1"))
    assert made.node_of(CALL) == "a:1"
    made.learn(CALL, Lease(6, "b:1"))
    assert made.node_of(CALL) == "b:1"


def test_no_lease_does_not_end_a_call() -> None:
    """Redis may have been restarted: the link says when a call is over."""
    made = directory(Lease(5, "a:1"))
    made.learn(CALL, None)
    assert made.node_of(CALL) == "a:1"


def test_a_node_that_has_it_no_more() -> None:
    made = directory(Lease(5, "a:1"))
    made.lose("b:1", [CALL])
    assert made.node_of(CALL) == "a:1"
    made.lose("a:1", [CALL])
    assert made.node_of(CALL) is None
    assert made.unknown == {CALL}


def test_what_nobody_wants_any_more() -> None:
    made = directory(Lease(5, "a:1"))
    assert not made.want(CALL)
    assert made.unwant(CALL)
    assert not made.unwant(CALL)
    made.learn(CALL, Lease(9, "a:1"))
    assert made.by_node() == {}


def test_all_are_looked_up_again() -> None:
    made = directory(Lease(5, "a:1"))
    made.look_again()
    assert made.unknown == {CALL}
