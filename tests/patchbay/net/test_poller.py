"""The poller looks, lets others act, and only then takes; and it never forgets a socket."""

from __future__ import annotations

import select
import socket
import struct
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

from patchbay.net.peek import SO_PEEK_OFF
from patchbay.net.polled import ReadingInC
from patchbay.net.poller import LEAVES_S, Poller
from patchbay.net.socket_reader import BUFFER_BYTES, ENDS_AT_ONCE, LATE_BYTES
from tests.fakes.connections import tcp_pair
from tests.fakes.handovers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LINE = b"x" * 999 + b"\n"


class Lines:
    """A connection whose messages end with a line feed."""

    def __init__(self) -> None:
        self.client, self.sock = tcp_pair()
        self.untaken = 0
        self.take_soon = False
        self.last_heard = -1.0
        self.heard: list[bytes] = []
        self.ended = 0
        self.room = 0
        self.waiting = False
        self.on_room: Callable[[], None] = lambda: None
        self.on_line: Callable[[bytes], None] = lambda line: None

    def handle(self, data: memoryview, at: int, size: int) -> int:
        end = bytes(data[:size]).rfind(b"\n") + 1
        if end <= at:
            return at
        for line in bytes(data[at:end]).split(b"\n")[:-1]:
            self.heard.append(line)
            self.on_line(line)
        return end

    def wait(self) -> None:
        """It has no turns."""

    def end_of_input(self) -> None:
        self.ended += 1

    def writable(self) -> bool:
        self.room += 1
        self.on_room()
        return self.waiting

    async def say(self, data: bytes) -> None:
        """Send it, and wait until it has arrived."""
        self.client.sendall(data)
        await trio.lowlevel.wait_readable(self.sock)

    def left(self) -> bytes:
        """What is in the socket still, wherever the next look begins."""
        seen = self.sock.getsockopt(socket.SOL_SOCKET, SO_PEEK_OFF)
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, -1)
            return self.sock.recv(1 << 20, socket.MSG_PEEK)
        except BlockingIOError:
            return b""
        finally:
            self.sock.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, seen)

    def close(self) -> None:
        self.client.close()
        self.sock.close()


@pytest.fixture
def lines() -> Iterator[Lines]:
    made = Lines()
    yield made
    made.close()


@pytest.fixture(params=[False, True], ids=["soon", "late"])
def make(request: pytest.FixtureRequest) -> Callable[..., Poller]:
    """Pumps that take what they have handled with the next round, and such that take it when there is much."""
    return partial(Poller, take_late=request.param)


def ready(poller: Poller) -> bool:
    """Whether the poller would be woken."""
    poll = select.poll()
    poll.register(poller._epoll.fileno(), select.POLLIN)
    return bool(poll.poll(0))


async def test_takes_only_at_the_next_round(lines: Lines) -> None:
    """A message is handled once, and stays in the socket until what it led to has left."""
    in_socket_at_the_end: list[bytes] = []
    poller = Poller(0, lambda: in_socket_at_the_end.append(lines.left()))
    poller.add(lines)
    await lines.say(b"one\ntwo\nthr")
    poller.round()
    assert lines.heard == [b"one", b"two"]
    poller.round()
    assert lines.heard == [b"one", b"two"]
    assert lines.left() == b"thr"
    assert in_socket_at_the_end == [b"one\ntwo\nthr", b"thr"]


async def test_a_crash_in_between_leaves_the_messages(lines: Lines, make: Callable[..., Poller]) -> None:
    """The next poller, of another process, hears what the first one had handled but not taken."""
    first = make(0)
    first.add(lines)
    await lines.say(b"one\n")
    first.round()
    del first
    lines.untaken = 0
    second = make(0)
    second.add(lines)
    second.round()
    assert lines.heard == [b"one", b"one"]


async def test_removing_takes_what_was_handled_and_nothing_else(lines: Lines, make: Callable[..., Poller]) -> None:
    """A planned end: a successor begins with the first message that was not handled."""
    poller = make(0)
    poller.add(lines)
    await lines.say(b"one\n")
    poller.round()
    lines.client.sendall(b"two\n")
    poller.remove(lines)
    poller.remove(lines)
    assert lines.left() == b"two\n"


