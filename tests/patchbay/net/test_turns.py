"""Everybody has a turn before anybody has another; more connections are not more turns."""

from __future__ import annotations

import pytest

from patchbay.net.turns import (
    BURSTS_A_ROUND,
    BYTES_A_TURN,
    FRAMES_A_TURN,
    OWNER_S,
    PLAIN_BYTES_AT_ONCE,
    ROUND_S,
    TURN_S,
    Turns,
)


class World:
    """Turns whose clock is the test's."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns: Turns[str] = Turns(lambda: self.now)

    def has_turn(self, peer: str, *, frames: int = 1, each_s: float = 0.0, size: int = 1) -> int:
        """A peer has so many frames; returns how many are dealt with."""
        owner = peer[0]
        if not self.turns.begin(peer, owner):
            return 0
        done = 0
        while done < frames and self.turns.goes_on(size):
            self.now += each_s
            done += 1
        if done < frames:
            self.turns.wait(peer, owner)
        self.turns.end()
        return done

    def round(self, *, each_s: float = 0.0) -> list[str]:
        """A round in which all that wait have more than a turn takes. Returns who had one."""
        self.turns.new_round()
        had = []
        for _ in range(len(self.turns.waiting)):
            if (called := self.turns.call()) is None:
                break
            had.append(called[0])
            assert self.has_turn(called[0], frames=1000, each_s=each_s)
        return had


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("each_s", "size", "done"),
    [
        (0.0, 1, FRAMES_A_TURN),
        (0.0, BYTES_A_TURN // 4, 4),
        (TURN_S / 3, 1, 3),
        (10.0, 1, 1),
        (0.0, 10 * BYTES_A_TURN, 1),
    ],
    ids=["by count", "by bytes", "by time", "the first, however slow", "the first, however long"],
)
def test_a_turn_ends(each_s: float, size: int, done: int, world: World) -> None:
    assert world.has_turn("a1", frames=1000, each_s=each_s, size=size) == done
    assert world.has_turn("a1") == 0  # before its turn comes
    assert list(world.turns.waiting) == ["a1"]


def test_whoever_has_little_waits_for_nobody(world: World) -> None:
    assert [world.has_turn(peer) for peer in ("a1", "a1", "b1", "a2")] == [1, 1, 1, 1]
    assert not world.turns.waiting


def test_peers_of_one_owner_share_its_turns(world: World) -> None:
    """Ten connections of one token, and one of another: it has every second turn."""
    for peer in (*(f"a{number}" for number in range(10)), "b1"):
        world.has_turn(peer, frames=1000, each_s=TURN_S)
    had = [peer for _ in range(5) for peer in world.round(each_s=TURN_S)]
    assert had.count("b1") == len(had) / 2
    assert max(had.count(f"a{number}") for number in range(10)) <= 2


def test_a_round_ends(world: World) -> None:
    """However many owners there are; and each of them gets on."""
    peers = [f"{chr(ord('A') + number)}1" for number in range(26)]
    for peer in peers:
        world.has_turn(peer, frames=1000)
        world.turns.wait(peer, peer[0])
    assert len(world.round(each_s=TURN_S)) == ROUND_S // TURN_S
    assert set(peers) == {peer for _ in range(10) for peer in world.round(each_s=TURN_S)}


def test_an_owner_has_so_much_of_a_round(world: World) -> None:
    spent = 0.0
    for number in range(100):
        before = world.now
        world.has_turn(f"a{number}", frames=2, each_s=TURN_S / 2)
        spent += world.now - before
    assert spent == pytest.approx(OWNER_S)
    assert world.has_turn("b1") == 1


def test_who_has_gone_is_known_when_the_turn_comes(world: World) -> None:
    assert not world.turns.note_gone("a1", True)
    world.has_turn("a1", frames=1000)
    assert world.turns.note_gone("a1", True)
    assert world.turns.note_gone("a1", False)
    assert world.turns.call() == ("a1", True)
    assert world.turns.call() is None


def test_who_is_served_no_more_has_no_turn(world: World) -> None:
    for peer in ("a1", "a2", "b1"):
        world.has_turn(peer, frames=1000)
        world.turns.forget(peer)
    world.turns.forget("c1")
    assert not world.turns.waiting
    assert world.turns.call() is None


def test_plain_frames_in_bursts(world: World) -> None:
    """What lawful peers have at once goes through, even from many; beyond, what is left waits."""
    assert world.turns.is_burst(PLAIN_BYTES_AT_ONCE + 1)
    assert not any(world.turns.is_burst(1000) for _ in range(BURSTS_A_ROUND - 1))
    assert world.turns.is_burst(1000)
    world.turns.new_round()
    assert not world.turns.is_burst(1000)
