"""One WebSocket: however its bytes are cut, the same messages; whoever comes after us, the same connection."""

from __future__ import annotations

import gc
import socket
import struct
import weakref
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
import trio.lowlevel
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from patchbay.net.batched_send import BatchedSend, Targets
from patchbay.net.io_uring import IoUring
from patchbay.net.peek import PEEK, set_peek_offset
from patchbay.net.poller import OPENINGS_AT_ONCE, Poller
from patchbay.net.rate_limit import RateLimit
from patchbay.protocol.errors import CLOSE_RESTART
from patchbay.websocket import connection as peer_module
from patchbay.websocket.accept import accept
from patchbay.websocket.fast_path import LONGEST_ALIGNED
from patchbay.websocket.frames import WAITING_FRAGMENTS_MAX, find_frames, text_frame
from patchbay.websocket.send_queue import SendQueue
from tests.fakes.connections import FakeHandedConnection, tcp_pair
from tests.fakes.handovers import until
from tests.fakes.websockets import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    ServerFrames,
    masked,
    upgrade_head,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from patchbay.handover.connection import HandedConnection
    from patchbay.websocket.connection import WebSocketConnection

MESSAGE_MAX = 200_000


class Served:
    """A client, and the peer that serves it."""

    def __init__(self, head: bytes, **about: Any) -> None:
        client, server = tcp_pair()
        self.client = trio.SocketStream(trio.socket.from_stdlib_socket(client))
        self.reads = ServerFrames(self.client)
        self.handed = FakeHandedConnection(server, head, kind="ws", **about)
        self.poller = Poller(0)
        self.send_queue = SendQueue(server, lossy_s=1)
        self.peer: WebSocketConnection | None = None
        self.heard: list[bytes | str | bool] = []
        self.on_repeated: Callable[[bool], object] = lambda again: None
        self.opened = trio.Event()
        self.ended = trio.Event()

    async def run(self) -> None:
        """As an actor's handler."""
        handed = cast("HandedConnection", self.handed)
        with self.handed.scope:
            rate_limit = RateLimit(50.0, 1000.0)
            async with accept(
                handed, self.poller, self.send_queue, message_max_bytes=MESSAGE_MAX, rate_limit=rate_limit
            ) as peer:
                if peer is not None:
                    self.peer = peer
                    peer.on_text = self._on_text
                    peer.on_binary, peer.on_repeated = self.heard.append, self.on_repeated
                    peer.start()
                    self.opened.set()
                    await peer.until_closed()
        self.ended.set()

    def _on_text(self, message: bytes) -> None:
        self.heard.append(message.decode())

    async def until_heard(self, count: int) -> None:
        await until(lambda: len(self.heard) >= count)


@asynccontextmanager
async def serving(head: bytes | None = None, **about: Any) -> AsyncIterator[Served]:
    served = Served(upgrade_head() if head is None else head, **about)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.poller.run)
            nursery.start_soon(served.run)
            yield served
            nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await served.client.aclose()
    served.handed.sock.close()


async def test_shakes_hands_and_says_so() -> None:
    """The gateway is told once the answer is out, so that a successor gives no second one."""
    async with serving() as served:
        assert not served.handed.answered
        assert (await served.reads.answer()).startswith(b"HTTP/1.1 101 ")
        await served.opened.wait()
        assert served.handed.answered


@pytest.mark.parametrize("how", ["their goodbye", "our goodbye", "gone"])
async def test_what_has_ended_is_nobody_elses_to_find(how: str) -> None:
    """Nothing is left that only the collector could free: it would keep audio waiting for as long as a crowd is big."""
    gc.collect()
    gc.disable()
    try:
        async with serving() as served:
            await served.opened.wait()
            ended = weakref.ref(served.peer)
            if how == "our goodbye":
                await served.handed.close(4506, "too many messages")
            elif how == "their goodbye":
                await served.client.send_all(masked(b"", CLOSE))
            else:
                await served.client.aclose()
            await served.ended.wait()
            served.peer = None
            await wait_all_tasks_blocked()
            assert ended() is None
            assert served.send_queue.put is len  # nor does the send queue hold itself, as one does that is behind
    finally:
        gc.enable()


