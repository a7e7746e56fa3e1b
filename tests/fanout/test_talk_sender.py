"""Talk of a round goes out together, to where its call is by then; what can't go out in time is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import trio

from actors.fanout.talk_sender import KEEP_MAX, KEEP_MAX_BYTES, KEEP_S, MESSAGE_BYTES, TalkSender
from tests.fakes.bus import FakeSocket

if TYPE_CHECKING:
    from trio.testing import MockClock

    from actors.fanout.calls.call import Call
    from actors.fanout.legacy.talker import Talker
    from patchbay.bus.sockets import Bus


class Ways:
    """Links whose sockets are the test's."""

    def __init__(self) -> None:
        self.sockets: dict[tuple[int, str], FakeSocket] = {}
        self.on_unreachable = 0
        self.talk_sender = TalkSender(cast("Bus", self))
        self.call = cast("Call", SimpleNamespace(owner=(0, "a")))
        self._talker = cast("Talker", SimpleNamespace(on_unreachable=self._count))

    def _count(self) -> None:
        self.on_unreachable += 1

    def pusher(self, actor: str, index: int, slot: str, endpoint: str) -> FakeSocket:
        assert (actor, endpoint) == ("ingest", "talk")
        assert (index, slot) not in self.sockets
        return self.sockets.setdefault((index, slot), FakeSocket())

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.talk_sender.send(self.call, self._talker, piece)


async def test_one_message_for_each_process() -> None:
    """All pieces of the round, in order."""
    ways = Ways()
    ways.send(b"a", b"b")
    ways.call.owner = (1, "b")
    ways.talk_sender.send(cast("Call", SimpleNamespace(owner=(0, "a"))), ways._talker, b"c")
    ways.talk_sender.flush()
    ways.talk_sender.flush()
    assert ways.sockets[1, "b"].sent == [b"ab"]
    assert ways.sockets[0, "a"].sent == [b"c"]


async def test_kept_until_its_call_is_somewhere(autojump_clock: MockClock) -> None:
    """An ingest restarts: what was said meanwhile goes to the next one, before what is said then."""
    ways = Ways()
    ways.send(b"")
    ways.talk_sender.flush()
    ways.sockets[0, "a"].accepts = False
    ways.send(b"a")
    ways.talk_sender.flush()
    await trio.sleep(KEEP_S / 2)
    ways.call.owner = (0, "b")
    ways.send(b"b")
    ways.talk_sender.flush()
    assert ways.sockets[0, "b"].sent == [b"ab"]
    assert ways.on_unreachable == 0


async def test_told_when_it_could_not_be_sent(autojump_clock: MockClock) -> None:
    """After a second, and not before."""
    ways = Ways()
    ways.send(b"")
    ways.talk_sender.flush()
    ways.sockets[0, "a"].accepts = False
    ways.send(b"a")
    ways.talk_sender.flush()
    for _ in range(3):
        await trio.sleep(KEEP_S / 4)
        ways.talk_sender.flush()
    assert ways.on_unreachable == 0
    await trio.sleep(KEEP_S / 2)
    ways.talk_sender.flush()
    assert (ways.on_unreachable, ways.talk_sender.lost) == (1, 1)


async def test_bounded() -> None:
    """Whatever is said into the void."""
    ways = Ways()
    ways.send(b"")
    ways.talk_sender.flush()
    ways.sockets[0, "a"].accepts = False
    ways.send(*[b"x"] * (KEEP_MAX + 5))
    ways.talk_sender.flush()
    assert ways.on_unreachable == 5


async def test_bounded_in_bytes(autojump_clock: MockClock) -> None:
    """Long pieces go in several messages, in order; and no more of them wait than may."""
    ways = Ways()
    long = [bytes([number]) * (MESSAGE_BYTES // 2 + 1) for number in range(5)]
    ways.send(*long)
    ways.talk_sender.flush()
    sent = ways.sockets[0, "a"].sent
    assert b"".join(sent) == b"".join(long)
    assert len(sent) == 3
    sent.clear()
    ways.sockets[0, "a"].accepts = False
    ways.send(*[b"x" * (1 << 20)] * 40)
    ways.talk_sender.flush()
    assert ways.on_unreachable == 40 - KEEP_MAX_BYTES // (1 << 20)
    ways.sockets[0, "a"].accepts = True
    ways.talk_sender.flush()
    assert len(b"".join(sent)) == KEEP_MAX_BYTES
