"""What is delivered in C is delivered as in Python, to whoever listens, whether they keep up or not."""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, cast

import pytest
import trio
import trio.lowlevel
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.fanout.calls.encodings import FRAME_HEADER, EncodedGroup
from actors.fanout.calls.replay_buffer import OFFSET_BITS
from actors.fanout.legacy.listener import Listener
from actors.fanout.native import deliver_in_c
from patchbay.bus.sockets import MAX_MESSAGE_BYTES
from patchbay.protocol import batches
from patchbay.protocol.legacy import ListenQuery
from patchbay.websocket.send_queue import SendQueue
from tests.fakes.connections import tcp_pair
from tests.fakes.listening import FakeBrowser, FakeFanout, started
from tests.fakes.native import examples, needs_c
from tests.fakes.telnyx import start

if TYPE_CHECKING:
    from patchbay.websocket.connection import WebSocketConnection

pytestmark = needs_c
CALLS = ("a", "b")
BUFFER_BYTES = 4608  # the least that Linux gives: some frames
QUEUE_S = 20


class Ear(FakeBrowser):
    """A listener on a real socket, which reads when it is told to."""

    def __init__(
        self, number: int, call: str, track: str, form: str, pair: tuple[socket.socket, socket.socket] | None = None
    ) -> None:
        super().__init__(number)
        self.client, self.server = pair or socket.socketpair()
        for each in (self.client, self.server):
            each.setblocking(False)
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        self.send_queue = SendQueue(self.server, lossy_s=QUEUE_S)  # type: ignore[assignment]
        self.broken = 0
        self.send_queue.on_broken = self._break  # type: ignore[attr-defined]
        self.got = b""
        query = {"call_control_id": [call], "track": [track], "format": [form]}
        self.listener = Listener(cast("WebSocketConnection", self), ListenQuery.parse(query))

    def _break(self) -> None:
        self.broken += 1

    def read(self) -> None:
        with suppress(OSError):
            while data := self.client.recv(1 << 20):
                self.got += data
        cast("SendQueue", self.send_queue).drain()

    def close(self) -> None:
        cast("SendQueue", self.send_queue).detach()
        self.client.close()
        self.server.close()

    def state(self) -> tuple[object, ...]:
        send_queue = cast("SendQueue", self.send_queue)
        return self.got, send_queue.behind, send_queue.broken, send_queue.dropped, send_queue.unsent(), self.broken


class World:
    """A fan-out with two calls, and those who listen to them."""

    def __init__(self, *, c: bool) -> None:
        self.fanout = FakeFanout(in_c=c)
        self.ears: dict[int, Ear] = {}
        self.fanout.hears(*[started(call, stream=self.stream(call), raw=start(call, f"s {call}")) for call in CALLS])

    @staticmethod
    def stream(call: str) -> int:
        return (1 << 63) + CALLS.index(call)

    def join(
        self, number: int, call: str, track: str, form: str, pair: tuple[socket.socket, socket.socket] | None = None
    ) -> None:
        self.ears[number] = ear = Ear(number, call, track, form, pair)
        self.fanout.joins(ear.listener)

    def leave(self, number: int) -> None:
        ear = self.ears.pop(number)
        self.fanout.calls.remove(ear.listener)
        ear.close()

    def close(self) -> None:
        for ear in self.ears.values():
            ear.close()

    def state(self) -> dict[str, object]:
        calls = self.fanout.calls
        return {
            "ears": {number: ear.state() for number, ear in self.ears.items()},
            "heard": calls.delivered,
            "counters": calls.counters,
            "tracks": [
                (call.last_positions, call.repeated, list(call.tracks[0].locations)) for call in calls.live.values()
            ],
        }


def world(*, c: bool) -> closing[World]:
    return closing(World(c=c))


def audio(call: str, chunk: int, track: int, size: int, kind: int = batches.AUDIO) -> bytes:
    payload = bytes([chunk % 256]) * size
    position = batches.NO_NUMBER if chunk < 0 else chunk
    numbers = (position, position, 9, size, batches.NO_TIMESTAMP)
    return batches.pack_entry(kind, track, 1, *numbers, World.stream(call), batches.digest(call)) + payload


calls = st.sampled_from(CALLS)
steps = st.one_of(
    st.tuples(st.just("batch"), st.lists(st.tuples(calls, st.sampled_from([1] * 9 + [0, -1, -3, 4, 3000]),
        st.sampled_from([0, 0, 0, 1, 1, 7]), st.sampled_from([160] * 6 + [80, 0, 170, 330]),
        st.sampled_from([batches.AUDIO] * 12 + [99, batches.ACKNOWLEDGED])), min_size=1, max_size=40)),
    st.tuples(st.just("join"), st.tuples(calls, st.sampled_from(["inbound", "inbound", "outbound", "both"]),
        st.sampled_from(["binary", "binary", "binary", "json"]))),
    st.tuples(st.sampled_from(["read", "read", "shut", "leave"]), st.integers(0, 5)),
    st.tuples(st.just("cut"), st.integers(1, 300)),
    st.tuples(st.just("wait"), st.sampled_from([0.02, 0.5])),
)  # fmt: skip


