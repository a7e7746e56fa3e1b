"""Connections outlive the gateway, and their actor; nothing leaks; nobody is served twice."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from patchbay.handover.drain import BATCH_MIN, drain
from patchbay.protocol import handover
from tests.fakes.handovers import town, until
from tests.fakes.websockets import upgrade_head

if TYPE_CHECKING:
    from patchbay.handover.connection import HandedConnection
    from tests.fakes.handovers import Town

HTTP = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Handler:
    """Serves connections until told otherwise, and remembers them."""

    def __init__(self) -> None:
        self.seen: list[HandedConnection] = []
        self.let_go = trio.Event()
        self.answers = True

    async def __call__(self, handed: HandedConnection) -> None:
        self.seen.append(handed)
        if self.answers and not handed.answered:
            handed.about_to_answer()
            handed.sock.send(b"101")
            handed.answer_sent()
        await self.let_go.wait()


def closed(client: socket.socket) -> bool:
    """Whether the other end has closed; what it sent before is read."""
    try:
        while client.recv(100):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    return True


async def test_a_connection_comes_with_its_head_and_works(tmp_path: Path) -> None:
    """And is shut down and released when its handler ends."""
    async with town(tmp_path) as place:
        exchange = place.exchange()
        handler = Handler()
        link, _ = await place.actor(handler)
        client = exchange.connect()
        await until(lambda: handler.seen)
        [handed] = handler.seen
        assert handed.head.startswith(b"GET /audio-stream")
        assert not handed.resumed
        client.send(b"hello")
        await trio.lowlevel.wait_readable(handed.sock)
        assert handed.sock.recv(100) == b"hello"
        handler.let_go.set()
        await until(lambda: closed(client))
        await until(lambda: not exchange.router.table.held)
        assert not link.connections
        client.close()


async def test_connections_outlive_the_gateway(tmp_path: Path) -> None:
    """The next one is given all of them, with states, rests, claims and who has been answered."""
    async with town(tmp_path) as place:
        first = place.exchange()
        handler = Handler()
        link, _ = await place.actor(handler)
        clients = [first.connect() for _ in range(30)]
        await until(lambda: len(handler.seen) == 30)
        for handed in handler.seen:
            handed.set_state(b"state %d" % handed.id)
        handler.seen[0].set_remainder(b"the rest")
        handler.seen[0].claim(b"a call")
        numbers = {handed.id for handed in handler.seen}
        first.die()
        await until(lambda: not link.is_connected)
        handler.seen[1].set_state(b"changed meanwhile")
        second = place.exchange()
        held = second.router.table.held
        await until(lambda: set(held) == numbers)
        assert held[handler.seen[0].id].unsent == b"the rest"
        assert held[handler.seen[1].id].state == b"changed meanwhile"
        assert held[handler.seen[2].id].state == b"state %d" % handler.seen[2].id
        assert not any(each.fresh for each in held.values())
        await until(lambda: held[handler.seen[0].id].claim == b"a call")
        newer = second.connect()
        await until(lambda: len(handler.seen) == 31)
        handler.seen[-1].claim(b"a call")
        await handler.seen[0].superseded.wait()
        assert not any(closed(client) for client in clients)
        handler.let_go.set()
        await until(lambda: not held)
        await until(lambda: all(closed(client) for client in clients))
        for client in (*clients, newer):
            client.close()


async def test_connections_outlive_their_actor(tmp_path: Path) -> None:
    """A process dies: its next one goes on with the WebSockets; an HTTP request is not repeated."""
    async with town(tmp_path) as place:
        exchange = place.exchange()
        handler, successor = Handler(), Handler()
        link, scope = await place.actor(handler)
        client = exchange.connect()
        await until(lambda: handler.seen)
        handler.seen[0].set_state(b"where we were")
        handler.seen[0].set_remainder(b"half a frame")
        await link.flush()
        kill(link, scope)
        await until(lambda: not exchange.router.table.links)
        await place.actor(successor, generation=2)
        await until(lambda: successor.seen)
        [resumed] = successor.seen
        assert (resumed.id, resumed.resumed, resumed.state, resumed.unsent) == (
            handler.seen[0].id,
            True,
            b"where we were",
            b"half a frame",
        )
        assert not closed(client)
        client.close()


def kill(link: object, scope: trio.CancelScope) -> None:
    """As SIGKILL does: nothing is shut down or said, descriptors are closed."""
    connections = list(link.connections.values())  # type: ignore[attr-defined]
    for handed in connections:
        handed.is_transferred = True
    scope.cancel()


async def succeeded(place: Town, count: int = 1) -> list[HandedConnection]:
    """What the next process is handed, which says nothing."""
    successor = Handler()
    successor.answers = False
    await place.actor(successor, generation=2)
    await until(lambda: len(successor.seen) == count)
    return successor.seen


async def test_one_that_had_no_answer_yet_is_not_resumed(tmp_path: Path) -> None:
    """Its process died before the handshake: the next one has to answer, or the peer waits for ever."""
    async with town(tmp_path) as place:
        exchange = place.exchange()
        handler = Handler()
        handler.answers = False
        link, scope = await place.actor(handler)
        client = exchange.connect()
        await until(lambda: handler.seen)
        kill(link, scope)
        [resumed] = await succeeded(place)
        assert not resumed.resumed
        client.close()


@pytest.mark.parametrize("written", [False, True])
async def test_a_death_beside_the_answer(tmp_path: Path, written: bool) -> None:
    """Just before or just after it was written: the peer has it once. So with a state of what was about to be
    written."""
    async with town(tmp_path) as place:
        exchange = place.exchange()
        handler = Handler()
        handler.answers = False
        link, scope = await place.actor(handler)
        one, other = exchange.connect(), exchange.connect()
        await until(lambda: len(handler.seen) == 2)
        new, old = handler.seen
        new.about_to_answer()
        old.about_to_answer()
        old.sock.send(b"101")
        old.answer_sent()
        old.set_state_once_written(b"welcomed")
        old.sock.send(b"welcome")
        old.set_state_once_written(b"told of a call")
        if written:
            new.sock.send(b"101")
            old.sock.send(b"a call")
        await link.flush()
        kill(link, scope)
        await until(lambda: not exchange.router.table.links)
        found = {handed.id: handed for handed in await succeeded(place, 2)}
        assert found[new.id].resumed == written
        assert (found[old.id].resumed, found[old.id].state) == (True, b"told of a call" if written else b"welcomed")
        one.close()
        other.close()


async def test_a_drain_keeps_what_was_promised(tmp_path: Path) -> None:
    """One that says goodbye has done what it was about to, whether the kernel has taken it already or not."""
    async with town(tmp_path) as place:
        exchange = place.exchange()
        handler, successor = Handler(), Handler()
        handler.answers = successor.answers = False
        link, _ = await place.actor(handler)
        client = exchange.connect()
        await until(lambda: handler.seen)
        [handed] = handler.seen
        handed.about_to_answer()
        handed.answer_sent()
        handed.set_state_once_written(b"welcomed")
        await place.actor(successor, generation=2)
        await drain(link)
        await until(lambda: successor.seen)
        assert (successor.seen[0].resumed, successor.seen[0].state) == (True, b"welcomed")
        client.close()


async def test_where_bytes_are_not_counted_a_promise_holds_at_once(tmp_path: Path) -> None:
    """The gateway does TLS there and has the other end of a socket pair."""
    async with town(tmp_path) as place:
        exchange = place.exchange()
        handler = Handler()
        await place.actor(handler)
        client = exchange.connect(pair=socket.socketpair())
        await until(lambda: handler.seen)
        [handed] = handler.seen
        assert handed.answered
        held = exchange.router.table.held[handed.id]
        await until(lambda: not held.fresh)
        handed.set_state_once_written(b"welcomed")
        await until(lambda: held.state == b"welcomed")
        client.close()


async def test_what_nobody_can_tell_has_been_written(tmp_path: Path) -> None:
    """The kernel does not say any more what a connection has carried. Nearly always, what was promised was done."""
    async with town(tmp_path) as place:
        exchange = place.exchange()
        handler = Handler()
        handler.answers = False
        link, scope = await place.actor(handler)
        client = exchange.connect(pair=socket.socketpair())
        await until(lambda: handler.seen)
        link.send(handover.Answered(id=handler.seen[0].id, once_above=5))
        link.send(handover.SetState(id=handler.seen[0].id, state=b"welcomed", once_above=134))
        await link.flush()
        kill(link, scope)
        [resumed] = await succeeded(place)
        assert (resumed.resumed, resumed.state) == (True, b"welcomed")
        client.close()


async def test_a_torn_connection_is_not_resumed(tmp_path: Path) -> None:
    """Too long a rest can't be kept; nobody could go on in the middle of that frame. Once it is whole, all is well."""
    async with town(tmp_path) as place:
        exchange = place.exchange()
        handler = Handler()
        link, scope = await place.actor(handler)
        clients = [exchange.connect() for _ in range(2)]
        await until(lambda: len(handler.seen) == 2)
        handler.seen.sort(key=lambda handed: handed.id)
        for handed in handler.seen:
            handed.set_remainder(b"x" * (handover.MAX_UNSENT_BYTES + 1))
        handler.seen[1].set_remainder(b"")
        assert link.is_connected
        kill(link, scope)
        await until(lambda: closed(clients[0]))
        assert not closed(clients[1])
        for client in clients:
            client.close()


