"""Talk that is taken in C is taken as in Python: what Telnyx gets, who has the floor, and who is told."""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, cast

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.ingest.native import take_talk_in_c
from actors.ingest.talk.router import TalkRouter
from patchbay.protocol import batches
from patchbay.websocket.send_queue import SendQueue
from tests.fakes.native import examples, needs_c
from tests.fakes.telnyx import FakeIngest, start, stop

if TYPE_CHECKING:
    from actors.ingest.stream.stream import Stream

pytestmark = needs_c
CALLS = ("a", "b")
LOUD, SILENT = b"\x00" * 160, b"\xff" * 160
BUFFER_BYTES = 4608  # the least that Linux gives


class World:
    """An ingest with two calls, whose connections to Telnyx are real sockets."""

    def __init__(self, *, c: bool) -> None:
        self.ingest = FakeIngest(in_c=c)
        self.ingest.fanout(0)
        self.sockets: list[socket.socket] = []
        self.clients: dict[str, socket.socket] = {}
        self.got = dict.fromkeys(CALLS, b"")
        self.streams: dict[str, Stream] = {}
        self.number = 0

    def begin(self, call: str, codec: str) -> None:
        self.number += 1
        client, server = socket.socketpair()
        for end in (client, server):
            end.setblocking(False)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        self.sockets += [client, server]
        self.clients[call] = client
        send_queue = SendQueue(server, lossy_s=1.0)
        self.streams[call] = self.ingest.stream(self.number, start(call, encoding=codec), send_queue=send_queue)

    def read(self, call: str) -> None:
        if call in self.clients:
            with suppress(OSError):
                while data := self.clients[call].recv(1 << 20):
                    self.got[call] += data
            self.streams[call].peer.send_queue.drain()

    def close(self) -> None:
        for stream in self.streams.values():
            stream.peer.send_queue.detach()
        for each in self.sockets:
            each.close()

    def state(self) -> dict[str, object]:
        conversations = self.ingest.streams.talk_router.conversations
        return {
            "got": self.got,
            "told": [tuple(entry) for entry in self.ingest.entries()],
            "refused": self.ingest.streams.talk_router.notifier.refused,
            "paced": conversations and sorted(each.number for each in self.ingest.streams.talk_router._paced),
            "conversations": [
                (
                    stream.number,
                    (each.pacer.sent, each.pacer._waiting_frames, each.pacer.dropped_bytes, each.pacer.skipped),
                    each.pacer._played_at,
                    (each.floor._talker, each.floor._admin, each.floor._sent_at, each.floor._spoke_at),
                )
                for stream, each in conversations.items()
            ],
            "send_queues": [
                (send_queue.behind, send_queue.broken, send_queue.unsent())
                for stream in self.streams.values()
                for send_queue in [stream.peer.send_queue]
            ],
        }


def world(*, c: bool) -> closing[World]:
    return closing(World(c=c))


pieces = st.tuples(
    st.sampled_from(
        [batches.TALK] * 6
        + [batches.TALK_PREEMPT, batches.TALK_STOP, batches.TALK_CLAIM, batches.TALK_CLAIM_PREEMPT, 77]
        + [batches.TALK_MARK, batches.TALK_CLEAR, batches.TALK_MARK_SENT]
    ),
    st.sampled_from([1, 1, 1, 1, 2, (1 << 64) - 1]),
    st.sampled_from([*CALLS, "a", "a", "nobody's"]),
    st.sampled_from([LOUD] * 4 + [SILENT, SILENT[:159] + b"\x00", LOUD[:80], b"", LOUD * 2, LOUD + b"\x00"]),
)
steps = st.one_of(
    st.tuples(st.just("say"), st.lists(pieces, min_size=1, max_size=12)),
    st.tuples(st.just("say"), st.lists(pieces, min_size=1, max_size=3)),
    st.tuples(st.just("wait"), st.sampled_from([0.02, 0.02, 0.005, 0.3, 1.5])),
    st.tuples(st.sampled_from(["read", "read", "due", "shut", "stop"]), st.sampled_from(CALLS)),
    st.tuples(st.just("begin"), st.tuples(st.sampled_from(CALLS), st.sampled_from(["PCMU", "PCMA", "L16"]))),
    st.tuples(st.just("cut"), st.integers(1, 191)),
)


def do(world: World, what: str, given: object) -> None:
    streams = world.ingest.streams
    call = cast("str", given)
    if what == "say":
        packed = [
            batches.pack_talk(kind, 0, talker, batches.digest(name), payload)
            for kind, talker, name, payload in cast("list[tuple[int, int, str, bytes]]", given)
        ]
        streams.receive_talk([b"".join(packed[:3]), b"".join(packed[3:])])
    elif what == "wait":
        world.ingest.now += cast("float", given)
    elif what == "cut":
        streams.receive_talk(
            [(batches.pack_talk(batches.TALK, 0, 1, batches.digest("a"), LOUD) * 2)[: 192 + cast("int", given)]]
        )
    elif what == "due":
        streams.talk_router.send_due(world.ingest.now)
        streams.talk_router.poll(world.ingest.now)
    elif what == "begin":
        world.begin(*cast("tuple[str, str]", given))
    elif call in world.streams:
        if what == "read":
            world.read(call)
        elif what == "shut":
            world.clients[call].close()
        else:
            world.streams[call].on_text(stop(call))