class Both:
    """The same is done to both worlds."""

    def __init__(self, worlds: list[World]) -> None:
        self.worlds = worlds
        self.last: dict[tuple[str, int], int] = {}
        self.joined = 0

    def do(self, what: str, given: object) -> None:
        numbers = sorted(self.worlds[0].ears)
        if what == "batch":
            batch = [self._entry(*each) for each in cast("list[tuple[str, int, int, int, int]]", given)]
            for each in self.worlds:
                each.fanout.hears(*batch)
        elif what == "cut":
            for each in self.worlds:
                each.fanout.hears(audio("a", 1 << 20, 0, 160) * 2, (b"\x01" * 400)[: cast("int", given)])
        elif what == "join":
            self.joined += 1
            for each in self.worlds:
                each.join(self.joined, *cast("tuple[str, str, str]", given))
        elif what == "wait":
            for each in self.worlds:
                each.fanout.now += cast("float", given)
        elif numbers:
            number = numbers[cast("int", given) % len(numbers)]
            for each in self.worlds:
                if what == "leave":
                    each.leave(number)
                elif what == "read":
                    each.ears[number].read()
                else:
                    each.ears[number].client.close()

    def _entry(self, call: str, further: int, track: int, size: int, kind: int) -> bytes:
        chunk = max(self.last.get((call, track), 0) + further, 0)
        self.last[call, track] = chunk
        return audio(call, -1 if further == 3000 and size == 80 else chunk, track, size, kind)


@settings(max_examples=examples(60))
@given(st.lists(steps, max_size=30))
def test_whatever_happens_both_do_the_same(plan: list[tuple[str, object]]) -> None:
    """Frames in turn and not, of all sizes; listeners that stall, read on, go and come."""

    async def main() -> None:
        with ExitStack() as stack:
            worlds = [stack.enter_context(world(c=c)) for c in (False, True)]
            both = Both(worlds)
            for call in CALLS:
                both.do("join", (call, "inbound", "binary"))
            for what, given in plan:
                both.do(what, given)
                assert worlds[1].state() == worlds[0].state()
            for number in worlds[0].ears:
                for each in worlds:
                    each.ears[number].read()
            assert worlds[1].state() == worlds[0].state()

    trio.run(main, clock=trio.testing.MockClock())


async def test_plain_frames_need_no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the first one after a change of listeners, whose descriptors are looked up then."""
    asked = 0
    deliver = EncodedGroup.deliver

    def count(self: EncodedGroup, batch: bytes, at: int, end: int, now: float) -> int:
        nonlocal asked
        asked += 1
        return deliver(self, batch, at, end, now)

    monkeypatch.setattr(EncodedGroup, "deliver", count)
    with world(c=True) as fanout:
        for number in range(3):
            fanout.join(number, "a", "inbound", "binary")
        fanout.fanout.hears(audio("a", 9, 0, 160), audio("a", 9, 1, 160))  # the first of a track is looked at closely
        for chunk in range(1, 10):
            fanout.fanout.hears(
                *[audio("a", 10 * chunk + index, track, 160) for index in range(10) for track in (0, 1)]
            )
            for ear in fanout.ears.values():
                ear.read()
        assert asked == 1
        expected = b"".join(FRAME_HEADER + bytes([chunk]) * 160 for chunk in range(10, 100))
        assert all(ear.got.endswith(expected) for ear in fanout.ears.values())
        fanout.leave(0)
        fanout.fanout.hears(audio("a", 100, 0, 160), audio("a", 101, 0, 160))
        assert asked == 2
        assert fanout.fanout.calls.delivered == 3 * 91 + 2 * 2


async def test_one_that_is_cut_short_reads_on_whole() -> None:
    """A frame of which the kernel took only a part is finished before anything else, whoever wrote it."""
    with world(c=True) as fanout:
        client, server = tcp_pair()
        fanout.join(1, "a", "inbound", "binary", (client, server))
        send_queue, chunk = cast("SendQueue", fanout.ears[1].send_queue), 0
        while not send_queue.behind and chunk < 50_000:
            chunk += 1
            fanout.fanout.hears(audio("a", chunk, 0, 160))
        assert 0 < len(send_queue.unsent() or b"") < len(FRAME_HEADER) + 160
        fanout.fanout.hears(audio("a", chunk + 1, 0, 160))
        expected = b"".join(FRAME_HEADER + bytes([number % 256]) * 160 for number in range(1, chunk + 2))
        with trio.fail_after(10):
            while not fanout.ears[1].got.endswith(expected):
                await trio.lowlevel.wait_readable(client)
                fanout.ears[1].read()
        assert not send_queue.behind


@pytest.mark.parametrize(
    "arguments", [(), (b"", 0, 0, {}, 0.0), ("", 0, 0, ({}, {}), 0.0), (b"", "", 0, ({}, {}), 0.0)]
)
def test_wrong_arguments_are_refused(arguments: tuple[object, ...]) -> None:
    """With an error, as by Python."""
    deliver = deliver_in_c()
    assert deliver is not None
    with pytest.raises(TypeError):
        deliver(*arguments)  # type: ignore[arg-type]


def test_strange_tracks_are_left_alone() -> None:
    """Objects of other classes are left to Python."""
    deliver = deliver_in_c()
    assert deliver is not None
    batch = audio("a", 1, 0, 160)
    stream = World.stream("a")
    strange: list[object] = [object(), None, 7]
    for track in strange:
        assert deliver(batch, 0, 0, ({stream: track}, {}), 0.0) == (0, 0)  # type: ignore[dict-item]
    for at in (len(batch), len(batch) + 1, 1 << 40, -1):
        assert deliver(batch, at, 0, ({}, {}), 0.0) == (at, 0)


def test_every_place_of_a_message_has_a_number() -> None:
    """Or the frames of a long message would be looked for in another one."""
    assert 1 << OFFSET_BITS >= MAX_MESSAGE_BYTES