@pytest.mark.parametrize("resumed", [True, False])
async def test_a_crowd_opens_a_few_at_a_time(resumed: bool) -> None:
    """With rounds for those who are there in between. Those who were there before us wait for nobody."""
    async with trio.open_nursery() as nursery:
        served = Served(upgrade_head(), resumed=resumed)
        for _ in range(OPENINGS_AT_ONCE):
            await served.poller.openings.acquire()
        nursery.start_soon(served.poller.run)
        nursery.start_soon(served.run)
        with trio.move_on_after(0.2):
            await served.opened.wait()
        assert served.opened.is_set() == resumed
        served.poller.openings.release()
        with trio.fail_after(5):
            await served.opened.wait()
        assert served.poller.openings.value == 1
        nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await served.client.aclose()
    served.handed.sock.close()


messages = st.one_of(st.text(max_size=200), st.binary(max_size=200), st.just("é" * 40_000))


def frames_of(message: str | bytes, cuts: list[int]) -> bytes:
    """One message as a client may send it: whole, or in fragments, with a ping between them."""
    data = message.encode() if isinstance(message, str) else message
    first = TEXT if isinstance(message, str) else BINARY
    if not cuts:
        return masked(data, first)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges)]
    opcodes = [first & 0x0F, *[0] * (len(pieces) - 1)]
    opcodes[-1] |= 0x80
    return masked(b"", PING).join(masked(piece, code) for piece, code in zip(pieces, opcodes, strict=True))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(messages, st.lists(st.integers(0, 500), max_size=2)), max_size=8),
    st.lists(st.integers(1, 3000), max_size=30),
)
def test_any_split_gives_the_same_messages(sent: list[tuple[str | bytes, list[int]]], cuts: list[int]) -> None:
    """Fast way, fragments, pings in between and very long messages: in order, each once."""

    async def main() -> None:
        async with serving() as served:
            await served.opened.wait()
            data = b"".join(frames_of(message, pieces) for message, pieces in sent)
            at = 0
            for cut in cuts:
                await served.client.send_all(data[at : at + cut])
                at += cut
                await trio.lowlevel.checkpoint()
            await served.client.send_all(data[at:])
            await served.until_heard(len(sent))
            assert served.heard == [message for message, _ in sent]

    trio.run(main)


async def test_messages_of_all_kinds_stay_in_order() -> None:
    """Fragmented ones, very long ones and plain ones, one after the other."""
    async with serving() as served:
        await served.opened.wait()
        sent = []
        for round_ in range(20):
            sent += [f"fragmented {round_}", f"long {round_} " + "x" * (LONGEST_ALIGNED + 1), f"plain {round_}"]
            fragmented = masked(sent[-3].encode()[:5], 0x01) + masked(sent[-3].encode()[5:], CONTINUATION)
            await served.client.send_all(fragmented + masked(sent[-2].encode()) + masked(sent[-1].encode()))
            await trio.lowlevel.checkpoint()
        await served.until_heard(len(sent))
        assert served.heard == sent


@pytest.mark.parametrize("size", [512, 1024, 4096, 16_384, 32_768, 65_535])
@pytest.mark.parametrize("late", [False, True])
async def test_a_long_message_in_fragments_of_any_length(size: int, late: bool) -> None:
    """The fragments that wait in the socket must not fill what is looked at at once."""
    served = Served(upgrade_head())
    served.poller = Poller(0, take_late=late)
    message = bytes(index % 251 for index in range(MESSAGE_MAX - 1000))
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    codes = [0x02, *[0x00] * (len(pieces) - 2), CONTINUATION]
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.poller.run)
            nursery.start_soon(served.run)
            await served.opened.wait()
            for piece, code in zip(pieces, codes, strict=True):
                await served.client.send_all(masked(piece, code))
            await served.until_heard(1)
            assert served.heard == [message]
            nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await served.client.aclose()
    served.handed.sock.close()


async def test_messages_of_medium_length_go_the_plain_way() -> None:
    """As all of Telnyx's media do. The letters of a message that is unmasked wrongly are others, and still text."""
    async with serving() as served:
        await served.opened.wait()
        sent = ["short", "a" * 126, "bcde" * 100, "fgh" * 101]
        await served.client.send_all(masked(sent[0].encode()))
        await served.until_heard(1)  # from here on nothing out of the ordinary is under way
        await served.client.send_all(b"".join(masked(message.encode()) for message in sent[1:]))
        await served.until_heard(len(sent))
        assert served.heard == sent