async def test_more_than_a_buffer_is_read_without_a_new_edge(lines: Lines, make: Callable[..., Poller]) -> None:
    """The rest is looked at in the next rounds although nothing new arrives."""
    lines.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    count = BUFFER_BYTES * 4 // len(LINE)
    poller = make(0)
    await lines.say(LINE * count)
    poller.add(lines)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            while len(lines.heard) < count:
                await trio.lowlevel.checkpoint()
            poller.take_handled()
            while lines.left():
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()


async def test_messages_before_the_end_are_heard(lines: Lines, make: Callable[..., Poller]) -> None:
    """A peer that says something and closes is heard first, and ends once."""
    poller = make(0)
    poller.add(lines)
    lines.client.sendall(b"one\ntw")
    lines.client.close()
    with trio.fail_after(20):
        while not lines.ended:
            await trio.lowlevel.checkpoint()
            poller.round()
    assert lines.heard == [b"one"]
    assert lines.ended == 1


async def test_a_reset_ends(lines: Lines, make: Callable[..., Poller]) -> None:
    """No exception, an end."""
    poller = make(0)
    poller.add(lines)
    lines.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    lines.client.close()
    await trio.lowlevel.wait_readable(lines.sock)
    poller.round()
    assert lines.ended == 1


async def test_a_fault_of_ours_ends_one_connection(
    lines: Lines, caplog: pytest.LogCaptureFixture, make: Callable[..., Poller]
) -> None:
    """The others go on."""
    other = Lines()
    poller = make(0)
    poller.add(lines)
    poller.add(other)

    def fail(line: bytes) -> None:
        raise RuntimeError(line)

    lines.on_line = fail
    await lines.say(b"one\n")
    await other.say(b"two\n")
    poller.round()
    assert (lines.ended, other.ended, poller.failed) == (1, 0, 1)
    assert other.heard == [b"two"]
    assert "fault of ours" in caplog.text
    other.close()


async def test_room_is_told_to_those_who_wait_for_it(lines: Lines, make: Callable[..., Poller]) -> None:
    """Not before there is some, and no more once nothing waits; being read otherwise in between changes nothing."""
    poller = make(0)
    poller.add(lines)
    poller.round()
    with pytest.raises(BlockingIOError):
        while True:
            lines.sock.send(b"x" * 65536)
    lines.waiting = True
    poller.want_write(lines)
    poller.read_periodically(lines)
    poller.read_on_arrival(lines)
    poller.round()
    assert lines.room == 0
    with trio.fail_after(20):
        while not lines.room:
            await trio.lowlevel.wait_readable(lines.client)
            lines.client.recv(1 << 20)
            poller.round()
    lines.waiting = False
    poller.want_write(lines)
    poller.round()
    poller.round()
    assert lines.room == 2


async def test_a_connection_may_leave_when_it_is_told_of_room(lines: Lines, make: Callable[..., Poller]) -> None:
    """As one does that breaks while it writes."""
    poller = make(0)
    poller.add(lines)
    lines.on_room = lambda: poller.remove(lines)
    poller.want_write(lines)
    poller.round()
    assert (lines.room, lines.ended) == (1, 0)


async def test_periodic_connections_are_read_periodically(lines: Lines, autojump_clock: trio.testing.MockClock) -> None:
    """They wake nobody, are read in batches, and are still taken only after their messages have left."""
    sent: list[bytes] = []
    poller = Poller(0, lambda: sent.append(lines.left()), periodic_read_s=0.1)
    poller.add(lines)
    poller.round()
    poller.read_periodically(lines)
    poller.round()
    await lines.say(b"one\n")
    assert not ready(poller)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(poller.run_periodic)
        await trio.sleep(0.11)
        assert lines.heard == [b"one"]
        assert sent[-1] == b"one\n"
        await trio.sleep(0.11)
        assert lines.left() == b""
        lines.client.sendall(b"two\nthree\n")
        await trio.sleep(0.11)
        assert lines.heard == [b"one", b"two", b"three"]
        nursery.cancel_scope.cancel()


