"""Sends and receives frames over ZeroMQ sockets, driven from trio.

ZMQ_FD is an *edge*: it becomes readable when the socket's state may have changed, and any call into libzmq (send, poll,
EVENTS) can consume that edge. So one task receives; it receives until EAGAIN before it waits; and every other call that
is made while it waits checks EVENTS and wakes it. A send never waits: a full queue refuses the frame, which is counted
(audio is delivered at most once).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import trio
import zmq
from trio.lowlevel import cancel_shielded_checkpoint, checkpoint_if_cancelled, notify_closing, wait_readable

from config.paths import unix_path
from patchbay.net.event_loop import NOW, Callback
from patchbay.process import socket_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from config import Settings
    from patchbay.process.identity import Identity

RECONNECT_MS = 10
RECONNECT_MAX_MS = 200
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
RECEIVED_AT_ONCE_BYTES = 512 * 1024
AUDIO_QUEUE = 200  # messages, each with the frames of one round
COMMAND_QUEUE = 10_000  # messages
LINGER_MS = 200
NOBLOCK, EVENTS, POLLIN = int(zmq.NOBLOCK), int(zmq.EVENTS), int(zmq.POLLIN)  # as enums they cost more than the calls


class BusSocket:
    """Holds one ZeroMQ socket. One task receives; any task of the same thread may send. `close` wakes the receiver.

    Attributes:
        dropped: how many frames were refused by a full queue, or had no peer.
    """

    def __init__(self, sock: zmq.Socket[bytes]) -> None:
        self._sock = sock
        self._fd = int(sock.getsockopt(zmq.FD))
        self._is_waiting = False
        self._callback: Callback | None = None  # receives while `serve` runs
        self._is_drained = False  # libzmq had no more frames and was not called since: the next edge can't be missed
        self.dropped = 0

    async def receive_many(self, limit: int = 64) -> list[bytes]:
        """Wait for frames and return 1 to `limit` of them. Cancelling never loses a frame.

        Raises:
            trio.BusyResourceError: another task is receiving.
            trio.ClosedResourceError: the socket was closed.
        """
        if self._is_drained:
            await self._wait()
        else:
            await checkpoint_if_cancelled()
            if self._sock.closed:
                raise trio.ClosedResourceError
            if batch := self.receive_nowait(limit):
                await cancel_shielded_checkpoint()  # let others run, but keep the frames
                return batch
            await self._wait()
        while not (batch := self.receive_nowait(limit)):
            await self._wait()
        return batch

    def receive_nowait(self, limit: int = 64) -> list[bytes]:
        """Return the frames that have arrived, 0 to `limit`; fewer when they have RECEIVED_AT_ONCE_BYTES."""
        batch: list[bytes] = []
        recv, getsockopt = self._sock.recv, self._sock.getsockopt
        size = 0
        self._is_drained = False
        try:
            while len(batch) < limit and size < RECEIVED_AT_ONCE_BYTES:
                frame = recv(NOBLOCK)
                batch.append(frame)
                size += len(frame)
                if not int(getsockopt(EVENTS)) & POLLIN:  # cheaper than a `recv` that fails
                    self._is_drained = True
                    break
        except zmq.Again:
            self._is_drained = True
        return batch

    async def serve(self, on_frames: Callable[[list[bytes]], None], limit: int = 64) -> None:
        """Call `on_frames` with 1 to `limit` frames at a time, until cancelled. Cancelling never loses a frame.

        For frames that come hundreds of times a second: `on_frames` is called by the event loop, without waking a task.

        Raises:
            trio.BusyResourceError: another task is receiving.
        """
        if self._is_waiting or self._callback is not None:
            raise trio.BusyResourceError("another task is already receiving")

        def work() -> float | None:
            if batch := self.receive_nowait(limit):
                on_frames(batch)
            return None if self._is_drained else NOW

        self._callback = Callback(work, self._fd)
        self._callback.schedule()  # an edge may have been consumed already
        try:
            await self._callback.run()
        finally:
            self._callback = None

    def send_nowait(self, frame: bytes) -> bool:
        """Queue a frame. Return False, and count the frame, when the queue to the peer is full or there is no peer."""
        try:
            self._sock.send(frame, NOBLOCK)
        except zmq.Again:
            self.dropped += 1
            return False
        finally:
            self._rearm()
        return True

    def subscribe(self, topic: bytes) -> None:
        """Receive messages that begin with `topic` from now on."""
        self._sock.setsockopt(zmq.SUBSCRIBE, topic)
        self._rearm()

    def unsubscribe(self, topic: bytes) -> None:
        """Receive no more messages that begin with `topic`."""
        self._sock.setsockopt(zmq.UNSUBSCRIBE, topic)
        self._rearm()

    def close(self) -> None:
        """Close the socket without waiting; queued frames that are not sent within LINGER_MS are lost."""
        if not self._sock.closed:
            self._is_drained = False
            notify_closing(self._fd)
            self._sock.close(linger=LINGER_MS)

    async def _wait(self) -> None:
        """Wait for the next edge, or until `_rearm` finds that another call has consumed it."""
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
        """Wake the receiver after a call into libzmq that may have consumed the edge that the receiver waits for."""
        self._is_drained = False
        if self._is_waiting and int(self._sock.getsockopt(EVENTS)) & POLLIN:
            notify_closing(self._fd)  # wakes the waiting task; closes nothing
        elif self._callback is not None:
            self._callback.schedule()


class RouterSocket(BusSocket):
    """Holds a ROUTER socket: each frame comes with its sender's routing id, and is sent to one routing id."""

    async def receive_from(self, limit: int = 64) -> list[tuple[bytes, bytes]]:
        """Wait for frames and return 1 to `limit` pairs of (routing id, frame). Cancelling never loses a frame."""
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
        """Queue a frame for a peer. Return False, and count the frame, when it has gone or its queue is full."""
        try:
            self._sock.send_multipart((routing_id, frame), zmq.NOBLOCK)
        except (zmq.Again, zmq.ZMQError):
            self.dropped += 1
            return False
        finally:
            self._rearm()
        return True