async def test_http_ends_with_its_actor_and_stays_with_it(tmp_path: Path) -> None:
    """It ends when the actor dies. When the gateway stops it goes on."""
    async with town(tmp_path) as place:
        exchange = place.exchange()
        handler = Handler()
        handler.answers = False
        link, scope = await place.actor(handler, "console")
        client = exchange.connect(HTTP)
        await until(lambda: handler.seen)
        exchange.scope.cancel()
        await until(lambda: not link.is_connected)
        assert not closed(client)
        exchange.die()
        second = place.exchange()
        await until(lambda: second.router.table.held)
        kill(link, scope)
        await until(lambda: closed(client))
        client.close()


async def test_an_actor_that_says_hello_and_dies_harms_nobody(tmp_path: Path) -> None:
    """The gateway goes on."""
    async with town(tmp_path) as place:
        exchange = place.exchange()
        hello = handover.encode(handover.Hello(name="ingest", index=0, generation=1, pid=1))
        for _ in range(20):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
                sock.connect(place.path)
                sock.send(hello)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(place.path)
            sock.send(b"rubbish")
        await place.actor(Handler())
        await until(lambda: len(exchange.router.table.links) == 1)


async def test_a_drain_moves_everything(tmp_path: Path) -> None:
    """Also what is on its way while the actor leaves, and what it has not begun to serve."""
    async with town(tmp_path) as place:
        exchange = place.exchange()
        handler, successor = Handler(), Handler()
        handler.answers = successor.answers = False
        old, _ = await place.actor(handler)
        clients = [exchange.connect() for _ in range(20)]
        await until(lambda: len(handler.seen) == 20)
        for handed in handler.seen[:10]:
            handed.answer_sent()
        # Offered, and not received yet, when the old one begins to leave:
        clients += [exchange.connect() for _ in range(20)]
        await place.actor(successor, generation=2)
        await drain(old)
        await until(lambda: len(successor.seen) == 40)
        assert not old.connections
        assert len({handed.id for handed in successor.seen}) == 40
        assert sum(handed.resumed for handed in successor.seen) == 10
        assert not any(closed(client) for client in clients)
        for client in clients:
            client.close()