@pytest.mark.slow
async def test_the_rest_of_a_frame_always_comes() -> None:
    """The kernel counts a segment whole until its last byte is taken, and we leave half frames there: all in a row they
    must not close the window."""
    async with serving() as served:
        await served.opened.wait()
        piece = b"x" * 1024
        served.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 2**20)  # so that segments are big
        await served.client.send_all(masked(piece, BINARY) * 500)
        await served.until_heard(500)


async def test_a_reset_before_the_answer() -> None:
    """Nobody is there to shake hands with; nothing failed in us."""
    served = Served(upgrade_head())
    served.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await served.client.aclose()
    await served.run()
    assert served.peer is None
    served.handed.sock.close()


async def test_what_follows_a_goodbye_counts_for_nothing() -> None:
    """RFC 6455 §5.5.1."""
    async with serving() as served:
        await served.reads.answer()
        await served.opened.wait()
        await served.client.send_all(masked(b"before") + masked(b"\x03\xe8", CLOSE) + masked(b"after"))
        assert await served.reads.close_code() == 1000
        await served.ended.wait()
        assert served.heard == ["before"]


async def test_text_that_can_not_be_any_is_refused_before_its_end() -> None:
    """A frame that is still to be completed need not be waited for."""
    async with serving() as served:
        await served.reads.answer()
        await served.opened.wait()
        await served.client.send_all(masked("é".encode() + b"\xff" + b"x" * 500)[:100])
        assert await served.reads.close_code() == 1007


async def test_a_ping_is_answered() -> None:
    """In the middle of plain frames."""
    async with serving() as served:
        await served.reads.answer()
        await served.client.send_all(masked(b"a") + masked(b"hello", PING) + masked(b"b"))
        assert await served.reads.frame() == (PONG, b"hello")
        await served.until_heard(2)


async def test_pings_of_one_reading() -> None:
    """All are answered; of one that does not read its answers, the last."""
    pings = b"".join(masked(name, PING) for name in (b"1", b"2", b"3"))
    async with serving() as served:
        await served.reads.answer()
        await served.client.send_all(pings)
        assert [await served.reads.frame() for _ in range(3)] == [(PONG, b"1"), (PONG, b"2"), (PONG, b"3")]
        while not served.send_queue.behind:
            served.send_queue.write(text_frame(b"x" * 60_000))
        await served.client.send_all(pings + masked(b"heard"))
        await served.until_heard(1)
        while (frame := await served.reads.frame())[0] != PONG:
            pass
        assert frame == (PONG, b"3")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (masked(b"\xff\xfe"), 1007),
        (masked(b"\x03\xe8bye", CLOSE), 1000),
        (masked(b"x" * (MESSAGE_MAX + 1)), 1009),
        (text_frame(b"a client must mask"), 1002),
        (masked(b"", 0xC1), 1002),
        (masked(b"", CONTINUATION), 1002),
    ],
)
async def test_how_a_connection_closes(sent: bytes, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As RFC 6455 says; and the handler ends."""
    monkeypatch.setattr(peer_module, "CLOSE_TIMEOUT_S", 0.05)
    async with serving() as served:
        await served.reads.answer()
        await served.opened.wait()
        await served.client.send_all(masked(b"before") + sent)
        assert await served.reads.close_code() == code
        if code == 1009:  # here the peer's answer is waited for
            await served.client.send_all(masked(b"\x03\xf1", CLOSE))
        await served.ended.wait()
        assert served.heard[:1] == ["before"]


async def test_we_close_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason goes out, what the peer still says is ignored, and a peer that does not answer is not waited for."""
    monkeypatch.setattr(peer_module, "CLOSE_TIMEOUT_S", 60)
    async with serving() as served:
        await served.reads.answer()
        await served.opened.wait()
        assert served.peer is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.peer.close, 1008, "no")
            assert await served.reads.close_code() == 1008
            await wait_all_tasks_blocked(0.01)
            assert not served.ended.is_set()
            await served.client.send_all(masked(b"too late") + masked(b"\x03\xf0", CLOSE))
            await served.ended.wait()
        assert served.heard == []


