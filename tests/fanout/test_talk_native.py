"""Talk that is read in C is read as in Python: what ingest gets, and what the talker is told."""

from __future__ import annotations

import base64
import socket
import struct
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, cast

import orjson
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.fanout.legacy.listener import Listener
from actors.fanout.legacy.talker import Talker
from actors.fanout.native import reading_in_c
from actors.fanout.talk_sender import TalkSender
from patchbay.net.rate_limit import RateLimit
from patchbay.protocol import batches
from patchbay.protocol.legacy import ListenQuery
from tests.fakes.bus import FakeSocket
from tests.fakes.fast_path import Line, client_frame, ready
from tests.fakes.listening import FakeBrowser, FakeFanout, entry, started
from tests.fakes.native import examples, needs_c
from tests.fakes.telnyx import start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from patchbay.auth.session import Session
    from patchbay.bus.sockets import Bus
    from patchbay.websocket.connection import WebSocketConnection

pytestmark = needs_c
CALLS = ("a", "b")


class Rights:
    """What a session grants, as the test has it."""

    def __init__(self) -> None:
        self.may_talk, self.is_admin = True, False

    def renew(self, message: bytes, now: float) -> bytes:
        del now
        self.may_talk, self.is_admin = orjson.loads(message)["rights"]
        return b"renewed"


class Browser(FakeBrowser):
    """Whose clock is the connection's."""

    def __init__(self, number: int, line: Line) -> None:
        self._line = line
        super().__init__(number)

    @property
    def last_heard(self) -> float:
        return self._line.way.last_heard

    @last_heard.setter
    def last_heard(self, value: float) -> None:
        """It is the connection's to set."""


class World(Line):
    """A talker in a fan-out, read from a socket in one of the two ways."""

    def __init__(self, *, c: bool, names_call: bool = False, tcp: bool = False) -> None:
        self.fanout = FakeFanout()
        self.socket = FakeSocket()
        self.talk_sender = TalkSender(cast("Bus", self))
        self.browser = Browser(9, self)
        query = {"call_control_id": ["a"]} if names_call else {}
        self.listener = self.fanout.joins(Listener(cast("WebSocketConnection", self.browser), ListenQuery.parse(query)))
        self.talker = Talker(
            self.listener,
            self.fanout.calls,
            self.talk_sender,
            3,
            session=cast("Session", Rights()),
            rate_limit=RateLimit(8000, 1600),
        )
        super().__init__(self.talker.on_text, reading_in_c(wanted=c), take_late=False, tcp=tcp)

    def pusher(self, *owner: object) -> FakeSocket:
        return self.socket

    def state(self) -> dict[str, object]:
        self.talk_sender.flush()
        rate_limit, rtp = cast("RateLimit", self.talker._rate_limit), self.talker._rtp
        return {
            **super().state(),
            "said": self.socket.sent,
            "allowed": (rate_limit._left, rate_limit._at),
            "form": (rtp.ssrc, rtp.bare_bytes, rtp.held, rtp._last),
            "counters": self.fanout.calls.counters,
            "told": self.browser.send_queue.frames,
        }


def world(*, c: bool, names_call: bool = False, tcp: bool = False) -> closing[World]:
    return closing(World(c=c, names_call=names_call, tcp=tcp))


@pytest.fixture
async def in_c_world(autojump_clock: trio.testing.MockClock) -> AsyncIterator[World]:
    del autojump_clock
    with world(c=True) as made:
        yield made


def text(payload: bytes, **more: object) -> bytes:
    return orjson.dumps({"event": "media", "media": {"payload": base64.b64encode(payload).decode(), **more}})


def rtp(payload: bytes, payload_type: int = 0, first: int = 0x80, number: int = 1, source: int = 3) -> bytes:
    return struct.pack(">BBHII", first, payload_type, number, 2, source) + payload


