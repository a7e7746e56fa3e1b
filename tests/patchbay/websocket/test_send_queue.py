"""Whatever the socket takes, the peer reads whole frames, in order; what is too old goes, control frames never."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from patchbay.protocol.handover import MAX_UNSENT_BYTES
from patchbay.websocket.send_queue import CONTROL_MAX, CONTROL_MAX_BYTES, SendQueue, write_to_all
from patchbay.websocket.waiting_frames import LOSSY_MAX_BYTES
from tests.fakes.connections import tcp_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock

LOSSY_S = 0.4


class Sink:
    """A socket's sending side that takes as much as the test allows."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.got = bytearray()
        self.broken = False
        self.calls = 0

    def fileno(self) -> int:
        return -1

    def send(self, data: bytes) -> int:
        self.calls += 1
        if self.broken:
            raise ConnectionResetError
        if not self.room:
            raise BlockingIOError
        count = min(self.room, len(data))
        self.room -= count
        self.got += data[:count]
        return count


def send_queue(sink: Sink, **options: Any) -> SendQueue:
    return SendQueue(cast("socket.socket", sink), lossy_s=LOSSY_S, **options)


def frame(index: int, size: int, control: bool) -> bytes:
    """Says what it is, and how long."""
    kind = b"C" if control else b"L"
    return kind + index.to_bytes(2, "big") + size.to_bytes(2, "big") + bytes([index & 0xFF]) * size


def frames(data: bytes) -> Iterator[tuple[bool, int]]:
    """What a peer reads. Anything torn does not parse."""
    at = 0
    while at < len(data):
        kind, index = data[at : at + 1], int.from_bytes(data[at + 1 : at + 3], "big")
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        assert kind in (b"C", b"L"), "torn"
        assert data[at + 5 : at + 5 + size] == bytes([index & 0xFF]) * size, "torn"
        yield kind == b"C", index
        at += 5 + size


steps = st.lists(
    st.one_of(
        st.tuples(st.just("lossy"), st.integers(0, 60)),
        st.tuples(st.just("control"), st.integers(0, 60)),
        st.tuples(st.just("room"), st.integers(1, 90)),
        st.tuples(st.just("sleep"), st.integers(1, 500)),
        st.tuples(st.just("move"), st.just(0)),
    ),
    max_size=40,
)


@given(steps)
def test_the_peer_reads_whole_frames_in_order(plan: list[tuple[str, int]]) -> None:
    """However the socket cuts them, and whoever goes on with the connection in the middle of one."""

    async def main() -> None:
        sink = Sink()
        box = send_queue(sink)
        written: dict[bool, list[int]] = {True: [], False: []}
        dropped = count = 0
        for what, amount in plan:
            if what in ("lossy", "control"):
                control = what == "control"
                written[control].append(count)
                (box.write_control if control else box.write)(frame(count, amount, control))
                count += 1
            elif what == "room":
                sink.room += amount
                box.drain()
            elif what == "sleep":
                await trio.sleep(amount / 1000)
            else:
                unsent = box.unsent()
                assert unsent is not None
                dropped += box.dropped
                box.detach()
                box.write(b"not for a connection that is somebody else's")
                assert not box.write_control(b"nor this")
                box.drain()
                box = send_queue(sink)
                if unsent:
                    box.restore(unsent)
        sink.room = 1 << 20
        box.drain()
        dropped += box.dropped
        read = list(frames(bytes(sink.got)))
        assert [index for control, index in read if control] == written[True]
        lossy = [index for control, index in read if not control]
        assert lossy == sorted(lossy)
        assert set(lossy) <= set(written[False])
        assert len(lossy) + dropped == len(written[False])
        assert not box.behind
        assert box.unsent() == b""

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@given(steps)
def test_what_is_written_to_all_is_as_if_written_to_each(plan: list[tuple[str, int]]) -> None:
    """Whether a peer keeps up, has fallen behind, or has gone."""

    async def main() -> None:
        sinks = [Sink(), Sink()]
        alone, among = map(send_queue, sinks)
        broken = Sink()
        broken.broken = True
        gone = send_queue(broken)
        for count, (what, amount) in enumerate(plan):
            if what == "lossy":
                alone.write(frame(count, amount, False))
                assert write_to_all((gone, among), frame(count, amount, False)) == 2
            elif what == "control":
                assert alone.write_control(frame(count, amount, True)) == among.write_control(
                    frame(count, amount, True)
                )
            elif what == "room":
                for sink, box in zip(sinks, (alone, among), strict=True):
                    sink.room += amount
                    box.drain()
        assert sinks[0].got == sinks[1].got
        assert (alone.behind, alone.dropped, alone.unsent()) == (among.behind, among.dropped, among.unsent())
        assert gone.broken == any(what == "lossy" for what, _ in plan)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@given(steps)
