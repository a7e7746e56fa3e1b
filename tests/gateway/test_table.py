"""Every connection is in exactly one state at any time, served by one process at most, and none is lost."""

from __future__ import annotations

from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from actors.gateway.table import HeldConnection, Link, Table

PARK_TIME_S = 10.0


def held(
    number: int, *, kind: Literal["ws", "http"] = "ws", actor: str = "ingest", affinity: int | None = None
) -> HeldConnection[str]:
    return HeldConnection(number, f"socket {number}", kind, actor, b"", "", affinity=affinity)


class TableMachine(RuleBasedStateMachine):
    """What a gateway does with its table, in any order."""

    links: Bundle[Link] = Bundle("links")

    def __init__(self) -> None:
        super().__init__()
        self.table: Table[str] = Table()
        self.now = 0.0
        self.added: set[int] = set()
        self.closed: set[int] = set()
        self.present: set[int] = set()  # ids of links
        self.claims: dict[int, bytes] = {}
        self.generation = 0

    def close(self, number: int) -> None:
        assert self.table.remove(number) is not None
        self.closed.add(number)
        self.claims.pop(number, None)

    def place(self, connection: HeldConnection[str]) -> None:
        link = self.table.choose(connection)
        if link is not None:
            assert link.name == connection.actor
            assert not link.leaving
            assert link in self.table.links
            self.table.serve(connection, link)

    @rule(
        kind=st.sampled_from(["ws", "http"]),
        actor=st.sampled_from(["ingest", "fanout"]),
        affinity=st.none() | st.integers(0, 9),
        counted=st.lists(st.sampled_from(["connections", "from a"]), unique=True),
    )
    def admit(self, kind: Literal["ws", "http"], actor: str, affinity: int | None, counted: list[str]) -> None:
        connection = held(len(self.added), kind=kind, actor=actor, affinity=affinity)
        connection.counted = tuple(counted)
        self.added.add(connection.id)
        self.table.add(connection, self.now)
        self.place(connection)

    @rule(target=links, name=st.sampled_from(["ingest", "fanout"]), index=st.integers(0, 1))
    def join(self, name: str, index: int) -> Link:
        self.generation += 1
        link = Link(name, index, self.generation, pid=1)
        self.table.join(link)
        self.present.add(id(link))
        for connection in list(self.table.waiting(name)):
            self.place(connection)
        return link

    @rule(link=links)
    def begin_to_leave(self, link: Link) -> None:
        link.leaving = True

    @rule(link=consumes(links), torn=st.booleans())
    def die(self, link: Link, torn: bool) -> None:
        served = set(link.serving)
        for number in served:
            self.table.held[number].torn = torn
        doomed = self.table.leave(link, self.now)
        assert {each.id for each in doomed} == {n for n in served if torn or self.table.held[n].kind == "http"}
        for each in doomed:
            self.close(each.id)
        for connection in list(self.table.waiting(link.name)):
            self.place(connection)

    @rule(link=links)
    def park(self, link: Link) -> None:
        for number in sorted(link.serving)[:1]:
            self.table.wait(self.table.held[number], self.now)
            self.place(self.table.held[number])

    @rule(link=links)
    def answered(self, link: Link) -> None:
        for number in link.serving:
            self.table.held[number].fresh = False

    @rule(number=st.integers(0, 20), key=st.sampled_from([b"x", b"y"]))
    def claim(self, number: int, key: bytes) -> None:
        superseded = self.table.claim(number, key)
        if number not in self.table.held:
            assert superseded is None
            return
        rivals = {other for other, claimed in self.claims.items() if claimed == key and other != number}
        newest = max(rivals, default=-1)
        if newest > number:
            assert superseded is not None
            assert superseded.id == number
            self.close(number)
            return
        self.claims[number] = key
        assert (superseded.id if superseded else -1) == newest
        if superseded is not None:
            self.close(superseded.id)

    @rule(number=st.integers(0, 20))
    def ended(self, number: int) -> None:
        if number in self.table.held:
            self.close(number)

    @rule(seconds=st.floats(0, 20))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for each in self.table.overdue(self.now, PARK_TIME_S):
            assert each.link is None
            assert self.now - each.waiting_since >= PARK_TIME_S
            self.close(each.id)
        assert not self.table.overdue(self.now, PARK_TIME_S)

    @invariant()
    def none_is_lost_or_served_twice(self) -> None:
        assert set(self.table.held) == self.added - self.closed
        serving = [number for link in self.table.links for number in link.serving]
        waiting = [each.id for each in self.table.waiting()]
        assert sorted(serving + waiting) == sorted(self.table.held)

    @invariant()
    def both_sides_agree(self) -> None:
        for link in self.table.links:
            assert all(self.table.held[number].link is link for number in link.serving)

    @invariant()
    def nothing_is_remembered_of_what_has_gone(self) -> None:
        assert {name: count for name, count in self.table.counts.items() if count} == {
            name: sum(name in each.counted for each in self.table.held.values())
            for name in ("connections", "from a")
            if any(name in each.counted for each in self.table.held.values())
        }
        assert set(self.table._claims.values()) <= set(self.table.held)


