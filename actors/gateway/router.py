"""Routes each connection to an actor process, as the table decides, and acts on what the processes say of them.

Owns the gateway's copies of all descriptors. Knows nothing of the protocols that are spoken on them.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, cast
from zlib import crc32

import trio

from actors.gateway.admission import TooMany, kind_of
from actors.gateway.links import Links
from actors.gateway.table import HeldConnection, Table
from patchbay.http.head import BadRequest, RequestHead, Route, call_ids, parse_head, route
from patchbay.net.tcp_info import NO_COUNT, bytes_written
from patchbay.process.periodic import next_tick
from patchbay.protocol import handover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from actors.gateway.admission import Admitted
    from actors.gateway.table import Link
    from config.settings import GatewaySettings
    from patchbay.http.head import ActorName

log = logging.getLogger(__name__)

OVERDUE_LOOK_S = 0.5


class Router:
    """Holds the connections, and routes them over the links.

    Args:
        refuse: answers a connection that nobody takes (socket, status, text) and closes it.
        take_back: reads the next head of an HTTP connection that an actor gave back.
        count_again: how a connection counts that an earlier gateway had let in; see `Admission`.
        processes: see `Table`.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        refuse: Callable[[socket.socket, int, str], None],
        take_back: Callable[[socket.socket, str], None],
        count_again: Callable[[str, Route, dict[str, Any] | None], Iterable[str]],
        processes: Mapping[str, int] | None = None,
    ) -> None:
        self._settings = settings
        self._refuse = refuse
        self._take_back = take_back
        self._count_again = count_again
        self.counters: Counter[str] = Counter()
        self.table: Table[socket.socket] = Table(processes)
        self.links = Links(self)
        self._last_id = 0

    def admit(self, sock: socket.socket, head: bytes, parsed: RequestHead, target: Route, admission: Admitted) -> None:
        """Take a connection in and offer it to an actor, now or when there is one.

        Raises:
            TooMany: 429 or 503 when there are too many, 503 for a probe that must not wait.
        """
        self._check_room(admission)
        if parsed.path == "/readyz" and not self.table.has_process("console"):
            raise TooMany(503, "Service Unavailable: not ready: console")
        held = HeldConnection(
            id=self._next_id(),
            sock=sock,
            kind=target.kind,
            actor=target.actor,
            head=head,
            peer=admission.peer,
            claims=admission.claims,
            counted=tuple(admission.counted),
            affinity=_affinity(parsed),
        )
        self.table.add(held, trio.current_time())
        self._offer(held)

    async def watch_overdue(self) -> None:
        """Offer connections that wait once more, since there may have been no descriptor, and end those that have
        waited too long for their actor. For ever."""
        while True:
            await next_tick(OVERDUE_LOOK_S)
            for held in list(self.table.waiting()):
                self._offer(held)
            for held in self.table.overdue(trio.current_time(), self._settings.park_time_s):
                self._end_overdue(held)

    def release(self, held: HeldConnection[socket.socket]) -> None:
        """Shut a connection down and close our copy of it."""
        self.table.remove(held.id)
        try:
            held.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            log.debug("connection %d had ended already", held.id)
        held.sock.close()

    def _next_id(self) -> int:
        """Return the present moment as a number, higher than every earlier one, also after a restart: clients, too,
        tell the newest stream of a call by it."""
        self._last_id = max(self._last_id + 1, time.time_ns())
        return self._last_id

    def _check_room(self, admission: Admitted) -> None:
        """Refuse a connection that is one too many: with 503 when the limit is of all clients, with 429 when it is of
        this one."""
        for name, limit in admission.counted.items():
            if self.table.counts[name] >= limit:
                sub = (admission.claims or {}).get("sub")
                kind, by = kind_of(name)
                self.counters[f"too_many_{kind}"] += 1
                if by:
                    self.counters["too_many_by_client"] += 1
                    raise TooMany(429, f"Too Many Requests: more than {limit} {name}", sub)
                raise TooMany(503, f"Service Unavailable: too many {name}", sub)

    def joined(self, link: Link) -> None:
        """Offer a new process the connections that wait for it."""
        self.table.join(link)
        log.info("%s.%d generation %d has connected", link.name, link.index, link.generation)
        self._offer_waiting(link.name)

    def left(self, link: Link) -> None:
        """Have the connections of a process that has gone wait for its successor."""
        served = len(link.serving)
        for held in [self.table.held[number] for number in link.serving]:
            if held.is_unsettled:
                carried = bytes_written(held.sock)
                held.settle(sys.maxsize if carried == NO_COUNT else carried)  # not known: nearly always, it was written
        for held in self.table.leave(link, trio.current_time()):
            self.release(held)
        log.info("%s.%d generation %d has gone; %d connections wait", link.name, link.index, link.generation, served)
        self._offer_waiting(link.name)

    def handle(self, link: Link, message: handover.ToGateway, fd: int | None) -> None:
        """Act on a message of an actor. Owns the descriptor."""
        match message:
            case handover.SetState(id=connection_id, state=state, once_above=once_above):
                held = self.table.held.get(connection_id)
                if held is not None and len(state) <= self._settings.note_max_bytes:
                    held.keep(state, once_above)
            case handover.Rest(id=connection_id, rest=rest):
                if (held := self.table.held.get(connection_id)) is not None and held.link is link:
                    held.unsent, held.torn = rest or b"", rest is None
            case handover.Answered(id=connection_id, once_above=once_above):
                if (held := self.table.held.get(connection_id)) is not None:
                    held.answer(once_above)
            case handover.Renewed(id=connection_id, claims=claims):
                if (held := self.table.held.get(connection_id)) is not None:
                    held.claims = claims
            case handover.Claim(id=connection_id, key=key):
                self._supersede(self.table.claim(connection_id, key))
            case handover.Closed(id=connection_id):
                if (held := self.table.held.get(connection_id)) is not None and held.link in (link, None):
                    self.release(held)
            case handover.HandBack(id=connection_id):
                if (held := self.table.remove(connection_id)) is not None:
                    self._take_back(held.sock, held.peer)
            case handover.Park():
                self._parked(link, message)
            case handover.Deposit():
                if fd is not None:
                    self._deposited(link, message, socket.socket(fileno=fd))
                    fd = None
                else:
                    self.counters["deposits_lost"] += 1
                    log.error("no descriptor left to take connection %d over", message.connection.id)
            case handover.Leaving():
                link.leaving = True
        if fd is not None:
            os.close(fd)

    def _parked(self, link: Link, message: handover.Park) -> None:
        held = self.table.held.get(message.id)
        if held is not None and held.link is link:
            held.keep(message.state, None)
            held.unsent, held.torn = message.unsent, False
            if held.answered_above is not None:  # whoever says goodbye has done what it was about to
                held.answer(None)
            self.table.wait(held, trio.current_time())
            self._offer(held)

    def _deposited(self, link: Link, message: handover.Deposit, sock: socket.socket) -> None:
        about = message.connection
        known = self.table.held.get(about.id)
        if known is not None:
            sock.close()
            self.table.serve(known, link)
            return
        sock.setblocking(False)
        target = Route(cast("ActorName", link.name), about.kind)
        try:
            head = parse_head(about.head)
            if link.name == "gateway":  # our predecessor, stopping: what had no actor there may find one here
                target = route(head)
        except BadRequest as refusal:  # it was of another version
            log.warning("connection %d can't be taken over: %s", about.id, refusal, extra={"peer": about.peer})
            sock.close()
            return
        held = HeldConnection(
            about.id, sock, about.kind, target.actor, about.head, about.peer, state=about.state, claims=about.claims
        )
        held.counted = tuple(self._count_again(about.peer, target, about.claims))
        held.unsent, held.fresh, held.affinity = about.unsent, message.fresh, _affinity(head)
        self.table.add(held, trio.current_time())
        if link.name == "gateway":
            self._offer(held)
        else:
            self.table.serve(held, link)

    def _supersede(self, held: HeldConnection[socket.socket] | None) -> None:
        if held is not None and held.link is not None:
            self.links.send(held.link, handover.encode(handover.Supersede(id=held.id)))
        elif held is not None:
            self.release(held)

    def _offer_waiting(self, actor: str) -> None:
        for held in list(self.table.waiting(actor)):
            self._offer(held)

    def _offer(self, held: HeldConnection[socket.socket]) -> None:
        link = self.table.choose(held)
        if link is None:
            return
        offer = handover.encode(handover.Offer(connection=handover.describe(held), resumed=not held.fresh))
        if self.links.send(link, offer, held.sock.fileno()):
            self.table.serve(held, link)

    def _end_overdue(self, held: HeldConnection[socket.socket]) -> None:
        log.warning("connection %d found no %s in time", held.id, held.actor, extra={"peer": held.peer})
        if held.fresh:
            self.table.remove(held.id)
            self._refuse(held.sock, 503, f"Service Unavailable: {held.actor} is not there")
        else:
            self.release(held)


def _affinity(head: RequestHead) -> int | None:
    """Return a number that is the same for all who name one and the same call; None: no call is named, or several
    are."""
    calls = call_ids(head)
    return crc32(calls[0].encode()) if len(calls) == 1 else None