async def test_a_connection_is_read_on_arrival_again_and_hears_nothing_twice(
    lines: Lines, make: Callable[..., Poller]
) -> None:
    """What was handled while it was read periodically is taken as everything else."""
    poller = make(0)
    poller.add(lines)
    poller.round()
    poller.read_periodically(lines)
    await lines.say(b"one\n")
    poller.read_now(lines)
    poller.read_on_arrival(lines)
    assert lines.left() == b"one\n"
    poller.read_on_arrival(lines)
    lines.client.sendall(b"two\n")
    await trio.lowlevel.wait_readable(lines.sock)
    poller.round()
    assert lines.heard == [b"one", b"two"]


async def test_read_on_arrival_from_its_own_message_on(lines: Lines, make: Callable[..., Poller]) -> None:
    """Nothing is stuck, and nothing is heard twice."""
    poller = make(0.001, periodic_read_s=0.01)
    poller.add(lines)
    poller.round()
    poller.read_periodically(lines)
    lines.on_line = lambda line: poller.read_on_arrival(lines)
    count = BUFFER_BYTES * 3 // len(LINE)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            nursery.start_soon(poller.run_periodic)
            client = trio.SocketStream(trio.socket.from_stdlib_socket(lines.client))
            await client.send_all(b"first\n")
            for _ in range(count):
                await client.send_all(LINE)
            await until(lambda: len(lines.heard) == count + 1)
            poller.take_handled()
            await until(lambda: not lines.left())
            nursery.cancel_scope.cancel()
    assert len(lines.heard) == count + 1


async def test_a_periodic_connection_that_has_gone_ends_soon_without_spinning(
    lines: Lines, make: Callable[..., Poller]
) -> None:
    """Also while it holds what was handled but not taken."""
    poller = make(0.001, periodic_read_s=60)
    poller.add(lines)
    poller.round()
    poller.read_periodically(lines)
    await lines.say(b"one\n")
    lines.untaken = 4  # as after a periodic reading
    lines.client.close()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            await until(lambda: lines.ended)
            await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert lines.ended == 1
    assert poller.rounds < 8


async def test_sleeps_while_nothing_happens(lines: Lines) -> None:
    """One round for what is there, one to take it, then none."""
    poller = Poller(0)
    poller.add(lines)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(poller.run)
        await wait_all_tasks_blocked(0.01)
        before = poller.rounds
        lines.client.sendall(b"one\n")
        with trio.fail_after(20):
            while not lines.heard or lines.left():
                await trio.lowlevel.checkpoint()
        await wait_all_tasks_blocked(0.01)
        assert poller.rounds <= before + 3
        nursery.cancel_scope.cancel()


async def test_a_message_cut_by_the_buffer_is_not_forgotten(lines: Lines) -> None:
    """What was handled and not taken yet leaves little room in the buffer: the message behind it is seen later."""
    lines.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    poller = Poller(0)
    poller.add(lines)
    count = BUFFER_BYTES // len(LINE)
    await lines.say(LINE * count)
    poller.round()
    poller._untaken.clear()  # as when it is served twice in one round
    lines.client.sendall(LINE)
    await trio.sleep(0.001)
    poller.round()
    assert len(lines.heard) == count
    poller.round()
    assert len(lines.heard) == count + 1