async def discard_received(sock: BusSocket) -> None:
    """Receive and discard frames, until cancelled: the subscriptions of a publisher that needs no interest, which would
    pile up."""
    while True:
        await sock.receive_many()


BusSocketT = TypeVar("BusSocketT", bound=BusSocket)


class Bus:
    """Makes the ZeroMQ sockets of one process, and closes them with itself."""

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self._settings = settings
        self._identity = identity
        self._context = zmq.Context(io_threads=1)
        self._context.setsockopt(zmq.LINGER, LINGER_MS)
        self._made: list[BusSocket] = []

    def publisher(self, endpoint: str) -> BusSocket:
        """Make an XPUB that listens on this process's endpoint. It receives subscriptions, repeated ones too."""
        sock = self.new_socket(zmq.XPUB, queue=AUDIO_QUEUE)
        sock.setsockopt(zmq.XPUB_VERBOSE, 1)  # repeated subscriptions, too: each subscriber must be sent the streams
        self._listen(sock, endpoint)
        return self.keep(BusSocket(sock))

    def subscriber(self, actor: str, endpoint: str, *topics: bytes, bridge_too: bool = False) -> BusSocket:
        """Make a SUB that is connected to an actor's processes, in both slots; to the bridge of a cluster too."""
        sock = self.new_socket(zmq.SUB, queue=AUDIO_QUEUE)
        for topic in topics:
            sock.setsockopt(zmq.SUBSCRIBE, topic)
        names = list(socket_names.endpoints(self._settings, actor, endpoint))
        if bridge_too and self._settings.cluster.is_on:
            names += socket_names.endpoints(self._settings, "bridge", endpoint)
        return self._connect(sock, names)

    def router(self, endpoint: str) -> RouterSocket:
        """Make a ROUTER that listens on this process's endpoint."""
        sock = self.new_socket(zmq.ROUTER, queue=COMMAND_QUEUE)
        sock.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._listen(sock, endpoint)
        return self.keep(RouterSocket(sock))

    def dealer(self, actor: str, endpoint: str) -> BusSocket:
        """Make a DEALER that is connected to an actor's processes, in both slots. Without a peer it refuses frames."""
        sock = self.new_socket(zmq.DEALER, queue=COMMAND_QUEUE)
        sock.setsockopt(zmq.IMMEDIATE, 1)
        return self._connect(sock, socket_names.endpoints(self._settings, actor, endpoint))

    def puller(self, endpoint: str) -> BusSocket:
        """Make a PULL that listens on this process's endpoint."""
        sock = self.new_socket(zmq.PULL, queue=AUDIO_QUEUE)
        self._listen(sock, endpoint)
        return self.keep(BusSocket(sock))

    def pusher(self, actor: str, index: int, slot: str, endpoint: str) -> BusSocket:
        """Make a PUSH that is connected to one process in one slot. Without a peer it refuses frames."""
        sock = self.new_socket(zmq.PUSH, queue=AUDIO_QUEUE)
        sock.setsockopt(zmq.IMMEDIATE, 1)
        return self._connect(sock, (socket_names.endpoint(actor, index, slot, endpoint),))

    def close(self) -> None:
        """Close every socket. Returns within LINGER_MS even when a peer does not read."""
        for made in self._made:
            made.close()
        self._context.term()

    def new_socket(self, kind: int, *, queue: int) -> zmq.Socket[bytes]:
        """Make a socket with the limits of the bus; give it to `keep`, or close it."""
        sock = self._context.socket(kind)
        sock.setsockopt(zmq.SNDHWM, queue)
        sock.setsockopt(zmq.RCVHWM, queue)
        sock.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        sock.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        sock.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
        # Without a limit: a connect may wait in the backlog of a listening socket until that actor's next process
        # accepts.
        sock.setsockopt(zmq.HANDSHAKE_IVL, 0)
        return sock

    def _listen(self, sock: zmq.Socket[bytes], endpoint: str) -> None:
        identity = self._identity
        try:
            sock.setsockopt(zmq.USE_FD, identity.fds[endpoint])
            sock.bind(self._address(socket_names.endpoint(identity.name, identity.index, identity.slot, endpoint)))
        except (KeyError, zmq.ZMQError):
            sock.close(linger=0)
            raise

    def _connect(self, sock: zmq.Socket[bytes], names: Iterable[str]) -> BusSocket:
        for name in names:
            sock.connect(self._address(name))
        return self.keep(BusSocket(sock))

    def keep(self, made: BusSocketT) -> BusSocketT:
        """Have a socket closed with the bus."""
        self._made.append(made)
        return made

    def _address(self, name: str) -> str:
        return "ipc://" + unix_path(self._settings.run_dir, name)
