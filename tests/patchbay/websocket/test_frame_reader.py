"""What a peer sends costs in proportion to it, and no peer has more done in a round than a turn."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

from actors.ingest.stream.idle_reader import IdleReader
from patchbay.net.poller import PERIODIC_PARTS, Poller
from patchbay.net.rate_limit import RateLimit
from patchbay.net.socket_reader import BUFFER_BYTES
from patchbay.net.turns import BYTES_A_TURN, FRAMES_A_TURN
from patchbay.websocket.connection import WebSocketConnection
from patchbay.websocket.send_queue import SendQueue
from tests.fakes.connections import FakeHandedConnection
from tests.fakes.telnyx import media
from tests.fakes.websockets import BINARY, CONTINUATION, PING, PONG, masked
from tests.fakes.work import assert_linear

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio.testing import MockClock

    from patchbay.handover.connection import HandedConnection

LINGER_S = 0.005
ODD = masked(b'{"event":"x"}')
MEDIA = masked(media(7))


MADE: list[Reading] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Whatever a test has made is closed."""
    yield
    while MADE:
        MADE.pop().close()


class Reading:
    """A connection read by a poller, as an actor would have it; what it heard."""

    def __init__(
        self,
        poller: Poller,
        *,
        number: int = 1,
        claims: dict[str, Any] | None = None,
        address: str = "",
        is_periodic: bool = False,
    ) -> None:
        MADE.append(self)
        self.client, server = socket.socketpair()
        for end in (self.client, server):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        handed = FakeHandedConnection(server, b"", kind="ws", claims=claims)
        handed.id, handed.peer = number, f"{address or f'192.0.2.{number}'}:40000"
        self.heard: list[bytes] = []
        self.peer = WebSocketConnection(
            cast("HandedConnection", handed), poller, SendQueue(server, lossy_s=1), RateLimit(1e9, 1e9), 1 << 20
        )
        self.peer.on_text = self.peer.on_binary = self.heard.append
        self.bulk_frames = 0
        self.looked_at = 0
        if is_periodic:
            self._idle_reader = IdleReader(10, 0.0)
            self.peer.on_bulk = self._on_bulk
        self.peer.start()

    def _on_bulk(self, data: memoryview, at: int, size: int) -> int:
        inbound, outbound, end = self._idle_reader.take(data, at, size, 1.0)
        self.bulk_frames += inbound + outbound
        self.looked_at += size - at
        return end

    def says(self, data: bytes) -> None:
        assert self.client.send(data) == len(data)

    def close(self) -> None:
        if self.peer.sock.fileno() < 0:
            return
        self.peer._poller.remove(self.peer)
        self.client.close()
        self.peer.sock.close()


def rounds(poller: Poller, limit: int = 10_000) -> int:
    """Rounds until there is nothing to be done, as far apart as they are under load."""
    clock, ahead_s = poller._clock, 0.0
    poller._clock = lambda: clock() + ahead_s
    for count in range(limit):
        if not poller.round():
            poller._clock = clock
            return count + 1
        ahead_s += LINGER_S
    raise AssertionError("it never ends")


@pytest.fixture(params=[False, True], ids=["soon", "late"])
def poller(request: pytest.FixtureRequest, mock_clock: trio.testing.MockClock) -> Poller:
    return Poller(0, take_late=request.param)


