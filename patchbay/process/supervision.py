"""Notices that the supervisor of an actor has ended, and finds the next one within a grace time.

The life line is a pipe whose other end only the supervisor holds. When it is closed, the actor goes on serving and says
hello on the supervisor's socket, with the descriptors that the last supervisor had passed to it: the next supervisor
owns the listening sockets again. That connection is the life line from then on.
"""

from __future__ import annotations

import array
import json
import logging
import os
import socket
from typing import TYPE_CHECKING

import trio

from config.paths import unix_path
from patchbay.process import socket_names

if TYPE_CHECKING:
    from patchbay.process.context import Context

logger = logging.getLogger(__name__)

RETRY_S = 0.2
ANSWER_TIMEOUT_S = 2.0


async def follow_supervisor(context: Context, is_ready: trio.Event) -> None:
    """Return when there was no supervisor for the grace time; never, if no supervisor has started this process.

    Cancelling is safe.
    """
    lifeline = context.identity.lifeline
    if lifeline is None:
        await trio.sleep_forever()
        return
    await _wait_closed(lifeline)
    os.close(lifeline)
    while True:
        logger.warning("supervisor gone; going on, and looking for the next one")
        adopted = None
        with trio.move_on_after(context.settings.supervisor.grace_s):
            adopted = await _find(context, is_ready)
        if adopted is None:
            logger.warning("no supervisor for %.0f s: stopping", context.settings.supervisor.grace_s)
            return
        logger.info("adopted by a new supervisor")
        with adopted:
            await _wait_closed(adopted.fileno())


async def _find(context: Context, is_ready: trio.Event) -> socket.socket:
    """Say hello again and again until a supervisor adopts this process; return the connection."""
    while True:
        adopted = await _say_hello(context, ready=is_ready.is_set())
        if adopted is not None:
            return adopted
        await trio.sleep(RETRY_S)


async def _wait_closed(fd: int) -> None:
    """Wait until the other end is closed."""
    os.set_blocking(fd, False)
    while True:
        await trio.lowlevel.wait_readable(fd)
        try:
            if not os.read(fd, 64):
                return
        except BlockingIOError:
            continue
        except OSError:
            return


async def _say_hello(context: Context, *, ready: bool) -> socket.socket | None:
    """Say hello to a supervisor, if one listens; return the connection if it adopts this process."""
    who = context.identity
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError as error:
        logger.debug("no descriptor is left to say hello to a supervisor with: %s", error)
        return None
    sock.setblocking(False)
    names = list(who.fds)
    about = {"name": who.name, "index": who.index, "pid": os.getpid(), "generation": who.generation}
    hello = json.dumps({"hello": {**about, "ready": ready, "fds": names}}).encode()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [who.fds[name] for name in names]))]
    adopted = False
    try:
        sock.connect(unix_path(context.settings.run_dir, socket_names.ADOPTION))
        sock.sendmsg([hello], rights if names else [])
        with trio.move_on_after(ANSWER_TIMEOUT_S):
            await trio.lowlevel.wait_readable(sock)
            adopted = json.loads(sock.recv(4096) or b"{}").get("ok") is True
    except (OSError, ValueError) as error:
        logger.debug("no supervisor yet: %s", error)
    finally:
        if not adopted:
            sock.close()
    return sock if adopted else None
