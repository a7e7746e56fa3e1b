"""An actor's tie to its supervisor: notices that it has gone, finds the next one, and gives up after a grace time.

The life line is a pipe whose other end only the supervisor holds. When it ends, the actor goes on serving and calls
at the supervisor's socket; a new supervisor is given the descriptors that the old one had passed on, so that it owns
the listening sockets again, and that connection is the life line from then on.
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

log = logging.getLogger(__name__)

RETRY_S = 0.2
ANSWER_TIMEOUT_S = 2.0


async def follow_supervisor(context: Context, is_ready: trio.Event) -> None:
    """Return when no supervisor has been there for the grace time; never, when there is none to follow."""
    lifeline = context.identity.lifeline
    if lifeline is None:
        await trio.sleep_forever()
        return
    await _end_of(lifeline)
    os.close(lifeline)
    while True:
        log.warning("supervisor gone; going on, and looking for the next one")
        adopted = None
        with trio.move_on_after(context.settings.supervisor.grace_s):
            adopted = await _find(context, is_ready)
        if adopted is None:
            log.warning("no supervisor for %.0f s: stopping", context.settings.supervisor.grace_s)
            return
        log.info("adopted by a new supervisor")
        with adopted:
            await _end_of(adopted.fileno())


async def _find(context: Context, is_ready: trio.Event) -> socket.socket:
    while True:
        adopted = await _call(context, ready=is_ready.is_set())
        if adopted is not None:
            return adopted
        await trio.sleep(RETRY_S)


async def _end_of(fd: int) -> None:
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


async def _call(context: Context, *, ready: bool) -> socket.socket | None:
    """Say hello to a supervisor, if there is one, with what its predecessor had passed on."""
    who = context.identity
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError as error:
        log.debug("no descriptor to call a supervisor with: %s", error)
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
        log.debug("no supervisor yet: %s", error)
    finally:
        if not adopted:
            sock.close()
    return sock if adopted else None
