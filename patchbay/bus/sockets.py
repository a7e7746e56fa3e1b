"""Drives ZeroMQ sockets from trio, and knows the endpoints of the bus.

ZMQ_FD is an *edge*: it says "the state may have changed", and any call into libzmq (send, poll, EVENTS) can swallow
that edge. So: one task receives; it drains to EAGAIN before it waits; and every other call made while it waits looks
at EVENTS and wakes it. Sends never wait: a full queue is returned and counted (audio: newest wins, at most once).

Endpoints are Unix sockets in the run directory which the supervisor owns and keeps listener, two for each (slots `a`
and `b`): subscribers connect to both, so that during a roll they hear the old generation and the new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
import zmq
from trio.lowlevel import cancel_shielded_checkpoint, checkpoint_if_cancelled, notify_closing, wait_readable

from config.paths import unix_path
from patchbay.net.event_loop import NOW, Callback
from patchbay.process import socket_names
from patchbay.process.socket_names import SLOTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from config import Settings
    from patchbay.process.identity import Identity

RECONNECT_MS = 10
RECONNECT_MAX_MS = 200
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
RECEIVED_AT_ONCE_BYTES = 512 * 1024
AUDIO_QUEUE = 200  # messages, each a round of frames: a consumer that is further behind gets the newest it can
COMMAND_QUEUE = 10_000
LINGER_MS = 200
NOBLOCK, EVENTS, POLLIN = int(zmq.NOBLOCK), int(zmq.EVENTS), int(zmq.POLLIN)  # as enums they cost more than the calls


class BusSocket:
    """Wraps one pyzmq socket. One task receives; any task of the same thread may send. `close` wakes the receiver."""

    def __init__(self, sock: zmq.Socket[bytes]) -> None:
        self._sock = sock
        self._fd = int(sock.getsockopt(zmq.FD))
        self._is_waiting = False
        self._callback: Callback | None = None  # that receives
        self._is_drained = False  # nothing was there, and nobody has called libzmq since: the next edge is not lost
        self.dropped = 0  # frames that a full queue refused

    async def receive_many(self, limit: int = 64) -> list[bytes]:
        """Return 1..limit frames. Cancelling never loses a frame.

        Raises:
            trio.BusyResourceError: another task is receiving.
            trio.ClosedResourceError: closed meanwhile.
        """
        if self._is_drained:
            await self._wait()
        else:
            await checkpoint_if_cancelled()
            if self._sock.closed:
                raise trio.ClosedResourceError
            if batch := self.receive_nowait(limit):
                await cancel_shielded_checkpoint()  # yield, but keep what was taken
                return batch
            await self._wait()
        while not (batch := self.receive_nowait(limit)):
            await self._wait()
        return batch

    def receive_nowait(self, limit: int = 64) -> list[bytes]:
        """Return what is there, 0..limit frames, and no more after so many bytes that others would wait for long."""
        batch: list[bytes] = []
        recv, ask = self._sock.recv, self._sock.getsockopt
        size = 0
        self._is_drained = False
        try:
            while len(batch) < limit and size < RECEIVED_AT_ONCE_BYTES:
                frame = recv(NOBLOCK)
                batch.append(frame)
                size += len(frame)
                if not int(ask(EVENTS)) & POLLIN:  # half the price of being refused
                    self._is_drained = True
                    break
        except zmq.Again:
            self._is_drained = True
        return batch

    async def serve(self, take: Callable[[list[bytes]], None], limit: int = 64) -> None:
        """Call `take` with 1..limit frames at a time, for ever, without waking a task. Cancelling never loses a frame.

        Raises:
            trio.BusyResourceError: another task is receiving.
        """
        if self._is_waiting or self._callback is not None:
            raise trio.BusyResourceError("another task is already receiving")

        def work() -> float | None:
            if batch := self.receive_nowait(limit):
                take(batch)
            return None if self._is_drained else NOW

        self._callback = Callback(work, self._fd)
        self._callback.plan()  # an edge may be gone already
        try:
            await self._callback.run()
        finally:
            self._callback = None

    def send_nowait(self, frame: bytes) -> bool:
        """Queue a frame. False, and counted, when the queue to the peer is full or there is no peer."""
        try:
            self._sock.send(frame, NOBLOCK)
        except zmq.Again:
            self.dropped += 1
            return False
        finally:
            self._rearm()
        return True

    def subscribe(self, topic: bytes) -> None:
        """Receive messages that begin with this."""
        self._sock.setsockopt(zmq.SUBSCRIBE, topic)
        self._rearm()

    def unsubscribe(self, topic: bytes) -> None:
        """Receive these messages no more."""
        self._sock.setsockopt(zmq.UNSUBSCRIBE, topic)
        self._rearm()

    def close(self) -> None:
        """Close at once; what is queued may be lost."""
        if not self._sock.closed:
            self._is_drained = False
            notify_closing(self._fd)
            self._sock.close(linger=LINGER_MS)

    async def _wait(self) -> None:
        """Wait for the next edge, or until `_rearm` says that it has been swallowed."""
        if self._is_waiting or self._callback is not None:
            raise trio.BusyResourceError("another task is already receiving")
        self._is_waiting = True
        try:
            await wait_readable(self._fd)
        except trio.ClosedResourceError:
            if self._sock.closed:
                raise
        finally:
            self._is_waiting = False

    def _rearm(self) -> None:
        """Wake the receiver after a call into libzmq, which may have swallowed the edge that the receiver waits for."""
        self._is_drained = False
        if self._is_waiting and int(self._sock.getsockopt(EVENTS)) & POLLIN:
            notify_closing(self._fd)  # wakes who waits, at no cost to those who wait in vain; nothing is closed
        elif self._callback is not None:
            self._callback.plan()


class RouterSocket(BusSocket):
    """Wraps a ROUTER: every frame comes with, and goes to, a peer's routing id."""

    async def receive_from(self, limit: int = 64) -> list[tuple[bytes, bytes]]:
        """Return 1..limit pairs of (routing id, frame). Cancelling never loses one."""
        await checkpoint_if_cancelled()
        while True:
            batch: list[tuple[bytes, bytes]] = []
            try:
                while len(batch) < limit:
                    parts = self._sock.recv_multipart(zmq.NOBLOCK)
                    if len(parts) == 2:
                        batch.append((parts[0], parts[1]))
            except zmq.Again:
                pass
            if batch:
                await cancel_shielded_checkpoint()
                return batch
            await self._wait()

    def send_to(self, routing_id: bytes, frame: bytes) -> bool:
        """Send to one peer. False, and counted, when it has gone or does not read."""
        try:
            self._sock.send_multipart((routing_id, frame), zmq.NOBLOCK)
        except (zmq.Again, zmq.ZMQError):
            self.dropped += 1
            return False
        finally:
            self._rearm()
        return True


