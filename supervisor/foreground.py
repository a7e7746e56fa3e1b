"""Runs a supervisor in this process, from its settings to its exit status: lock, signals, limits, last words."""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from actors.runtime import log
from config.paths import RunDirError
from supervisor import control
from supervisor.client import NoSupervisorError, ask
from supervisor.exits import signal_name
from supervisor.notify import Upward
from supervisor.rundir import CONTROL_NAME, AlreadyRunningError, RunDir
from supervisor.service import Supervisor
from supervisor.sockets import PortTakenError, listen_unix
from supervisor.specs import actors
from supervisor.words import url_host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from typing import TextIO

    from config import Settings

logger = logging.getLogger(__name__)

# sysexits.h
EX_UNAVAILABLE = 69  # the port is taken
EX_TEMPFAIL = 75  # another supervisor runs
EX_CONFIG = 78

TAKE_OVER_S = 3.0
TAKE_OVER_POLL_S = 0.02


def run(settings: Settings, environ: Mapping[str, str], *, take_over: bool = False) -> int:
    """Run until stopped; return the exit status."""
    log.configure(settings.log, "supervisor")
    os.umask(0o077)
    raise_limits()
    run_dir = Path(settings.run_dir).absolute()
    refusals: list[tuple[int, BaseException]] = []
    try:
        return trio.run(_run, settings, run_dir, environ, take_over)
    except* AlreadyRunningError as group:
        refusals.append((EX_TEMPFAIL, group))
    except* PortTakenError as group:
        refusals.append((EX_UNAVAILABLE, group))
    except* RunDirError as group:
        refusals.append((EX_CONFIG, group))
    finally:
        settle_streams()
    code, error = refusals[0]
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    say(f"patchbay: {error}", sys.stderr)
    return code


async def _run(settings: Settings, path: Path, environ: Mapping[str, str], take_over: bool) -> int:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        run_dir = await lock(path, force=take_over)
        supervisor = Supervisor(settings, actors(settings), run_dir, environ)
        try:
            with listen_unix(run_dir.path, CONTROL_NAME, socket.SOCK_STREAM) as controls:
                await _serve(supervisor, controls, signals, Upward(environ))
        finally:
            # Something runs on: it was handed over, or we failed. Then the next supervisor needs what is there.
            left = any(actor.processes for actor in supervisor.actors.values())
            supervisor.close()
            if left:
                os.close(run_dir.lock)
            else:
                run_dir.leave()
    return 0


async def _serve(
    supervisor: Supervisor,
    controls: socket.socket,
    signals: AsyncIterator[int],
    upward: Upward,
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(control.serve, controls, supervisor)
        nursery.start_soon(_obey, signals, supervisor, upward)
        nursery.start_soon(_announce, supervisor, upward)
        nursery.start_soon(upward.beat)
        await supervisor.run()
        nursery.cancel_scope.cancel()


async def _obey(signals: AsyncIterator[int], supervisor: Supervisor, upward: Upward) -> None:
    async for number in signals:
        logger.info("%s: stopping", signal_name(number))
        upward.tell("STOPPING=1")
        supervisor.stop()


async def _announce(supervisor: Supervisor, upward: Upward) -> None:
    """Say once that everything is there, to people and to whoever supervises us."""
    while not supervisor.ready:
        await supervisor.journal.change()
    host, port = supervisor.sockets.address
    took_s = trio.current_time() - supervisor.started_at
    say(
        f"Patchbay is ready after {took_s:.1f} s: http://{url_host(host)}:{port}/"
        "  (state: python -m supervisor status; stop: Ctrl-C)",
        sys.stdout,
    )
    upward.tell("READY=1", f"STATUS={len(supervisor.actors)} actors are ready")


async def lock(path: Path, *, force: bool) -> RunDir:
    """Take the run directory, from a supervisor that is left over if need be.

    Raises:
        AlreadyRunningError: another one has it and has every right to.
        RunDirError: it can't be used.
    """
    try:
        return RunDir.take(path)
    except AlreadyRunningError:
        try:
            answer = ask(path, {"command": "hand-over", "force": force}, timeout_s=TAKE_OVER_S)
        except (NoSupervisorError, TimeoutError):
            answer = {"ok": False}
        if not answer["ok"]:
            raise
    patience = trio.current_time() + TAKE_OVER_S
    while True:
        await trio.sleep(TAKE_OVER_POLL_S)
        try:
            return RunDir.take(path)
        except AlreadyRunningError:
            if trio.current_time() > patience:
                raise


def raise_limits() -> None:
    """Allow ourselves, and so the actors, as many descriptors as we may have: a connection is one, or two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def say(text: str, stream: TextIO) -> None:
    """Write a line for people. Whoever was to read it may have gone, which is no reason to stop."""
    with suppress(OSError, ValueError):
        stream.write(text + "\n")
        stream.flush()


def settle_streams() -> None:
    """See that Python's own flush at exit can't fail, and turn our status into 120, when nobody reads any more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