ULAW = bytes(range(160))
audio = st.one_of(
    st.just(rtp(ULAW)),
    st.just(ULAW),
    st.builds(
        rtp, st.sampled_from([ULAW, ULAW[:80], ULAW[:100], ULAW * 2, b""]), st.sampled_from([0, 8, 0x80, 0x88, 9])
    ),
    st.builds(rtp, st.just(ULAW), st.just(0), st.sampled_from([0x80, 0x90, 0x81, 0xA0, 0x00])),
    st.builds(
        rtp,
        st.sampled_from([ULAW, ULAW[:128], ULAW[:4], b"", ULAW[:148]]),
        st.sampled_from([0, 0, 0x80, 8, 96, 200]),
        st.sampled_from([0x80, 0x80, 0x90]),
        st.integers(1, 4),
        st.integers(3, 4),
    ),
    st.binary(max_size=40),
    st.builds(lambda size: bytes(size), st.integers(300, 2500)),
)
messages = st.one_of(
    st.builds(text, audio),
    st.builds(lambda payload: text(payload, track="inbound", n=3), audio),
    st.builds(lambda payload: orjson.dumps(orjson.loads(text(payload)), option=orjson.OPT_INDENT_2), audio),
    st.builds(lambda payload, at: text(payload)[:at] + b" " + text(payload)[at:], audio, st.integers(1, 300)),
    st.builds(lambda payload, at, to: text(payload)[:at] + bytes([to]) + text(payload)[at + 1 :], audio,
        st.integers(0, 300), st.integers(0, 255)),
    st.sampled_from([b'{"event":"stop"}', b'{"event":"nothing"}' + b" " * 120, b'{"event":"clear"}',
        b'{"event":"mark","mark":{"name":"x"}}', b"rubbish" * 30, b"\xff" * 130]),
)  # fmt: skip
steps = st.one_of(
    st.tuples(st.just("say"), st.lists(messages, min_size=1, max_size=4)),
    st.tuples(st.just("say"), st.lists(messages, min_size=1, max_size=4)),
    st.tuples(st.just("wait"), st.sampled_from([0.02, 0.02, 0.2, 2.0])),
    st.tuples(st.just("start"), st.tuples(st.sampled_from(CALLS), st.sampled_from(["PCMU", "PCMA", "L16"]))),
    st.tuples(st.just("end"), st.sampled_from(CALLS)),
    st.tuples(st.just("rights"), st.tuples(st.booleans(), st.booleans())),
    st.tuples(st.sampled_from(["full", "tick", "binary"]), st.booleans()),
)


def do(world: World, what: str, given: object, number: int) -> None:
    if what == "say":
        world.hears(b"".join(client_frame(message) for message in cast("list[bytes]", given)))
    elif what == "start":
        call, codec = cast("tuple[str, str]", given)
        world.fanout.hears(started(call, stream=number, raw=start(call, encoding=codec)))
    elif what == "end":
        live = world.fanout.calls.live.get(batches.digest(cast("str", given)))
        if live is not None:
            world.fanout.hears(entry(batches.GONE, cast("str", given), stream=live.number))
    elif what == "rights":
        world.hears(client_frame(orjson.dumps({"event": "auth", "rights": given, "more": "x" * 120})))
    elif what == "tick":
        world.talker.tick()
    elif what == "binary":
        world.talker.on_binary(bytes(640) if given else b"\xff" * 160)
    elif what == "full":
        world.socket.accepts = not given


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(steps, max_size=30), st.booleans())
def test_whatever_is_said_both_do_the_same(plan: list[tuple[str, object]], names_call: bool) -> None:
    """Whatever calls there are, whatever the talker may."""

    async def main() -> None:
        with ExitStack() as stack:
            worlds = [stack.enter_context(world(c=c, names_call=names_call)) for c in (False, True)]
            for number, (what, given) in enumerate([("start", ("a", "PCMU")), *plan, ("say", [text(ULAW)])]):
                if what == "wait":
                    await trio.sleep(cast("float", given))
                for each in worlds:
                    do(each, what, given, number)
                assert worlds[1].state() == worlds[0].state()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_plain_talk_needs_no_python(autojump_clock: trio.testing.MockClock) -> None:
    """But for the first of it, by which the call is found, and in which form talk comes."""
    del autojump_clock
    with world(c=True) as ours:
        ours.fanout.hears(started("a"))
        ours.hears(client_frame(text(rtp(ULAW))) + client_frame(text(ULAW[:80])))
        before = ours.by_python
        for _ in range(40):
            await trio.sleep(0.02)
            ours.hears(client_frame(text(rtp(ULAW))) + client_frame(text(ULAW[:80] * 1)))
            await trio.sleep(0.02)
        assert ours.by_python == before + (ours.way.spent > 0)
        ours.talk_sender.flush()
        [*_, talk] = batches.unpack_talk(b"".join(ours.socket.sent))
        assert talk == batches.Talk(batches.TALK, 3, 9, batches.digest("a"), ULAW[:80])


