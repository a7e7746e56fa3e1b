"""Runs a supervisor in this process, from its settings to its exit status: lock, signals, limits, last words."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from config import ConfigError, find_run_dir, load, transfer
from config.paths import DirectoryError, check_data_dir
from config.transfer import Accepted
from patchbay.process import log
from supervisor import run_directory_watch
from supervisor.actors.exits import signal_name
from supervisor.commands import control
from supervisor.commands.client import NoSupervisorError, ask
from supervisor.commands.formatting import url_host
from supervisor.configuration.reconfigure import reconfigure
from supervisor.configuration.specs import actors
from supervisor.run_directory import AlreadyRunningError, RunDir, survivors
from supervisor.sd_notify import Upward
from supervisor.service import Supervisor
from supervisor.sockets import PortTakenError
from supervisor.takeover import upgrade
from supervisor.takeover.handles import Handles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from typing import TextIO

    from supervisor.takeover.upgrade import Kept

logger = logging.getLogger(__name__)

# sysexits.h
EX_UNAVAILABLE = 69  # the port is taken
EX_OSERR = 71  # the run directory was removed, and can't be made again
EX_TEMPFAIL = 75  # another supervisor runs
EX_CONFIG = 78


class RunDirLostError(Exception):
    """The run directory was removed while everything ran, and could not be made again."""


TAKE_OVER_S = 3.0
TAKE_OVER_POLL_S = 0.02


def run(environ: Mapping[str, str], *, take_over: bool = False, resume: int | None = None) -> int:
    """Run until stopped; return the exit status.

    Args:
        take_over: have a supervisor that runs hand over, though whoever started it is still there.
        resume: what the program before this one in this very process has left, see `upgrade`.
    """
    os.umask(0o077)
    raise_limits()
    inherit_nothing()
    run_dir = Path(find_run_dir(environ)).absolute()
    refusals: list[tuple[int, BaseException]] = []
    try:
        kept = None if resume is None else upgrade.read(resume)
        to_begin_with(environ, run_dir, kept)  # or nothing is touched
        while (kept := trio.run(_run, environ, run_dir, take_over, kept)) is not None:
            try:
                if not kept.renews:
                    upgrade.become(kept)
            except OSError as error:
                logger.error("the supervisor goes on as it was: %s", error)
        return 0
    except* AlreadyRunningError as group:
        refusals.append((EX_TEMPFAIL, group))
    except* PortTakenError as group:
        refusals.append((EX_UNAVAILABLE, group))
    except* RunDirLostError as group:
        refusals.append((EX_OSERR, group))
    except* DirectoryError as group:
        refusals.append((EX_CONFIG, group))
    except* ConfigError as group:
        refusals.append((EX_CONFIG, ConfigError([f"the configuration can't be used:\n{_first(group)}"])))
    finally:
        settle_streams()
    code, reason = refusals[0]
    say(f"patchbay: {_first(reason)}", sys.stderr)
    return code


def to_begin_with(environ: Mapping[str, str], run_dir: Path, kept: Kept | None = None) -> tuple[Accepted, bool]:
    """Return the settings to begin with, and whether they were accepted by a supervisor before this one.

    Where processes run on, those are the settings that they were given: what the configuration says meanwhile is a change like
    any other, and must not be the end of what runs. Elsewhere it is the configuration, and starting is accepting.

    Raises:
        ConfigError, DataDirError: nothing runs, and the configuration, or the data directory that it names, can't be used.
    """
    with suppress(ConfigError):
        if kept is not None and kept.settings:
            return transfer.decode(kept.settings), True
    if (before := transfer.newest(each.pid for each in survivors(run_dir))) is not None:
        return before, True
    settings = load(environ)
    check_data_dir(settings.data_dir)
    return Accepted(time.time(), settings), False


def _first(reason: BaseException) -> BaseException:
    while isinstance(reason, BaseExceptionGroup):
        reason = reason.exceptions[0]
    return reason


async def _run(environ: Mapping[str, str], run_dir: Path, take_over: bool, kept: Kept | None) -> Kept | None:
    """Run until stopped (None) or to be replaced (by what was kept)."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, upgrade.DEFERRED)
        locked = None if kept is not None else await lock(run_dir, force=take_over)
        try:
            accepted, are_inherited = to_begin_with(environ, run_dir, kept)
        except (ConfigError, DirectoryError):
            if locked is not None:
                locked.leave()
            raise
        log.configure(accepted.settings.log, "supervisor")
        log.take_over()
        if kept is not None:
            handles = upgrade.handles(kept, accepted.settings)
        else:
            assert locked is not None
            handles = Handles.open(locked, accepted.settings)
        lost = kept is not None and kept.renews and run_directory_watch.renew(handles)
        supervisor = Supervisor(accepted, actors, handles, environ, kept)
        if lost:
            supervisor.stop()
        try:
            await _serve(supervisor, signals, Upward(environ), are_inherited=are_inherited)
        finally:
            # Something runs on: it is another supervisor's, or we failed. Then the next one needs what is there.
            handles.leave(trim_memory=not supervisor.close() and supervisor.kept is None)
    if lost:
        raise RunDirLostError(f"run_dir = {run_dir} was removed and can't be made again: {lost}; everything is stopped")
    return supervisor.kept


async def _serve(supervisor: Supervisor, signals: AsyncIterator[int], upward: Upward, *, are_inherited: bool) -> None:
    async with trio.open_nursery() as nursery:
        if are_inherited:
            nursery.start_soon(_reconfigure, supervisor)
        nursery.start_soon(control.serve, supervisor.handles.controls, supervisor)
        nursery.start_soon(_obey, signals, supervisor, upward, nursery)
        nursery.start_soon(_announce, supervisor, upward)
        nursery.start_soon(upward.beat)
        nursery.start_soon(run_directory_watch.watch, supervisor)
        await supervisor.run()
        nursery.cancel_scope.cancel()


async def _obey(
    signals: AsyncIterator[int],
    supervisor: Supervisor,
    upward: Upward,
    nursery: trio.Nursery,
) -> None:
    async for number in signals:
        if number == signal.SIGHUP:
            nursery.start_soon(_reconfigure, supervisor)
        else:
            logger.info("%s: stopping", signal_name(number))
            upward.tell("STOPPING=1")
            supervisor.stop()


async def _reconfigure(supervisor: Supervisor) -> None:
    await reconfigure(supervisor)


async def _announce(supervisor: Supervisor, upward: Upward) -> None:
    """Say once that everything is there, to people and to whoever supervises us."""
    while not supervisor.ready:
        await supervisor.history.change()
    upward.tell("READY=1", f"STATUS={len(supervisor.actors)} actors are ready")
    if supervisor.replaced:
        supervisor.history.record("supervisor", "replaced; everything runs on")
        return
    host, port = supervisor.handles.sockets.address
    took_s = trio.current_time() - supervisor.started_at
    say(
        f"Patchbay is ready after {took_s:.1f} s: http://{url_host(host)}:{port}/"
        "  (state: python -m supervisor status; stop: Ctrl-C)",
        sys.stdout,
    )


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


def inherit_nothing() -> None:
    """See that what we were started with beyond the three streams does not go on to the actors."""
    for entry in Path("/proc/self/fd").iterdir():
        if int(entry.name) > 2:
            with suppress(OSError):  # that of the listing itself
                os.set_inheritable(int(entry.name), False)


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