def test_the_rest_is_told_at_every_step(plan: list[tuple[str, int]]) -> None:
    """A process that dies at any moment leaves word of what its successor must write first."""

    async def main() -> None:
        sink = Sink()
        box = send_queue(sink)
        told = [b""]
        box.on_remainder = told.append
        for count, (what, amount) in enumerate(plan):
            if what in ("lossy", "control"):
                (box.write_control if what == "control" else box.write)(frame(count, amount, what == "control"))
            elif what == "room":
                sink.room += amount
                box.drain()
            assert (box.unsent() or told[-1]).startswith(told[-1])
            list(frames(bytes(sink.got) + told[-1]))

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_one_call_while_the_peer_keeps_up() -> None:
    """The hot path."""
    sink = Sink(1 << 20)
    box = send_queue(sink)
    for index in range(5):
        box.write(frame(index, 10, False))
    assert sink.calls == 5
    assert not box.behind


async def test_the_oldest_goes_when_it_has_waited_too_long(autojump_clock: MockClock) -> None:
    """A listener that reads again is live."""
    sink = Sink()
    box = send_queue(sink)
    for index in range(10):
        box.write(frame(index, 10, False))
        await trio.sleep(0.11)
    sink.room = 1 << 20
    box.drain()
    assert [index for _, index in frames(bytes(sink.got))] == [7, 8, 9]
    assert box.dropped == 7


async def test_lossy_bytes_are_bounded() -> None:
    """Whatever their age."""
    box = send_queue(Sink())
    for _ in range(40):
        box.write(b"x" * 60_000)
    waiting = box.unsent()
    assert waiting is None
    assert box.dropped == 40 - LOSSY_MAX_BYTES // 60_000


async def test_control_frames_break_off_rather_than_pile_up() -> None:
    """Once, and nothing is kept."""
    broken: list[bool] = []
    box = send_queue(Sink(), control_max=3)
    box.on_broken = lambda: broken.append(True)
    assert [box.write_control(b"x") for _ in range(6)] == [True, True, True, False, False, False]
    assert broken == [True]
    assert box.unsent() is None


@pytest.mark.parametrize("waiting", [False, True])
async def test_a_broken_connection_is_told_once(waiting: bool) -> None:
    """By whichever write finds out."""
    broken: list[bool] = []
    sink = Sink()
    box = send_queue(sink)
    box.on_broken = lambda: broken.append(True)
    if waiting:
        box.write(b"x")
    sink.broken = True
    box.write(b"x")
    box.drain()
    assert not box.write_control(b"x")
    box.write(b"x")
    box.drain()
    assert broken == [True]


async def test_too_much_to_move() -> None:
    """Then there is nothing for a successor to begin with."""
    box = send_queue(Sink())
    box.write_control(b"x" * MAX_UNSENT_BYTES)
    assert box.unsent() == b"x" * MAX_UNSENT_BYTES
    box.write_control(b"x")
    assert box.unsent() is None


async def test_over_a_real_socket() -> None:
    """A peer that stops reading, then reads: no byte is missing or doubled."""
    client, server = tcp_pair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    box = SendQueue(server, lossy_s=60)
    count = 0
    while not box.behind:
        box.write_control(frame(count, 997, True))
        count += 1
    for _ in range(20):
        box.write_control(frame(count, 997, True))
        count += 1
    got = bytearray()
    with trio.fail_after(20):
        while len(got) < count * 1002:
            await trio.lowlevel.wait_readable(client)
            got += client.recv(65536)
            box.drain()
    assert [index for _, index in frames(bytes(got))] == list(range(count))
    client.close()
    server.close()


@pytest.mark.parametrize(("size", "count"), [(1, CONTROL_MAX), (16_000, CONTROL_MAX_BYTES // 16_000), (10**6, 0)])
def test_what_waits_of_control_frames_is_bounded(size: int, count: int) -> None:
    """In number and in bytes; one that is longer than that may wait alone."""
    sink = Sink(1)
    box = send_queue(sink)
    broken: list[str] = []
    box.on_broken = lambda: broken.append("broken")
    assert box.write_control(bytes(2))  # which is not taken whole
    for _ in range(max(count, 1)):
        assert box.write_control(bytes(size))
    assert not box.broken
    assert not box.write_control(bytes(size))
    assert box.overflowed
    assert broken == ["broken"]
    assert box._waiting.control_bytes == 0


async def test_what_was_written_does_not_count() -> None:
    sink = Sink(0)
    box = send_queue(sink)
    for _ in range(100):
        assert box.write_control(bytes(100_000))
        sink.room = 1_000_000
        box.drain()
    assert box._waiting.control_bytes == 0
    assert not box.overflowed


def test_a_connection_that_breaks_has_not_overflowed() -> None:
    sink = Sink(0)
    box = send_queue(sink)
    sink.broken = True
    assert not box.write_control(b"x")
    assert not box.overflowed