async def test_takes_much_at_once_when_frames_may_come_twice(lines: Lines) -> None:
    """Nothing is heard twice for that, and a part of a message is seen again with its rest."""
    poller = Poller(0, take_late=True)
    poller.add(lines)
    await lines.say(b"one\ntw")
    poller.round()
    await lines.say(b"o\n")
    poller.round()
    poller.round()
    assert lines.heard == [b"one", b"two"]
    assert lines.left() == b"one\ntwo\n"
    await trio.sleep(LEAVES_S)
    await lines.say(LINE * (LATE_BYTES // len(LINE) + 1))
    poller.round()
    poller.round()  # the next one, right behind: the bus may not have sent anything
    poller.round()
    assert lines.left() != b""
    for _ in range(2):
        await trio.sleep(LEAVES_S)
        poller.round()
    assert lines.left() == b""


async def test_takes_soon_what_must_not_come_twice(lines: Lines) -> None:
    """Whoever handles it says so; and what lies for long is taken when that is asked for."""
    poller = Poller(0, take_late=True)
    poller.add(lines)

    def handle(line: bytes) -> None:
        lines.take_soon = line == b"once"

    lines.on_line = handle
    await lines.say(b"one\n")
    assert not poller.round()
    await lines.say(b"once\n")
    assert poller.round()
    poller.round()
    assert lines.left() == b""
    await lines.say(b"two\n")
    poller.round()
    poller.take_handled(silent_s=60)  # it has spoken since
    assert lines.left() == b"two\n"
    poller.take_handled()
    assert lines.left() == b""


async def test_who_comes_after_looks_from_the_front(lines: Lines) -> None:
    """The kernel has forgotten how far the first one had looked."""
    poller = Poller(0, take_late=True)
    poller.add(lines)
    await lines.say(b"one\ntw")
    poller.round()
    poller.remove(lines)
    assert lines.sock.recv(10, socket.MSG_PEEK) == b"tw"
    assert lines.sock.recv(10, socket.MSG_PEEK) == b"tw"


async def test_few_frames_wake_it_once_each(lines: Lines) -> None:
    """Nothing is to be taken, so there is nothing to come back for."""
    poller = Poller(0.001, take_late=True)
    poller.add(lines)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(poller.run)
        await wait_all_tasks_blocked(0.01)
        for _ in range(3):
            before = poller.rounds
            lines.heard.clear()
            lines.client.sendall(b"one\n")
            await until(lambda: bool(lines.heard))
            await wait_all_tasks_blocked(0.01)
            assert poller.rounds == before + 1
        nursery.cancel_scope.cancel()


async def test_a_periodic_connection_can_be_read_now(lines: Lines, make: Callable[..., Poller]) -> None:
    """One that is read on arrival is not: what it has is seen in the next round anyway."""
    poller = make(0)
    poller.add(lines)
    poller.round()
    await lines.say(b"one\n")
    poller.read_now(lines)
    assert lines.heard == []
    poller.read_periodically(lines)
    poller.read_now(lines)
    poller.read_now(lines)
    assert lines.heard == [b"one"]
    poller.read_on_arrival(lines)
    poller.round()
    assert lines.heard == [b"one"]


async def test_takes_what_was_seen_in_several_looks(lines: Lines, make: Callable[..., Poller]) -> None:
    """It may be more than a look shows at once."""
    poller = make(0)
    count = BUFFER_BYTES // len(LINE) + 20
    lines.client.sendall(LINE * (count + 1))
    await until(lambda: len(lines.sock.recv(2 * BUFFER_BYTES, socket.MSG_PEEK)) == len(LINE) * (count + 1))
    poller.add(lines)
    lines.untaken = len(LINE) * count
    poller.remove(lines)
    assert lines.sock.recv(BUFFER_BYTES) == LINE


@pytest.mark.parametrize("reset", [False, True])
async def test_a_crowd_ends_a_few_at_a_time(reset: bool) -> None:
    """With rounds for the others in between; each is told once."""
    crowd = [Lines() for _ in range(3 * ENDS_AT_ONCE + 1)]
    poller = Poller(0, take_late=True)
    for lines in crowd:
        poller.add(lines)
        if reset:
            lines.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        lines.client.close()
    ended: list[int] = []
    while not ended or ended[-1] < len(crowd):
        more = poller.round()
        for lines in crowd:
            if lines.ended:
                poller.remove(lines)
        ended.append(sum(lines.ended for lines in crowd))
        assert more or ended[-1] == len(crowd)
    assert ended == [3, 6, 9, 10]
    for lines in crowd:
        lines.sock.close()


@pytest.mark.parametrize("what", ["serve", "take"])
@pytest.mark.parametrize("take_late", [False, True])
async def test_a_fault_in_c_is_done_without(
    lines: Lines, what: str, take_late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is ended for it, and what epoll had told is not forgotten."""

    def fail(*_: object) -> Any:
        raise MemoryError

    def nothing_there(*_: object) -> int:
        return 0

    poller = Poller(0, take_late=take_late, in_c=ReadingInC(fail if what == "serve" else nothing_there, fail))
    poller.add(lines)
    await lines.say(b"one\n")
    poller.round()
    poller.round()
    await lines.say(b"two\n")
    poller.round()
    poller.round()
    assert (lines.heard, lines.ended) == ([b"one", b"two"], 0)
    assert poller.counters["native_failed"] == 1
    assert "in Python from now on" in caplog.text