@settings(max_examples=examples(60))
@given(st.lists(steps, max_size=40))
def test_whatever_is_said_both_do_the_same(plan: list[tuple[str, object]]) -> None:
    """By whomever, into whatever call, however fast; with peers that stall or have gone."""

    async def main() -> None:
        with ExitStack() as stack:
            worlds = [stack.enter_context(world(c=c)) for c in (False, True)]
            for what, given in [("begin", ("a", "PCMU")), *plan, ("read", "a"), ("read", "b")]:
                for each in worlds:
                    do(each, what, given)
                assert worlds[1].state() == worlds[0].state()

    trio.run(main, clock=trio.testing.MockClock())


@pytest.mark.parametrize(
    "before",
    [
        pytest.param([(batches.TALK, 7, LOUD), (batches.TALK, 7, LOUD[:80])], id="a piece waits for its rest"),
        pytest.param([(batches.TALK, 7, LOUD)] * 30, id="frames wait for their time"),
        pytest.param([(batches.TALK, 8, LOUD)], id="the floor is another's"),
        pytest.param([(batches.TALK_PREEMPT, 7, LOUD)], id="it was taken by an administrator"),
        pytest.param([(batches.TALK, 7, LOUD), (batches.TALK_STOP, 7, b"")], id="it is nobody's"),
        pytest.param([(batches.TALK, 7, LOUD), (batches.TALK, 7, SILENT)], id="it is silent"),
        pytest.param([], id="nobody has said anything"),
    ],
)
@pytest.mark.parametrize("payload", [LOUD, SILENT, LOUD[:159], LOUD + b"\x00", b"", LOUD * 2], ids=len)
@pytest.mark.parametrize("kind", [batches.TALK, batches.TALK_PREEMPT, batches.TALK_CLAIM])
async def test_what_is_nearly_plain(before: list[tuple[int, int, bytes]], payload: bytes, kind: int) -> None:
    """As Python has it, and so is what follows."""
    with ExitStack() as stack:
        worlds = [stack.enter_context(world(c=c)) for c in (False, True)]
        for each in worlds:
            each.begin("a", "PCMU")
            for pieces in (before, [(kind, 7, payload)], [(batches.TALK, 7, LOUD)], [(batches.TALK, 7, SILENT)]):
                do(each, "say", [(kind, talker, "a", payload) for kind, talker, payload in pieces])
                each.ingest.now += 0.02
            each.read("a")
        assert worlds[1].state() == worlds[0].state()


async def test_plain_talk_needs_no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the first frame, by which the floor is taken."""
    taken: list[int] = []
    take = TalkRouter.take

    def count(self: TalkRouter, stream: Stream, talk: batches.Talk, now: float) -> None:
        taken.append(talk.talker)
        take(self, stream, talk, now)

    monkeypatch.setattr(TalkRouter, "take", count)
    with world(c=True) as ours:
        for call in CALLS:
            ours.begin(call, "PCMU")
        for number in range(50):
            message = b"".join(
                batches.pack_talk(batches.TALK, 0, 7 + index, batches.digest(call), bytes([number]) * 160)
                for index, call in enumerate(CALLS)
            )
            ours.ingest.streams.receive_talk([message])
            ours.ingest.now += 0.02
            for call in CALLS:
                ours.read(call)
        assert taken == [7, 8]
        assert ours.got["a"].count(b'"event":"media"') == ours.got["b"].count(b'"event":"media"') == 50
        [conversation, _] = ours.ingest.streams.talk_router.conversations.values()
        assert conversation.pacer.sent == 50


async def test_one_that_does_not_keep_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel does not take waits in the send queue, and is not written past."""
    with world(c=True) as ours:
        ours.begin("a", "PCMU")
        send_queue = ours.streams["a"].peer.send_queue
        for number in range(60):
            ours.ingest.streams.receive_talk(
                [batches.pack_talk(batches.TALK, 0, 7, batches.digest("a"), bytes([number]) * 160)]
            )
            ours.ingest.now += 0.02
        assert send_queue.behind
        for _ in range(60):
            ours.read("a")
        assert not send_queue.behind
        assert ours.got["a"].count(b'"event":"media"') == 60 - send_queue.dropped


@pytest.mark.parametrize("arguments", [(), (b"", 0, {}, {}, 1), ("", 0, {}, {}, 1.0), (b"", 0, [], {}, 1.0)])
def test_wrong_arguments_are_refused(arguments: tuple[object, ...]) -> None:
    """With an error, as by Python."""
    take_talk = take_talk_in_c()
    assert take_talk is not None
    with pytest.raises(TypeError):
        take_talk(*arguments)  # type: ignore[arg-type]