TestTable = TableMachine.TestCase
TestTable.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_a_connection_stays_with_its_index() -> None:
    """A successor finds the calls it knows, and the newest generation is the successor."""
    table: Table[str] = Table()
    old, other = Link("ingest", 0, 1, 1), Link("ingest", 1, 1, 2)
    table.join(old)
    table.join(other)
    connection = held(1)
    table.add(connection, 0)
    table.serve(connection, old)
    assert table.leave(old, 1) == []
    assert table.choose(connection) is None
    new, newest = Link("ingest", 0, 2, 3), Link("ingest", 0, 3, 4)
    table.join(newest)
    table.join(new)
    assert table.choose(connection) is newest
    newest.leaving = True
    assert table.choose(connection) is new


def test_calls_are_spread_by_their_id_and_others_by_load() -> None:
    """All who name a call meet in one process."""
    table: Table[str] = Table()
    links = [Link("fanout", index, 1, index) for index in range(3)]
    for link in links:
        table.join(link)
    chosen = {table.choose(held(number, actor="fanout", affinity=7)) for number in range(5)}
    assert chosen == {links[1]}
    for number in range(10, 16):
        connection = held(number, actor="fanout")
        table.add(connection, 0)
        least = table.choose(connection)
        assert least is not None
        table.serve(connection, least)
    assert [len(link.serving) for link in links] == [2, 2, 2]


def test_fresh_until_its_peer_has_an_answer() -> None:
    """Being offered to a process is not being answered by it: that one may die first."""
    table: Table[str] = Table()
    link = Link("ingest", 0, 1, 1)
    table.join(link)
    connection = held(1)
    table.add(connection, 0)
    table.serve(connection, link)
    table.leave(link, 1)
    assert connection.fresh


def test_a_claim_moves_with_what_the_connection_carries() -> None:
    """What it stood for before is free; a newer connection for that does not end it."""
    table: Table[str] = Table()
    for number in (1, 2):
        table.add(held(number), 0)
    assert table.claim(1, b"first call") is None
    assert table.claim(1, b"second call") is None
    assert table.claim(2, b"first call") is None


def test_who_is_present() -> None:
    """One that leaves takes no connections."""
    table: Table[str] = Table()
    link = Link("console", 0, 1, 1)
    assert not table.has_process("console")
    table.join(link)
    assert table.has_process("console")
    link.leaving = True
    assert not table.has_process("console")


def test_one_that_is_to_be_no_more_gets_nothing() -> None:
    """Where there are fewer processes from now on, their connections go to the others, in a crash too, and new ones at
    once."""
    table: Table[str] = Table({"ingest": 2})
    kept, gone = Link("ingest", 1, 1, 1), Link("ingest", 2, 1, 2)
    table.join(gone)
    served, named = held(1), held(2, affinity=5)
    for connection in (served, named):
        table.add(connection, 0)
        table.serve(connection, gone)
    assert table.choose(held(3)) is None
    assert table.choose(held(3, affinity=2)) is None
    table.join(kept)
    assert table.choose(held(3)) is kept
    assert table.leave(gone, 1) == []
    for connection in (served, named):
        assert table.choose(connection) is kept
    elsewhere = held(4)
    elsewhere.index = 0
    assert table.choose(elsewhere) is None  # it comes back
    other = held(5, actor="fanout")
    other.index = 7
    assert table.choose(other) is None  # nobody has said how many there are
