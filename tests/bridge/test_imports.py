"""What fan-outs get of other nodes' calls."""

from __future__ import annotations

import pytest

from actors.bridge.imports import LIVE_INTERVAL_S, Imports
from patchbay.bus.batcher import INTEREST_GRACE_S, Batcher
from patchbay.process.identity import Identity
from patchbay.protocol import batches
from tests.bridge.batches import EPOCH, audio, batch, entries_of

CALL, OTHER = b"c" * 16, b"d" * 16
START = batches.news_entry(batches.START, 5, CALL, b"start")
FLOOR = batches.news_entry(batches.FLOOR, 5, CALL, b"{}")


class Publisher:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send_nowait(self, frame: bytes) -> bool:
        self.sent.append(frame)
        return True


class World:
    """The imports of a bridge, and what two fan-outs get."""

    def __init__(self) -> None:
        self.publisher = Publisher()
        self.wanted: list[tuple[bytes, bool]] = []
        self.batcher = Batcher(
            self.publisher,  # type: ignore[arg-type]
            Identity("bridge", batches.BRIDGE),
            on_fanout=lambda index: None,
            on_interest=lambda call: self.imports.on_interest(call),
        )
        self.imports = Imports(self.batcher, "b", lambda call, wanted: self.wanted.append((call, wanted)))

    def subscribes(self, index: int, *calls: bytes) -> None:
        for topic in (batches.batch_topic(index), *(batches.interest_topic(index, call) for call in calls)):
            self.batcher.on_subscription(b"\x01" + topic)

    def gets(self, *entries: bytes, node: str = "a:1", sequence: int = 1) -> None:
        self.imports.receive(node, batch(0, *entries, sequence=sequence)[batches.TOPIC_BYTES :])

    def told(self, index: int) -> list[tuple[int, int]]:
        """Kinds and sequences of the entries that a fan-out has got."""
        mine = [message for message in self.publisher.sent if message[:2] == batches.batch_topic(index)]
        return [
            (entry.kind, batches.unpack_batch(message)[0].sequence) for message in mine for entry in entries_of(message)
        ]


async def test_a_call_goes_to_those_who_want_it() -> None:
    world = World()
    world.subscribes(0, CALL)
    world.subscribes(1, OTHER)
    assert (CALL, True) in world.wanted
    world.publisher.sent.clear()
    world.gets(START, audio(CALL, 5, 1), sequence=7)
    assert world.told(0) == [(batches.ACKNOWLEDGED, 7), (batches.START, 7), (batches.AUDIO, 7)]
    assert (batches.START, 7) not in world.told(1)
    header, _ = batches.unpack_batch(world.publisher.sent[0])
    assert (header.ingest, header.slot, header.epoch) == (batches.BRIDGE, "b", EPOCH)


async def test_who_comes_later_is_told_what_is_known() -> None:
    world = World()
    world.subscribes(0, CALL)
    world.gets(START, FLOOR)
    world.publisher.sent.clear()
    world.subscribes(1, CALL)
    assert {(batches.START, 0), (batches.FLOOR, 0)} <= set(world.told(1))


async def test_interest_before_presence() -> None:
    """The topics of a fan-out that comes may be told in any order."""
    world = World()
    world.batcher.on_subscription(b"\x01" + batches.interest_topic(0, CALL))
    assert world.wanted == [(CALL, False)]
    world.batcher.on_subscription(b"\x01" + batches.batch_topic(0))
    assert world.wanted[-1] == (CALL, True)


async def test_a_node_that_is_lost() -> None:
    world = World()
    world.subscribes(0, CALL)
    world.gets(START)
    world.publisher.sent.clear()
    assert world.imports.lose("b:1") == []
    assert world.imports.lose("a:1") == [CALL]
    assert world.told(0) == [(batches.GONE, 0)]
    assert world.imports.node_of(CALL) is None


async def test_the_later_stream_counts() -> None:
    world = World()
    world.subscribes(0, CALL)
    world.gets(START)
    world.gets(batches.news_entry(batches.START, 6, CALL), node="b:1")
    assert world.imports.node_of(CALL) == "b:1"
    world.gets(START, batches.news_entry(batches.GONE, 5, CALL))
    assert world.imports.node_of(CALL) == "b:1"
    world.gets(batches.news_entry(batches.STOP, 6, CALL), node="b:1")
    assert world.imports.node_of(CALL) is None


async def test_all_are_told_which_calls_are_live() -> None:
    world = World()
    world.subscribes(0, CALL)
    world.gets(START)
    world.publisher.sent.clear()
    world.imports.on_second(100.0)
    world.imports.on_second(100.0 + LIVE_INTERVAL_S / 2)
    (entry,) = [each for each in entries_of(world.publisher.sent[0]) if each.kind == batches.LIVE]
    assert entry.payload == (5).to_bytes(8, "little")
    assert len(world.publisher.sent) == 1


async def test_a_talker_is_told_wherever_it_is() -> None:
    world = World()
    world.subscribes(0, CALL)
    world.subscribes(1)
    world.publisher.sent.clear()
    world.gets(batches.news_entry(batches.REFUSED, 0, CALL, b"{}"))
    assert (batches.REFUSED, 1) in world.told(0)
    assert (batches.REFUSED, 1) in world.told(1)


async def test_what_nobody_wants_is_forgotten(autojump_clock: object) -> None:
    world = World()
    world.subscribes(0, CALL)
    world.gets(START)
    world.batcher.on_subscription(b"\x00" + batches.interest_topic(0, CALL))
    world.imports.on_second(INTEREST_GRACE_S + 1)
    assert world.wanted[-1] == (CALL, False)
    assert len(world.imports) == 0


@pytest.mark.parametrize("cut", [1, 100, 170])
async def test_a_batch_that_is_cut_short_harms_itself_only(cut: int) -> None:
    world = World()
    world.subscribes(0, CALL)
    whole = batch(0, START, audio(CALL, 5, 1))[batches.TOPIC_BYTES :]
    with pytest.raises(batches.BusFormatError):
        world.imports.receive("a:1", whole[:-cut])
    assert world.imports.node_of(CALL) == "a:1"
    world.gets(audio(CALL, 5, 2), sequence=2)
    assert (batches.AUDIO, 2) in world.told(0)