async def test_a_goodbye_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a peer that does not answer."""
    monkeypatch.setattr(peer_module, "CLOSE_TIMEOUT_S", 0.05)
    async with serving() as served:
        await served.opened.wait()
        assert served.peer is not None
        await served.peer.close(1008, "no")
        await served.ended.wait()


async def test_closing_one_that_is_broken_harms_nobody() -> None:
    """It may have gone at the same moment."""
    async with serving() as served:
        await served.opened.wait()
        assert served.peer is not None
        served.send_queue.abort()
        await served.peer.close(1008, "no")
        await served.peer.close(1008, "no")
        await served.ended.wait()


async def test_a_peer_that_vanishes_ends_the_handler() -> None:
    """What it said last is heard."""
    async with serving() as served:
        await served.opened.wait()
        await served.client.send_all(masked(b"last words"))
        await served.client.aclose()
        await served.ended.wait()
        assert served.heard == ["last words"]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        upgrade_head().replace(b"Version: 13", b"Version: 8"),
    ],
)
async def test_no_handshake_without_what_it_needs(head: bytes, autojump_clock: trio.testing.MockClock) -> None:
    """The peer gets an answer at once, and the handler ends."""
    async with serving(head) as served:
        with trio.fail_after(1):
            answer = await served.reads.answer()
            assert answer.split()[1] in (b"400", b"426")
            await served.ended.wait()
        assert served.peer is None


async def test_resuming_swallows_exactly_the_answer() -> None:
    """A peer that has had its 101 gets nothing, and then what it is sent; what it said meanwhile is heard."""
    async with serving(resumed=True) as served:
        await served.opened.wait()
        served.send_queue.write_control(text_frame(b"first"))
        assert await served.reads.text() == b"first"
        await served.client.send_all(masked(b"hello", PING))
        assert await served.reads.frame() == (PONG, b"hello")


async def test_a_successor_reads_what_was_not_taken() -> None:
    """And begins with the output that its predecessor left, torn frame first."""
    async with serving() as served:
        await served.reads.answer()
        await served.opened.wait()
        await served.client.send_all(masked(b"one") + masked(b"two")[:4])
        await served.until_heard(1)
        await wait_all_tasks_blocked()
        whole = text_frame(b"a frame in two parts")
        served.handed.sock.send(whole[:5])
        assert served.peer is not None
        served.send_queue.restore(whole[5:] + text_frame(b"next"))
        served.send_queue.write_control(text_frame(b"third"))

        successor = Served(upgrade_head(), resumed=True)
        await successor.client.aclose()
        successor.handed.sock.close()
        successor.handed.sock = served.handed.sock.dup()
        successor.send_queue = SendQueue(successor.handed.sock, lossy_s=1)
        served.peer.park()
        await served.ended.wait()
        assert served.handed.parked == b""  # the socket took it all
        await served.client.send_all(masked(b"two")[4:] + masked(b"three"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(successor.poller.run)
            nursery.start_soon(successor.run)
            await successor.until_heard(2)
            assert served.heard == ["one"]
            assert successor.heard == ["two", "three"]
            texts = [await served.reads.text() for _ in range(3)]
            assert texts == [b"a frame in two parts", b"next", b"third"]
            nursery.cancel_scope.cancel()
        successor.handed.sock.close()


async def test_a_resumed_one_that_we_close_ends() -> None:
    """Though nothing has ever come from its peer."""
    async with serving(resumed=True) as served, trio.open_nursery() as nursery:
        await served.opened.wait()
        await wait_all_tasks_blocked()
        assert served.peer is not None
        nursery.start_soon(served.peer.close, 4506, "too many messages")
        assert (await served.reads.frame())[0] == CLOSE
        await served.client.send_all(masked(struct.pack(">H", 4506), CLOSE))
        await served.ended.wait()


@pytest.mark.parametrize("tail", [b"", masked(b"three")[:5]], ids=["whole", "in part"])
async def test_what_was_looked_at_before_is_told_from_what_comes(tail: bytes) -> None:
    """After a crash, a successor finds all that was not taken; how far had been looked, the kernel knows."""
    served = Served(upgrade_head(), resumed=True)
    served.poller = Poller(0, take_late=True)
    served.on_repeated = served.heard.append
    sock = served.handed.sock
    assert set_peek_offset(sock, 0)
    await served.client.send_all(masked(b"one") + masked(b"two") + tail)
    await trio.lowlevel.wait_readable(sock)
    sock.recv(1000, PEEK)
    await served.client.send_all((masked(b"three"))[len(tail) :] + masked(b"four"))
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.poller.run)
            nursery.start_soon(served.run)
            await served.until_heard(6)
            assert served.heard == [True, "one", "two", False, "three", "four"]
            await served.client.send_all(masked(b"five"))
            await served.until_heard(7)
            assert served.heard[-1] == "five"
            nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await served.client.aclose()
    sock.close()


def write_until_behind(served: Served) -> int:
    """Numbered frames, more than the kernel takes; how many."""
    served.handed.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    written = 0
    while not served.send_queue.behind:
        served.send_queue.write_control(text_frame(b"%05d" % written * 200))
        written += 1
    return written


async def test_parking_leaves_the_output_to_the_successor() -> None:
    """What waits goes along; nothing is written here from then on, whoever still tries."""
    async with serving() as served:
        await served.reads.answer()
        await served.opened.wait()
        written = write_until_behind(served)
        served.send_queue.write_control(text_frame(b"last"))
        assert served.peer is not None
        served.peer.park()
        served.send_queue.write(text_frame(b"not ours"))
        await served.ended.wait()
        assert served.handed.parked is not None
        assert served.handed.parked.endswith(text_frame(b"last"))
        successor = trio.SocketStream(trio.socket.from_stdlib_socket(served.handed.sock.dup()))
        texts = []
        async with successor, trio.open_nursery() as nursery:
            nursery.start_soon(successor.send_all, served.handed.parked)
            while b"last" not in texts:
                texts.append(await served.reads.text())
        assert texts[:-1] == [b"%05d" % index * 200 for index in range(written)]


@pytest.mark.parametrize(
    "sent",
    [masked(b"a", 0x01) + masked(b"b", 0x00) * WAITING_FRAGMENTS_MAX, masked(b"x" * (LONGEST_ALIGNED + 1))[:-1]],
    ids=["many fragments", "half of a long frame"],
)
async def test_not_moved_in_the_middle_of_a_message(sent: bytes) -> None:
    """A successor could make nothing of the rest: the client is asked to come back."""
    async with serving() as served:
        await served.reads.answer()
        await served.opened.wait()
        await served.client.send_all(sent)
        await wait_all_tasks_blocked(0.01)
        assert served.peer is not None
        served.peer.park()
        assert await served.reads.close_code() == CLOSE_RESTART
        await served.ended.wait()
        assert not served.handed.is_transferred


@pytest.mark.parametrize("killed", [True, False])
async def test_a_successor_gets_a_message_in_fragments_whole(killed: bool) -> None:
    """Its first fragment stays in the socket until the last one is there."""
    async with serving() as served:
        await served.reads.answer()
        await served.opened.wait()
        await served.client.send_all(masked(b"before") + masked(b"one ", 0x01))
        await served.until_heard(1)
        await wait_all_tasks_blocked(0.01)
        successor = Served(upgrade_head(), resumed=True)
        await successor.client.aclose()
        successor.handed.sock.close()
        successor.handed.sock = served.handed.sock.dup()
        successor.send_queue = SendQueue(successor.handed.sock, lossy_s=1)
        assert served.peer is not None
        if killed:
            served.handed.scope.cancel()
        else:
            served.peer.park()
        await served.ended.wait()
        await served.client.send_all(masked(b"message", CONTINUATION) + masked(b"\x03\xe8", CLOSE))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(successor.poller.run)
            nursery.start_soon(successor.run)
            assert await served.reads.close_code() == 1000
            await successor.ended.wait()
            nursery.cancel_scope.cancel()
        assert (served.heard, successor.heard) == (["before"], ["one message"])
        successor.handed.sock.close()


@pytest.mark.parametrize("who", ["them", "us"])
@pytest.mark.parametrize("batched_send", [False, True])
async def test_nothing_follows_a_close_frame(who: str, batched_send: bool) -> None:
    """However audio comes, and whatever else is said: RFC 6455 §5.5.1."""
    async with serving() as served:
        await served.reads.answer()
        await served.opened.wait()
        peer, send_queue = served.peer, served.send_queue
        assert peer is not None
        targets = Targets(BatchedSend(IoUring.open() if batched_send else None))
        targets.add(send_queue)
        targets.write(text_frame(b"audio"))
        if who == "us":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(peer.close, 1008, "no")
                while not send_queue.is_close_queued:
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        else:
            await served.client.send_all(masked(b"ping", PING) + masked(b"", CLOSE))
            while not send_queue.is_close_queued:
                await trio.lowlevel.checkpoint()
        targets.write(text_frame(b"more"))
        send_queue.write(text_frame(b"more"))
        send_queue.write_control(text_frame(b"more"))
        send_queue.write_close(text_frame(b"more"))
        assert targets.fds == b""
        assert send_queue.put(b"more") == 4
        await served.ended.wait() if who == "them" else served.handed.scope.cancel()
        frames = []
        with pytest.raises(EOFError):
            served.handed.sock.shutdown(socket.SHUT_RDWR)
            while True:
                frames.append(await served.reads.frame())
        answers = [(PONG, b"ping")] if who == "them" else []
        assert [first for first, _ in frames] == [TEXT, *[first for first, _ in answers], CLOSE]


async def test_a_close_frame_drops_the_audio_that_waits() -> None:
    """One that is behind gets what was said to it, and the close; no audio, which would come after it."""
    async with serving() as served:
        await served.reads.answer()
        await served.opened.wait()
        written = write_until_behind(served)
        served.send_queue.write(text_frame(b"audio"))
        served.send_queue.write_control(text_frame(b"said"))
        await served.client.send_all(masked(b"\x03\xe8", CLOSE))
        texts = [await served.reads.text() for _ in range(written + 1)]
        assert texts[-1] == b"said"
        assert await served.reads.close_code() == 1000
        await served.ended.wait()


@pytest.mark.parametrize("kind", ["pings", "fragments", "bulk"])
async def test_too_many(kind: str) -> None:
    """Are answered with 4506, and nothing more is read; each frame counts, whatever its kind."""
    async with serving() as served:
        await served.reads.answer()
        await served.opened.wait()
        assert served.peer is not None
        flood = masked(b"x", PING if kind == "pings" else 0x00) * 1100
        if kind == "bulk":
            served.peer.read_periodically(partial(_take_all, served.peer))
            served.poller.read_now(served.peer)
            flood = masked(b"y" * 200) * 1100
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.poller.run_periodic)
            await served.client.send_all(masked(b"first", 0x01) + flood if kind == "fragments" else flood)
            assert await served.reads.close_code() == 4506
            await served.ended.wait()
            nursery.cancel_scope.cancel()


def _take_all(peer: WebSocketConnection, data: memoryview, at: int, size: int) -> int:
    frames, _ = find_frames(data, at, size, 1000)
    peer.count(len(frames))
    return frames[-1][3] if frames else at


async def test_a_slow_reader_is_written_to_when_it_reads_again() -> None:
    """The poller wakes what waits."""
    async with serving() as served:
        await served.reads.answer()
        await served.opened.wait()
        written = write_until_behind(served)
        for _ in range(20):
            served.send_queue.write_control(text_frame(b"%05d" % written * 200))
            written += 1
        assert served.peer is not None
        served.peer.read_periodically(lambda data, at, size: at)  # being read otherwise meanwhile changes nothing
        served.peer.read_on_arrival()
        assert [await served.reads.text() for _ in range(written)] == [
            b"%05d" % index * 200 for index in range(written)
        ]


async def test_one_that_does_not_read_is_ended_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Bounded in bytes, whatever it is sent."""
    async with serving() as served:
        await served.opened.wait()
        while served.send_queue.write_control(text_frame(bytes(20_000))):
            pass
        await served.ended.wait()
        assert served.poller.counters["closed_unread"] == 1
        assert "left too many frames unread" in caplog.text
