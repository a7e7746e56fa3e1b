"""Runs the gateway's process: the listener, the router, and their end.

When it stops, connections that wait for an actor go to the next gateway; those that are served stay with their
actors, which deposit them there.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

import msgspec
import orjson
import trio

from actors.gateway.admission import Admission
from actors.gateway.fd_limits import fitted
from actors.gateway.links import accept_links
from actors.gateway.listener import Listener
from actors.gateway.router import Router
from actors.gateway.tls import Certificate
from config.paths import unix_path
from patchbay.auth.tokens import REFUSED
from patchbay.bus.sockets import discard_received
from patchbay.http.head import BadRequest, call_ids
from patchbay.net.unix_packets import PacketSocket, PacketSocketClosed
from patchbay.process import socket_names
from patchbay.process.periodic import next_tick
from patchbay.protocol import batches, handover

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config import Settings
    from patchbay.bus.sockets import BusSocket
    from patchbay.http.head import RequestHead, Route
    from patchbay.process.context import Context

log = logging.getLogger(__name__)

HEADS_TIMEOUT_S = 0.5  # for heads that are half there when we are to stop
FLUSH_TIMEOUT_S = 0.5
SHOWN_CHARS = 200


async def run(context: Context) -> None:
    """Serve the public port until asked to stop."""
    public = socket.socket(fileno=os.dup(context.identity.fds["public"]))
    links = socket.socket(fileno=os.dup(context.identity.fds["handoff"]))
    links.setblocking(False)
    async with trio.open_nursery() as nursery:
        gateway = Gateway(context, nursery)
        nursery.start_soon(gateway.listener.tls.end_overdue)
        async with trio.open_nursery() as accepting:
            accepting.start_soon(gateway.listener.accept, public, nursery)
            accepting.start_soon(accept_links, links, gateway.router.links.serve, nursery)
            accepting.start_soon(gateway.router.watch_overdue)
            accepting.start_soon(gateway.reload_on_hangup)
            publisher = context.bus.publisher("pub")
            accepting.start_soon(gateway.report, publisher)
            accepting.start_soon(discard_received, publisher)
            context.ready()
            await context.draining.wait()
            accepting.cancel_scope.cancel()
        with trio.move_on_after(HEADS_TIMEOUT_S):
            await gateway.listener.until_empty()
        await gateway.hand_over_waiting()
        nursery.cancel_scope.cancel()


class Gateway:
    """Holds the listener and the router, and passes connections between them."""

    def __init__(self, context: Context, nursery: trio.Nursery) -> None:
        self._context = context
        self._nursery = nursery
        settings = _fitted(context.settings)
        _warn_of_anonymous(settings.auth.anonymous_networks)
        self.admission = Admission(settings)
        self.router = Router(
            settings.gateway,
            self._refuse,
            self._take_back,
            self.admission.count_again,
            {"ingest": settings.ingest.processes, "fanout": settings.fanout.processes},
        )
        self.certificate = Certificate.of(context.settings.tls)
        self.listener = Listener(settings.gateway, self._admit, self.certificate, self._note_refusal)
        self._turned_away: Counter[str] = Counter()

    async def reload_on_hangup(self) -> None:
        """Read the certificate again at SIGHUP. For ever."""
        with trio.open_signal_receiver(signal.SIGHUP) as signals:
            async for _ in signals:
                if self.certificate is not None:
                    self.certificate.reload()

    async def report(self, publisher: BusSocket) -> None:
        """Publish statistics for the console. For ever."""
        who = self._context.identity
        while True:
            counters = {
                **asdict(self.listener.counters),
                **self._turned_away,
                **self.admission.counters,
                **self.router.counters,
                "tls_refused": self.listener.tls.refused,
                "tls_late": self.listener.tls.late,
            }
            table = self.router.table
            gauges = {
                "connections": len(table.held),
                "media_streams": table.counts["media streams"],
                "waiting": sum(1 for _ in table.waiting()),
                "at_the_door": self.listener.pending,
                "tls_connections": self.listener.tls.count,
            }
            about = {"from": who.instance, "epoch": who.epoch, "counters": counters, "gauges": gauges}
            publisher.send_nowait(batches.STATS_TOPIC + orjson.dumps(about))
            await next_tick()

    async def hand_over_waiting(self) -> None:
        """Hand over the connections that wait for an actor to the next gateway, if there is one."""
        waiting = list(self.router.table.waiting())
        if not waiting:
            return
        sock = _next_gateway(self._context.settings.run_dir)
        if sock is None:
            return
        packets = PacketSocket(sock, max_packet_bytes=handover.MAX_PACKET_BYTES)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(packets.write_queued)
            who = self._context.identity
            hello = handover.Hello(name="gateway", index=who.index, generation=who.generation, pid=os.getpid())
            with trio.move_on_after(FLUSH_TIMEOUT_S):
                packets.send_nowait(handover.encode(hello))
                with suppress(PacketSocketClosed):  # it has gone, or there is no descriptor left
                    for held in waiting:
                        deposit = handover.Deposit(connection=handover.describe(held), fresh=held.fresh)
                        packets.send_nowait(handover.encode(deposit), held.sock.fileno())
                await packets.flush()
            nursery.cancel_scope.cancel()
        packets.close()

    def _admit(self, sock: socket.socket, peer: str, head: bytes, parsed: RequestHead, target: Route) -> None:
        admission = self.admission.receive(peer, parsed, target, now=trio.current_time(), wall=time.time())
        if admission.claims is not None and REFUSED in admission.claims:  # it is told after the upgrade
            self._log_refusal(peer, parsed, str(admission.claims[REFUSED][1]), admission.claims["sub"])
        self.router.admit(sock, head, parsed, target, admission)

    def _note_refusal(self, peer: str, parsed: RequestHead | None, refusal: BadRequest) -> None:
        self._turned_away[f"turned_away_{refusal.status}"] += 1
        # The reason quotes a head that can't be read, which may hold tokens.
        why = "a head that can't be read" if parsed is None else str(refusal)
        self._log_refusal(peer, parsed, f"{refusal.status} {why}", refusal.sub)

    def _log_refusal(self, peer: str, parsed: RequestHead | None, why: str, sub: str | None) -> None:
        about: dict[str, object] = {"peer": peer}
        if parsed is not None:
            about["forwarded_for"] = ", ".join(parsed.every("x-forwarded-for"))[:SHOWN_CHARS]
            about["path"] = parsed.path[:SHOWN_CHARS]
            about["call_control_id"] = ", ".join(call_ids(parsed))[:SHOWN_CHARS] or None
        log.warning("turned away: %s", why, extra={**about, "sub": sub})

    def _refuse(self, sock: socket.socket, status: int, text: str) -> None:
        self._nursery.start_soon(self.listener.refuse, sock, status, text)

    def _take_back(self, sock: socket.socket, peer: str) -> None:
        self._nursery.start_soon(self.listener.receive, sock, peer)


def _next_gateway(run_dir: str) -> socket.socket | None:
    """Connect to the gateway that comes after this one; None: there is none, or no descriptor to connect with."""
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:
        return None
    try:
        sock.setblocking(False)  # it may not be there to accept; the queue in front of it may be full
        sock.connect(unix_path(run_dir, socket_names.HANDOVER))
    except OSError:
        sock.close()
        return None
    return sock


def _fitted(settings: Settings) -> Settings:
    """Return the settings with limits that the descriptors of this process allow."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    given = fitted(settings.gateway, descriptors, tls=settings.tls.is_on)
    if given != settings.gateway:
        log.warning(
            "only %d descriptors (ulimit -n): at most %d connections and %d media streams",
            descriptors,
            given.max_connections,
            given.max_streams,
        )
    return msgspec.structs.replace(settings, gateway=given)


def _warn_of_anonymous(networks: Sequence[str]) -> None:
    if networks:
        log.warning(
            "clients from %s need no token: they hear every call, talk into it and see its events "
            "(auth.anonymous_networks)",
            ", ".join(networks),
        )