async def discard_received(socket: BusSocket) -> None:
    """Receive and discard, for ever. For a publisher that asks nobody for interest: subscriptions would pile up."""
    while True:
        await socket.receive_many()


class Bus:
    """Makes the sockets of one process. Closing it closes what it made."""

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self._settings = settings
        self._identity = identity
        self._context = zmq.Context(io_threads=1)
        self._context.setsockopt(zmq.LINGER, LINGER_MS)
        self._made: list[BusSocket] = []

    def publisher(self, endpoint: str) -> BusSocket:
        """Make an XPUB on our own endpoint. It receives subscriptions, repeated ones too."""
        sock = self._socket(zmq.XPUB, queue=AUDIO_QUEUE)
        sock.setsockopt(zmq.XPUB_VERBOSE, 1)  # a second subscriber is new to the calls, and is told them
        return self._bind(sock, endpoint)

    def subscriber(self, actor: str, endpoint: str, *topics: bytes) -> BusSocket:
        """Make a SUB to every process of an actor, of both generations."""
        sock = self._socket(zmq.SUB, queue=AUDIO_QUEUE)
        for topic in topics:
            sock.setsockopt(zmq.SUBSCRIBE, topic)
        return self._connect(sock, actor, range(self._processes(actor)), SLOTS, endpoint)

    def router(self, endpoint: str) -> RouterSocket:
        """Make a ROUTER on our own endpoint."""
        sock = self._socket(zmq.ROUTER, queue=COMMAND_QUEUE)
        sock.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._bind_fd(sock, endpoint)
        made = RouterSocket(sock)
        self._made.append(made)
        return made

    def dealer(self, actor: str, endpoint: str) -> BusSocket:
        """Make a DEALER to whichever generation of an actor answers. A frame without a peer is refused, not queued."""
        sock = self._socket(zmq.DEALER, queue=COMMAND_QUEUE)
        sock.setsockopt(zmq.IMMEDIATE, 1)
        return self._connect(sock, actor, range(self._processes(actor)), SLOTS, endpoint)

    def puller(self, endpoint: str) -> BusSocket:
        """Make a PULL on our own endpoint."""
        return self._bind(self._socket(zmq.PULL, queue=AUDIO_QUEUE), endpoint)

    def pusher(self, actor: str, index: int, slot: str, endpoint: str) -> BusSocket:
        """Make a PUSH to one process. A frame that it can't take at once is refused, not queued."""
        sock = self._socket(zmq.PUSH, queue=AUDIO_QUEUE)
        sock.setsockopt(zmq.IMMEDIATE, 1)
        return self._connect(sock, actor, (index,), (slot,), endpoint)

    def close(self) -> None:
        """Close every socket; returns within LINGER_MS even when a peer does not read."""
        for made in self._made:
            made.close()
        self._context.term()

    def _processes(self, actor: str) -> int:
        section = getattr(self._settings, actor, None)
        return int(getattr(section, "processes", 1))

    def _socket(self, kind: int, *, queue: int) -> zmq.Socket[bytes]:
        sock = self._context.socket(kind)
        sock.setsockopt(zmq.SNDHWM, queue)
        sock.setsockopt(zmq.RCVHWM, queue)
        sock.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        sock.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        sock.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
        # Our connect may wait in the queue of a listening socket until that actor's next process accepts it.
        sock.setsockopt(zmq.HANDSHAKE_IVL, 0)
        return sock

    def _bind(self, sock: zmq.Socket[bytes], endpoint: str) -> BusSocket:
        self._bind_fd(sock, endpoint)
        made = BusSocket(sock)
        self._made.append(made)
        return made

    def _bind_fd(self, sock: zmq.Socket[bytes], endpoint: str) -> None:
        who = self._identity
        try:
            sock.setsockopt(zmq.USE_FD, who.fds[endpoint])
            sock.bind(self._address(who.name, who.index, who.slot, endpoint))
        except (KeyError, zmq.ZMQError):
            sock.close(linger=0)
            raise

    def _connect(
        self,
        sock: zmq.Socket[bytes],
        actor: str,
        indexes: range | tuple[int, ...],
        slots: tuple[str, ...],
        endpoint: str,
    ) -> BusSocket:
        for index in indexes:
            for slot in slots:
                sock.connect(self._address(actor, index, slot, endpoint))
        made = BusSocket(sock)
        self._made.append(made)
        return made

    def _address(self, actor: str, index: int, slot: str, endpoint: str) -> str:
        return "ipc://" + unix_path(self._settings.run_dir, socket_names.endpoint(actor, index, slot, endpoint))