async def test_a_connection_that_ends_during_a_drain_is_left_alone(tmp_path: Path) -> None:
    """Connections are moved a few at a time; one whose peer leaves before its turn is nobody's any more."""
    async with town(tmp_path) as place:
        exchange = place.exchange()
        handler = Handler()
        link, _ = await place.actor(handler)
        clients = [exchange.connect() for _ in range(BATCH_MIN + 1)]
        await until(lambda: len(handler.seen) == BATCH_MIN + 1)
        first, last = (link.connections[number] for number in (min(link.connections), max(link.connections)))
        moved: list[int] = []

        def end_the_last() -> None:
            moved.append(first.id)
            last.scope.cancel()
            first.scope.cancel()

        first.on_drain = end_the_last
        last.on_drain = lambda: moved.append(last.id)
        await drain(link)
        assert moved == [first.id]
        for client in clients:
            client.close()


async def test_a_drain_without_a_gateway_says_goodbye(tmp_path: Path) -> None:
    """Each is told why, and nothing waits for ever."""
    async with town(tmp_path) as place:
        exchange = place.exchange()
        handler = Handler()
        link, _ = await place.actor(handler)
        client = exchange.connect()
        await until(lambda: handler.seen)
        said: list[tuple[int, str]] = []

        async def goodbye(code: int, reason: str) -> None:
            said.append((code, reason))

        handler.seen[0].on_close = goodbye
        exchange.die()
        place.listener.close()
        await until(lambda: not link.is_connected)
        await drain(link)
        assert said == [(1001, "server stopping")]
        assert closed(client)
        client.close()


