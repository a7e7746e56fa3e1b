from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from actors.ingest.talk.floor import Floor

ANNA, BERT, ADMIN = 1, 2, 3


def test_first_come_even_when_silent() -> None:
    floor = Floor(1.0)
    assert floor.holder(0.0) is None
    assert floor.claim(ANNA, silent=True, now=0.0)
    assert not floor.claim(BERT, silent=False, now=0.5)
    assert floor.holder(0.5) == ANNA


def test_a_holder_that_speaks_keeps_the_floor() -> None:
    floor = Floor(1.0)
    for turn in range(500):
        now = turn * 0.02
        assert floor.claim(ANNA, silent=turn % 40 != 0, now=now)
        assert not floor.claim(BERT, silent=False, now=now)


def test_a_holder_that_is_only_silent_can_be_taken_over_by_one_who_speaks() -> None:
    floor = Floor(1.0)
    assert floor.claim(ANNA, silent=False, now=0.0)
    assert floor.claim(ANNA, silent=True, now=0.9)
    assert not floor.claim(BERT, silent=False, now=0.99)
    assert not floor.claim(BERT, silent=True, now=1.0)
    assert floor.claim(BERT, silent=False, now=1.0)
    assert not floor.claim(ANNA, silent=False, now=1.01)
    assert floor.holder(1.01) == BERT


def test_a_holder_that_sends_nothing_has_left() -> None:
    floor = Floor(1.0)
    assert floor.claim(ANNA, silent=False, now=0.0)
    assert floor.holder(0.99) == ANNA
    assert floor.holder(1.0) is None
    assert floor.claim(BERT, silent=True, now=1.0)


def test_release() -> None:
    floor = Floor(1.0)
    assert floor.claim(ANNA, silent=False, now=0.0)
    floor.release(BERT)
    assert floor.holder(0.0) == ANNA
    floor.release(ANNA)
    assert floor.holder(0.0) is None
    assert floor.claim(BERT, silent=False, now=0.0)


def test_an_admin_pre_empts_by_speaking() -> None:
    floor = Floor(1.0)
    assert floor.claim(ANNA, silent=False, now=0.0)
    assert not floor.claim(ADMIN, silent=True, now=0.0, admin=True)
    assert floor.claim(ADMIN, silent=False, now=0.0, admin=True)
    assert not floor.claim(ANNA, silent=False, now=0.1)
    assert not floor.claim(BERT, silent=False, now=0.1, admin=True)
    assert floor.claim(ANNA, silent=False, now=1.0)


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.booleans(), st.floats(0, 0.5))))
def test_who_is_let_through_has_the_floor(
    offers: list[tuple[int, bool, bool, float]],
) -> None:
    floor = Floor(1.0)
    now = 0.0
    for talker, silent, admin, pause_s in offers:
        now += pause_s
        before = floor.holder(now)
        passed = floor.claim(talker, silent, now, admin=admin)
        assert floor.holder(now) == (talker if passed else before)
        assert passed or before not in (None, talker)


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.booleans(), st.floats(0, 0.5))))
@example([(ANNA, False, False, 0.0), (ANNA, True, False, 1.0), (BERT, False, False, 0.5)])  # back from a silence
def test_the_short_way_decides_as_the_long_one(offers: list[tuple[int, bool, bool, float]]) -> None:
    """Whoever goes on may go on, and it changes no hands; else nothing has happened."""
    short, long, now = Floor(1.0), Floor(1.0), 0.0
    for talker, silent, admin, pause_s in offers:
        now += pause_s
        renewed = short.renew(talker, silent, now, admin)
        passed = long.claim(talker, silent, now, admin=admin)
        assert passed if renewed else short.claim(talker, silent, now, admin=admin) == passed
        assert short.holder(now) == long.holder(now)