PLAIN = text(rtp(ULAW))
PLAIN_BARE = text(ULAW)
NEARLY = {
    "something behind": PLAIN + b"}",
    "no event": PLAIN.replace(b'"event":"media",', b""),
    "another event": PLAIN.replace(b'"event":"media"', b'"event":"start"'),
    "the event twice": PLAIN[:-1] + b',"event":"stop"}',
    "the payload twice": PLAIN.replace(b'"payload"', b'"payload":"AAAA","payload"'),
    "no payload": b'{"event":"media","media":{"track":"%b"}}' % (b"x" * 120),
    "no media": b'{"event":"media","more":"%b"}' % (b"x" * 120),
    "unpadded": text(bytes(160)).replace(b"==", b""),
    "10 ms and a byte": text(rtp(ULAW[:81] * 2)),
    "no whole block": text(rtp(ULAW[:150])),
    "another version of RTP": text(rtp(ULAW, first=0x40)),
    "another payload type": text(rtp(ULAW, 3)),
    "the other codec": text(rtp(ULAW, 8)),
    "the other codec, marked": text(rtp(ULAW, 0x88)),
    "another source": text(rtp(ULAW, source=4)),
    "another source, and no blocks": text(rtp(ULAW[:128], source=4)),
    "128 samples": text(rtp(ULAW[:128])),
    "padding": text(rtp(ULAW + b"\x01", first=0xA0)),
    "an extension": text(rtp(bytes(4) + ULAW, first=0x90)),
    "a contributing source": text(rtp(bytes(4) + ULAW, first=0x81)),
    "telephone-event": text(rtp(bytes(4) * 30, 101)),
    "no audio": text(rtp(b"") + b"", n="x" * 100),
    "bare": text(ULAW),
    "bare, of another length": text(ULAW[:128]),
    "bare, and like a packet": text(b"\x80\x00" + ULAW[2:]),
    "too much at once": text(bytes(1700)),
    "as much as may be": text(bytes(1280)),
}


@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "L16"])
@pytest.mark.parametrize("message", [pytest.param(message, id=name) for name, message in NEARLY.items()])
async def test_what_is_nearly_plain(message: bytes, codec: str, autojump_clock: trio.testing.MockClock) -> None:
    """As Python has it, and so is what follows."""
    del autojump_clock
    states = []
    with ExitStack() as stack:
        for each in [stack.enter_context(world(c=c)) for c in (False, True)]:
            each.fanout.hears(started("a", raw=start("a", encoding=codec)))
            for known in (PLAIN, PLAIN_BARE):
                each.hears(client_frame(known))
                each.hears(client_frame(message))
                each.hears(client_frame(known))
            states.append(each.state())
    assert states[0] == states[1]


async def test_into_one_call_only(in_c_world: World) -> None:
    """Another call is live from now on: it can't be told any more which one is meant."""
    in_c_world.fanout.hears(started("a", stream=1))
    in_c_world.hears(client_frame(PLAIN))
    in_c_world.hears(client_frame(PLAIN))
    in_c_world.fanout.hears(started("b", stream=2))
    in_c_world.hears(client_frame(PLAIN))
    in_c_world.talk_sender.flush()
    assert len(list(batches.unpack_talk(b"".join(in_c_world.socket.sent)))) == 2
    assert b"several_live_calls" in b"".join(in_c_world.browser.send_queue.frames)
    in_c_world.fanout.hears(entry(batches.GONE, "a", stream=1))
    in_c_world.hears(client_frame(PLAIN))
    in_c_world.talk_sender.flush()
    *_, last = batches.unpack_talk(in_c_world.socket.sent[-1])
    assert last.call == batches.digest("b")


SEGMENTS_OUT = struct.Struct("=I")
SEGMENTS_OUT_AT = 136  # tcpi_segs_out of struct tcp_info, <linux/tcp.h>


async def comes_at_once(ours: World) -> bool:
    """Say something; whether it has come after 10 ms, rather than when the kernel has waited long enough (40 ms)."""
    ours.client.send(client_frame(text(rtp(ULAW))))
    await trio.sleep(0.01)
    came = ready(ours.poller._epoll.fileno())
    ours.poller.round()
    ours.poller.round()  # which takes it
    return came


@pytest.mark.slow
async def test_acknowledgements_cost_little_and_nobody_waits_for_them() -> None:
    """Messages that come one by one are not each acknowledged by itself. A peer whose TCP waits for that before it
    sends the next one (Nagle's algorithm) does so once; from then on it has it at once."""
    with world(c=True, tcp=True) as ours:
        ours.fanout.hears(started("a"))
        ours.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(30):
            assert await comes_at_once(ours)
        info = ours.way.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        assert SEGMENTS_OUT.unpack_from(info, SEGMENTS_OUT_AT)[0] < 25
    with world(c=True, tcp=True) as ours:
        ours.fanout.hears(started("a"))
        came = [await comes_at_once(ours) for _ in range(40)]
        assert all(came[-20:])