async def test_a_handler_that_fails_ends_one_connection(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The others go on, and it is logged."""

    async def fail(handed: HandedConnection) -> None:
        raise RuntimeError(handed.peer)

    async with town(tmp_path) as place:
        exchange = place.exchange()
        link, _ = await place.actor(fail)
        for count in (1, 2):
            client = exchange.connect()
            await until(lambda: link.released == count)  # noqa: B023 - it is waited for at once
            await until(lambda: closed(client))  # noqa: B023
            assert caplog.text.count("failed\n") == count
            client.close()
        await until(lambda: not exchange.router.table.held)


async def test_a_handler_may_close_its_socket(tmp_path: Path) -> None:
    """The gateway lets go of its copy all the same."""

    async def close(handed: HandedConnection) -> None:
        handed.sock.close()

    async with town(tmp_path) as place:
        exchange = place.exchange()
        await place.actor(close)
        client = exchange.connect()
        await until(lambda: closed(client))
        assert not exchange.router.table.held
        client.close()


@pytest.mark.slow
async def test_no_descriptor_leaks(tmp_path: Path) -> None:
    """Two hundred connections, each of which ends in one of the ways there are."""
    async with town(tmp_path) as place:
        exchange = place.exchange()
        handler, console = Handler(), Handler()
        link, scope = await place.actor(handler)
        await place.actor(console, "console")
        before = descriptors()
        for part in range(4):
            handler.seen.clear()
            clients = [exchange.connect() for _ in range(25)] + [exchange.connect(HTTP) for _ in range(25)]
            await until(lambda: len(handler.seen) == 25)
            await until(lambda: len(console.seen) >= 25 * (part + 1))  # noqa: B023 - it is waited for at once
            if part == 0:
                handler.let_go.set()
                await until(lambda: not link.connections)  # noqa: B023
                handler.let_go = trio.Event()
            elif part == 1:
                for handed in console.seen[-25:]:
                    handed.return_to_gateway()
                await until(lambda: len(exchange.handed_back) == 25)
            elif part == 2:
                await drain(link)
                link, scope = await place.actor(handler, generation=part)
                await until(lambda: len(handler.seen) == 50)
                handler.let_go.set()
                await until(lambda: not link.connections)  # noqa: B023
                handler.let_go = trio.Event()
            for handed in (*handler.seen, *console.seen):
                handed.scope.cancel()
            await until(lambda: not link.connections)  # noqa: B023
            await until(lambda: not exchange.router.table.held)
            for client in clients:
                client.close()
            console.seen[:] = console.seen[: 25 * (part + 1)]
        await until(lambda: descriptors() <= before + 2)  # a new link's two ends
        scope.cancel()


async def test_an_offer_without_a_descriptor_is_given_up(tmp_path: Path) -> None:
    """There was none left here: the gateway is told, instead of thinking it served."""
    async with town(tmp_path) as place:
        place.listener.setblocking(True)
        handler = Handler()
        async with trio.open_nursery() as nursery:
            from patchbay.handover.link import GatewayLink
            from patchbay.process.identity import Identity

            link = GatewayLink(place.path, Identity("ingest"))
            nursery.start_soon(link.serve, handler)
            gateway, _ = await trio.to_thread.run_sync(place.listener.accept)
            assert isinstance(handover.decode_to_gateway(gateway.recv(1000)), handover.Hello)
            gateway.send(handover.encode(handover.Welcome()))
            about = handover.Connection(id=7, kind="ws", head=upgrade_head(), peer="x")
            gateway.send(handover.encode(handover.Offer(connection=about, resumed=False)))
            gateway.send(b"rubbish")
            told = await trio.to_thread.run_sync(gateway.recv, 1000)
            assert handover.decode_to_gateway(told) == handover.Closed(id=7)
            assert not handler.seen
            gateway.close()
            nursery.cancel_scope.cancel()


async def test_a_note_is_bounded(tmp_path: Path) -> None:
    """One that no gateway would take is not sent; the one before stays."""
    async with town(tmp_path) as place:
        exchange = place.exchange()
        handler = Handler()
        link, _ = await place.actor(handler)
        client = exchange.connect()
        await until(lambda: handler.seen)
        [handed] = handler.seen
        handed.set_state(b"short")
        handed.set_state(b"x" * (handover.MAX_STATE_BYTES + 1))
        await until(lambda: exchange.router.table.held[handed.id].state == b"short")
        assert link.is_connected
        assert os.get_blocking(handed.sock.fileno()) is False
        client.close()


async def test_whoever_has_given_a_connection_away_notes_nothing_more(tmp_path: Path) -> None:
    """A state that was on its way inside the process must not stand where the one of the handover, or a successor's,
    does."""
    async with town(tmp_path) as place:
        exchange = place.exchange()
        handler, successor = Handler(), Handler()
        link, _ = await place.actor(handler)
        client, other = exchange.connect(), exchange.connect()
        await until(lambda: len(handler.seen) == 2)
        await place.actor(successor, generation=2)
        handed, last = handler.seen
        handed.set_state(b"exact")
        handed.park(b"")
        handed.set_state(b"late")
        last.set_state(b"after that")
        await link.flush()
        held = exchange.router.table.held
        await until(lambda: held[last.id].state == b"after that")
        assert held[handed.id].state == b"exact"
        handler.let_go.set()
        successor.let_go.set()
        await until(lambda: closed(client) and closed(other))
        for each in (client, other):
            each.close()


@pytest.mark.parametrize("has_noticed", [True, False])
async def test_a_drain_waits_for_a_gateway_that_is_being_replaced(tmp_path: Path, has_noticed: bool) -> None:
    """Whoever is stopped a moment after the gateway was keeps its connections all the same."""
    async with town(tmp_path) as place:
        exchange = place.exchange()
        handler, successor = Handler(), Handler()
        link, _ = await place.actor(handler)
        client = exchange.connect()
        await until(lambda: handler.seen)
        exchange.die()
        if has_noticed:
            await until(lambda: not link.is_connected)
        place.exchange()
        await place.actor(successor, generation=2)
        await drain(link)
        await until(lambda: successor.seen)
        assert successor.seen[0].id == handler.seen[0].id
        client.close()
