"""What crosses to other nodes."""

from __future__ import annotations

import pytest

from actors.bridge import messages
from actors.bridge.exports import SILENT_S, Exports
from actors.bridge.local_calls import LocalCalls
from patchbay.protocol import batches
from tests.bridge.batches import audio, batch, entries_of

HEARD, UNHEARD, UNKNOWN = b"h" * 16, b"u" * 16, b"x" * 16


class World:
    """A bridge's exports, what they have subscribed to, and what they have sent."""

    def __init__(self) -> None:
        self.calls = LocalCalls()
        starts = [batches.news_entry(batches.START, number, call) for number, call in ((1, HEARD), (2, UNHEARD))]
        self.calls.receive(batch(batches.BRIDGE, *starts), 0.0)
        self.topics: list[bytes] = []
        self.sent: list[tuple[bytes, bytes]] = []
        self.exports = Exports(self.calls, self.topics.append, self.topics.remove, self.send)

    def send(self, connection: bytes, message: bytes) -> bool:
        self.sent.append((connection, message))
        return True

    def says(self, connection: bytes, message: bytes, node: str = "b:1", now: float = 0.0) -> bytes | None:
        return self.exports.receive(connection, node, message, now)

    def greets(self, connection: bytes = b"1", node: str = "b:1", *calls: bytes, index: int = 0) -> None:
        self.says(connection, messages.hello(node, index, calls), node)

    def told(self, connection: bytes = b"1") -> list[bytes]:
        return [message[:1] for to, message in self.sent if to == connection]


def test_a_node_gets_what_it_wants_and_no_more() -> None:
    world = World()
    world.greets(b"1", "b:1", HEARD)
    assert world.told() == [messages.WELCOME, messages.BATCH]
    index = messages.read_welcome(world.sent[0][1]).index
    assert world.topics == [batches.batch_topic(index), batches.interest_topic(index, HEARD)]
    world.sent.clear()
    world.exports.pass_on(batch(index, audio(HEARD, 1, 1), audio(UNHEARD, 2, 1), audio(HEARD, 1, 2), sequence=9))
    ((to, message),) = world.sent
    crossed = bytes(batches.TOPIC_BYTES) + message[1:]
    assert to == b"1"
    assert batches.unpack_batch(crossed)[0].sequence == 9
    assert [(entry.call, entry.position) for entry in entries_of(crossed)] == [(HEARD, 1), (HEARD, 2)]


def test_nothing_is_sent_of_other_calls() -> None:
    world = World()
    world.greets(b"1", "b:1", HEARD)
    world.sent.clear()
    world.exports.pass_on(batch(batches.NODES[0], audio(UNHEARD, 2, 1)))
    world.exports.pass_on(batch(batches.NODES[5], audio(HEARD, 1, 1)))
    assert not world.sent


def test_a_call_that_is_not_here() -> None:
    world = World()
    world.greets(b"1", "b:1", UNKNOWN)
    assert world.sent[-1] == (b"1", messages.NOT_HERE + UNKNOWN)


def test_two_connections_of_one_node_are_one_fanout() -> None:
    """While the bridge of that node is replaced."""
    world = World()
    world.greets(b"1", "b:1", HEARD)
    world.greets(b"2", "b:1", HEARD, index=200)
    world.sent.clear()
    world.exports.pass_on(batch(batches.NODES[0], audio(HEARD, 1, 1)))
    assert {to for to, _ in world.sent} == {b"1", b"2"}
    world.exports.forget(b"1")
    assert batches.interest_topic(batches.NODES[0], HEARD) in world.topics
    world.exports.forget(b"2")
    assert not world.topics


def test_a_node_keeps_its_index() -> None:
    """The batches' numbers go on, so none is taken for one that has come before."""
    world = World()
    world.greets(b"1", "b:1", HEARD, index=200)
    world.greets(b"2", "c:1", HEARD, index=200)
    indexes = [messages.read_welcome(message).index for _, message in world.sent if message[:1] == messages.WELCOME]
    assert indexes == [200, batches.NODES[0]]


def test_interest_ends() -> None:
    world = World()
    world.greets(b"1", "b:1", HEARD)
    world.says(b"1", messages.about(messages.UNWANT, [HEARD]))
    assert world.topics == [batches.batch_topic(batches.NODES[0])]
    world.says(b"1", messages.about(messages.WANT, [HEARD, UNHEARD]))
    assert len(world.topics) == 3


def test_silence_is_the_end() -> None:
    world = World()
    world.greets()
    world.says(b"1", messages.PING, now=1.0)
    world.exports.forget_silent(1.0 + SILENT_S)
    assert world.exports.nodes == ["b:1"]
    world.exports.forget_silent(1.1 + SILENT_S)
    assert world.exports.nodes == []


def test_who_is_not_known_is_asked() -> None:
    world = World()
    world.says(b"1", messages.PING)
    assert world.told() == [messages.UNKNOWN]


def test_nobody_speaks_in_anothers_name() -> None:
    with pytest.raises(messages.MalformedMessage):
        World().says(b"1", messages.hello("c:1", 0, []), "b:1")


def test_a_bridge_that_leaves_sends_connections_on() -> None:
    world = World()
    world.greets()
    world.exports.leave()
    assert world.told()[-1] == messages.LEAVING
    world.greets(b"2")
    assert world.told(b"2") == [messages.LEAVING]
    assert world.exports.nodes == ["b:1"]


def test_talk_comes_from_the_node() -> None:
    """What is told its talker goes back through the node, whatever process has sent it there."""
    world = World()
    world.greets()
    talk = batches.pack_talk(batches.TALK, 3, 9, HEARD, b"x") + batches.pack_talk(
        batches.TALK, batches.NOBODY, 9, HEARD
    )
    found = world.says(b"1", messages.TALK + talk)
    assert found is not None
    assert [each.fanout_index for each in batches.unpack_talk(found)] == [batches.NODES[0], batches.NOBODY]
    with pytest.raises(batches.BusFormatError):
        world.says(b"1", messages.TALK + talk[:-1])


def test_more_nodes_than_there_are_numbers() -> None:
    world = World()
    for number in batches.NODES:
        world.greets(bytes([number]), f"{number}:1")
    with pytest.raises(messages.MalformedMessage):
        world.greets(b"more", "more:1")


@pytest.mark.parametrize("message", [b"", b"?", messages.WANT + b"short", messages.HELLO + b"\xc1"])
def test_rubbish_changes_nothing(message: bytes) -> None:
    world = World()
    world.greets()
    topics = list(world.topics)
    with pytest.raises(messages.MalformedMessage):
        world.says(b"1", message)
    assert world.topics == topics