FLOODS: dict[str, Callable[[int], bytes]] = {
    "small messages": lambda count: ODD * count,
    "empty messages": lambda count: masked(b"") * count,
    "binary": lambda count: masked(b"1234", BINARY) * count,
    "pings": lambda count: masked(b"?", PING) * count,
    "pongs": lambda count: masked(b"!", PONG) * count,
    "pairs of fragments": lambda count: (masked(b"a", 0x01) + masked(b"b", CONTINUATION)) * (count // 2),
    "a message of fragments": lambda count: (
        masked(b"a", 0x01) + masked(b"b", 0x00) * (count - 2) + masked(b"c", CONTINUATION)
    ),
    "with media between": lambda count: (ODD + MEDIA) * (count // 2),
    "media, then odd ones": lambda count: MEDIA * (count // 2) + ODD * (count // 2),
}


@pytest.mark.parametrize("is_periodic", [False, True], ids=["on arrival", "periodic"])
@pytest.mark.parametrize("kind", FLOODS)
async def test_cost_grows_with_what_comes(kind: str, is_periodic: bool) -> None:
    """A look at one frame is not a look at all behind it."""
    made: list[Reading] = []

    def prepared(count: int) -> Callable[[], object]:
        flood, poller = FLOODS[kind](count), Poller(0, take_late=True)
        poller._clock = lambda: 0.0  # turns end by count
        reading = Reading(poller, is_periodic=is_periodic)
        made.append(reading)
        reading.peer.last_heard = 0.0
        data = memoryview(flood)

        def work() -> None:
            at = 0
            while at < len(flood):
                poller.turns.new_round()
                poller.turns.call()
                at = reading.peer.handle(data, at, min(len(flood), at + BUFFER_BYTES))

        return work

    assert_linear(prepared, 2000)
    once, twice = (reading.looked_at for reading in made)
    assert twice <= 2.3 * once


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_peer_has_one_turn_a_round(kind: str, poller: Poller) -> None:
    """And all that it has sent is dealt with in the end, in order."""
    reading = Reading(poller)
    reading.says(FLOODS[kind](1000))
    reading.says(masked(b"last"))
    poller.round()
    assert len(reading.heard) <= 4 * FRAMES_A_TURN
    assert rounds(poller) < 1000
    assert reading.heard[-1] == b"last"


async def test_long_odd_frames_end_a_turn_by_their_bytes(poller: Poller) -> None:
    reading = Reading(poller)
    reading.says(masked(bytes(5000), BINARY) * 10)
    poller.round()
    assert len(reading.heard) == BYTES_A_TURN // 5000 + 1
    rounds(poller)
    assert len(reading.heard) == 10


async def test_a_flood_does_not_keep_others_waiting(poller: Poller) -> None:
    """Whatever a hundred connections of a token have sent: another's message is heard in the first round."""
    flooding = [Reading(poller, number=number, claims={"sub": "mallory"}) for number in range(2, 102)]
    victim = Reading(poller, number=1, claims={"sub": "alice"})
    for each in flooding:
        each.says(ODD * 1000)
    poller.round()
    victim.says(masked(b"hello") + MEDIA)
    poller.round()
    poller.round()
    assert victim.heard == [b"hello", media(7)]
    assert sum(len(each.heard) for each in flooding) < 10_000
    rounds(poller)
    assert all(len(each.heard) == 1000 for each in flooding)


async def test_plain_frames_pass_a_flood(poller: Poller) -> None:
    """They are dealt with as they come, whoever waits for a turn."""
    flooding, victim = Reading(poller, number=2), Reading(poller, number=1)
    flooding.says(ODD * 3000)
    for chunk in range(20):
        victim.says(masked(media(chunk)))
        poller.round()
        assert len(victim.heard) == chunk + 1
    assert len(flooding.heard) < 3000


async def test_many_plain_frames_at_once_are_a_turn_too(poller: Poller) -> None:
    """A second of audio at once is dealt with at once; of more, the rest waits."""
    reading = Reading(poller)
    reading.says(MEDIA)
    poller.round()
    reading.says(MEDIA * 180)
    poller.round()
    assert 50 < len(reading.heard) < 180
    rounds(poller)
    assert len(reading.heard) == 181


@pytest.mark.parametrize("close_in_round", [0, 1, 5])
async def test_what_was_said_before_the_end_is_heard_in_turns(close_in_round: int, poller: Poller) -> None:
    """The peer has gone, and yet has its turns."""
    reading = Reading(poller)
    reading.says(ODD * 1000)
    for _ in range(close_in_round):
        poller.round()
    reading.client.close()
    rounds(poller)
    assert len(reading.heard) == 1000
    assert reading.peer._gone


async def test_a_successor_goes_on_where_a_turn_ended(poller: Poller) -> None:
    """What waits for its turn is in the socket still."""
    reading = Reading(poller)
    reading.says(ODD * 300)
    poller.round()
    poller.remove(reading.peer)
    left = reading.peer.sock.recv(1 << 20)
    assert left == ODD * (300 - len(reading.heard))


@pytest.mark.parametrize("is_periodic", [False, True], ids=["on arrival", "periodic"])
async def test_what_is_handled_again_is_so_to_its_end(is_periodic: bool) -> None:
    """In as many turns as that takes; what follows is new."""
    poller = Poller(0, take_late=True)
    reading = Reading(poller, is_periodic=is_periodic)
    said: list[bool | bytes] = []
    reading.peer.on_repeated = said.append
    reading.peer.on_text = said.append
    reading.peer._seen_before = 200 * len(ODD)
    reading.says(ODD * 300)
    poller.read_now(reading.peer)
    rounds(poller)
    assert [word for word in said if word is not True] == [b'{"event":"x"}'] * 200 + [False] + [b'{"event":"x"}'] * 100
    assert said[0] is True


async def test_periodic_connections_have_turns_too() -> None:
    """Odd frames among those that `on_bulk` takes; and the poller is woken for what is left."""
    poller = Poller(0, take_late=True)
    reading = Reading(poller, is_periodic=True)
    reading.says((ODD + MEDIA) * 200)
    for _ in range(PERIODIC_PARTS):
        poller._periodic_turn()
    assert 0 < len(reading.heard) <= FRAMES_A_TURN
    assert reading.peer in poller.turns.waiting
    assert poller._callback.due == float("-inf")
    rounds(poller)
    assert len(reading.heard) == reading.bulk_frames == 200


@pytest.mark.parametrize("sub", ["", None, "alice"])
async def test_whose_turns_they_are(sub: str | None, poller: Poller) -> None:
    """A token's; an address's, where there is none that says whose it is (`patchbay.auth.owner`)."""
    made = [Reading(poller, number=number, claims={"sub": sub}, address="192.0.2.7") for number in (1, 2)]
    assert made[0].peer._owner == made[1].peer._owner == (sub or ("address", "192.0.2.7"))


async def test_half_a_frame_is_no_sign_of_life(poller: Poller) -> None:
    """However often a byte of it comes; a whole one is, of whatever kind."""
    now = 0.0
    poller._clock = lambda: now
    reading = Reading(poller)
    for frame in (ODD, MEDIA, masked(b"?", PING)):
        heard = reading.peer.last_heard
        for byte in range(len(frame) - 1):
            now += 0.4
            reading.says(frame[byte : byte + 1])
            poller.round()
        assert reading.peer.last_heard == heard
        assert reading.peer.is_within_frame
        reading.says(frame[-1:])
        poller.round()
        assert reading.peer.last_heard == now
        assert not reading.peer.is_within_frame


@pytest.mark.parametrize("how", ["fragments", "a long frame", "long fragments"])
async def test_since_when_a_message_is_on_its_way(how: str, poller: Poller, autojump_clock: MockClock) -> None:
    """Of each anew, also where the next one begins in the same reading."""
    reading = Reading(poller)
    long = masked(bytes(60_000), BINARY)
    begin, end = {
        "fragments": (masked(b"a", 0x01), masked(b"b", CONTINUATION)),
        "a long frame": (long[:40_000], long[40_000:]),
        "long fragments": (masked(bytes(60_000), 0x02), masked(bytes(60_000), CONTINUATION)),
    }[how]
    plenty = masked(b"a", 0x01) + masked(b"b", 0x00) * 20  # more fragments than are left in the socket
    for data in (plenty if how == "fragments" else begin, end + (plenty if how == "fragments" else begin)):
        await trio.sleep(7)
        reading.says(data)
        rounds(poller)
        assert reading.peer.is_within_message
        assert reading.peer.message_since == trio.current_time()
        await trio.sleep(7)
        reading.says(masked(b"?", PING) if how != "a long frame" else b"")
        rounds(poller)
        assert reading.peer.message_since == trio.current_time() - 7
    reading.says(end)
    rounds(poller)
    assert not reading.peer.is_within_message


async def test_no_turn_ends_within_a_message_that_is_all_there(poller: Poller) -> None:
    """Or a roll could not move the connection."""
    reading = Reading(poller)
    halves = masked(b'{"event":', 0x01) + masked(b'"x"}', CONTINUATION)
    reading.says(masked(b"", PING) + halves * 200)
    while poller.round():
        assert not reading.peer.is_within_message
    assert reading.heard == [b'{"event":"x"}'] * 200
