"""Everybody has a turn before anybody has another; more connections are not more turns."""

from __future__ import annotations

import pytest

from patchbay.net.turns import (
    BYTES_A_TURN,
    FEW_BYTES,
    FRAMES_A_TURN,
    OWNER_S,
    PLAIN_BYTES_AT_ONCE,
    READING_S,
    ROUND_S,
    TURN_S,
    Turns,
)

LINGER_S = 0.005


class World:
    """Turns whose clock is the test's."""

    def __init__(self) -> None:
        self.now = 0.0
        self.odd_s = 0.0  # in the last round
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
        began = self.now
        self.turns.new_round()
        had = []
        for _ in range(len(self.turns.waiting)):
            if (called := self.turns.call()) is None:
                break
            had.append(called[0])
            assert self.has_turn(called[0], frames=1000, each_s=each_s)
        self.odd_s = self.now - began
        return had

    def rests(self) -> None:
        """Until the next round, as a poller does under load."""
        self.now += max(0.0, LINGER_S - self.odd_s)


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
    assert set(peers) == {peer for _ in range(20) for peer in world.round(each_s=TURN_S)}


def test_an_owner_has_so_much_of_a_round(world: World) -> None:
    spent = 0.0
    for number in range(100):
        before = world.now
        world.has_turn(f"a{number}", frames=2, each_s=TURN_S / 2)
        spent += world.now - before
    assert spent == pytest.approx(OWNER_S)
    assert world.has_turn("b1") == 1


def test_who_has_gone_is_known_when_the_turn_comes(world: World) -> None:
    assert not world.turns.set_gone("a1", True)
    world.has_turn("a1", frames=1000)
    assert world.turns.set_gone("a1", True)
    assert world.turns.set_gone("a1", False)
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
    """What lawful peers have at once goes through, even from many; a round that has taken long leaves the rest for
    later."""
    assert not world.turns.is_burst(FEW_BYTES)  # without any round
    world.turns.new_round()
    assert world.turns.is_burst(PLAIN_BYTES_AT_ONCE + 1)
    assert not any(world.turns.is_burst(PLAIN_BYTES_AT_ONCE) for _ in range(1000))
    world.now += READING_S
    assert world.turns.is_burst(FEW_BYTES)
    world.turns.new_round()
    assert not world.turns.is_burst(FEW_BYTES)


@pytest.mark.parametrize("owners", [1, 3, 26])
@pytest.mark.parametrize("peers", [1, 40])
def test_a_flood_leaves_time_to_others(owners: int, peers: int, world: World) -> None:
    """However many peers flood, a round ends in time, and a peer with one frame waits until each owner had one turn at
    most."""
    flood = [f"{chr(ord('A') + owner)}{peer}" for owner in range(owners) for peer in range(peers)]
    for peer in flood:
        world.has_turn(peer, frames=1000)
        world.turns.wait(peer, peer[0])
    for _ in range(25):
        for _ in range(8):
            world.round(each_s=TURN_S / 4)
            assert world.odd_s <= ROUND_S + TURN_S
            world.rests()
        waited, served = 0, bool(world.has_turn("z1"))
        while not served:
            waited, served = waited + 1, "z1" in world.round(each_s=TURN_S / 4)
        assert waited <= owners // (ROUND_S // TURN_S) + 1
        world.turns.forget("z1")


def test_a_crowd_is_as_quick_as_ever(world: World) -> None:
    """A page that subscribes to two hundred calls when it opens, of 0.1 ms each: as fast as rounds come."""
    left, rounds = 200, 0
    while left:
        world.turns.new_round()
        rounds += 1
        while left and (rounds == 1 or world.turns.call()):
            left -= world.has_turn("a1", frames=left, each_s=0.0001)
            if rounds == 1:
                break
        world.now += LINGER_S
    assert rounds <= 200 * 0.0001 / OWNER_S + 2
