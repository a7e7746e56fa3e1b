"""Runs a supervisor in this process, from its settings to its exit status: lock, signals, limits, errors."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from config import ConfigError, find_run_dir, load, transfer
from config.paths import DirectoryError, check_data_dir
from config.transfer import Accepted
from patchbay.process import log
from patchbay.process.sd_notify import Notifier
from supervisor import run_directory_watch, sd_notify
from supervisor.actors.exits import signal_name
from supervisor.commands import control
from supervisor.commands.client import NoSupervisorError, ask
from supervisor.commands.formatting import url_host
from supervisor.configuration.reconfigure import reconfigure
from supervisor.configuration.specs import actors
from supervisor.run_directory import AlreadyRunningError, RunDir, surviving_processes
from supervisor.service import Supervisor
from supervisor.sockets import PortTakenError
from supervisor.takeover import upgrade
from supervisor.takeover.handles import Handles
from supervisor.takeover.snapshot import handles_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from typing import TextIO

    from supervisor.takeover.snapshot import Snapshot

logger = logging.getLogger(__name__)

# sysexits.h
EX_UNAVAILABLE = 69  # the port is taken
EX_OSERR = 71  # the run directory was removed, and can't be made again
EX_TEMPFAIL = 75  # another supervisor runs
EX_CONFIG = 78

TAKE_OVER_S = 3.0
TAKE_OVER_POLL_S = 0.02


class RunDirLostError(Exception):
    """The run directory was removed while everything ran, and could not be made again."""


EXIT_STATUSES: dict[type[Exception], int] = {
    AlreadyRunningError: EX_TEMPFAIL,
    PortTakenError: EX_UNAVAILABLE,
    RunDirLostError: EX_OSERR,
    DirectoryError: EX_CONFIG,
    ConfigError: EX_CONFIG,
}
REFUSALS: tuple[type[BaseException], ...] = (*EXIT_STATUSES, BaseExceptionGroup)


def run(environ: Mapping[str, str], *, take_over: bool = False, resume: int | None = None) -> int:
    """Run until stopped; return the exit status.

    Args:
        take_over: whether a supervisor that runs hands over, even if the process that has started it still runs.
        resume: the descriptor of the snapshot that the program before this one has left in this process, see `upgrade`.
    """
    os.umask(0o077)
    raise_limits()
    close_on_exec()
    try:
        _run_programs(environ, take_over=take_over, resume=resume)
    except REFUSALS as error:
        reason = _first(error)
        status = next((code for kind, code in EXIT_STATUSES.items() if isinstance(reason, kind)), None)
        if status is None:
            raise
        said = f"the configuration can't be used:\n{reason}" if isinstance(reason, ConfigError) else str(reason)
    else:
        return 0
    finally:
        flush_streams()
    write_line(f"patchbay: {said}", sys.stderr)
    return status


def _run_programs(environ: Mapping[str, str], *, take_over: bool, resume: int | None) -> None:
    """Run this program until stopped; replace it when that is asked for, and go on with it where that fails."""
    run_dir = Path(find_run_dir(environ)).absolute()
    before = None
    if resume is None:
        initial_settings(environ, run_dir)  # those that can't be used are refused before anything is touched
    else:
        before = upgrade.read(resume)
    while (before := trio.run(_run, environ, run_dir, take_over, before)) is not None:
        try:
            if not before.renews:
                upgrade.execute(before)
        except OSError as error:
            logger.error("the supervisor goes on as it was: %s", error)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def initial_settings(
    environ: Mapping[str, str], run_dir: Path, before: Snapshot | None = None
) -> tuple[Accepted, bool]:
    """Return the settings to start with, and whether a supervisor before this one has accepted them.

    Where processes run, they are the settings that those were given; the configuration is then read as by a reload, so
    that an error in it does not end what runs. Where nothing runs, the configuration is read and so accepted.

    Raises:
        ConfigError, DataDirError: nothing runs, and the configuration, or its data directory, can't be used.
    """
    with suppress(ConfigError):
        if before is not None and before.settings:
            return transfer.decode(before.settings), True
    if (found := transfer.newest(each.pid for each in surviving_processes(run_dir))) is not None:
        return found, True
    settings = load(environ)
    check_data_dir(settings.data_dir)
    return Accepted(time.time(), settings), False


async def _run(environ: Mapping[str, str], run_dir: Path, take_over: bool, before: Snapshot | None) -> Snapshot | None:
    """Run one program; return None once everything is stopped, or the snapshot for the next program.

    Raises:
        RunDirLostError, and the errors of `lock`, `initial_settings`, `Supervisor.run`.
    """
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        upgrade.receive_signals()
        if before is None:
            accepted, are_inherited, handles = await _open(environ, run_dir, take_over=take_over)
        else:
            accepted, are_inherited = initial_settings(environ, run_dir, before)
            _configure_log(accepted)
            handles = handles_of(before, accepted.settings)
        lost = before is not None and before.renews and run_directory_watch.make_again(handles)
        supervisor = Supervisor(accepted, actors, handles, environ, before)
        if lost:
            supervisor.stop()
        try:
            with closing(Notifier.from_environment(environ, failure_level=logging.WARNING)) as notifier:
                await _serve(supervisor, signals, notifier, are_inherited=are_inherited)
        finally:
            # A process that is left is the next supervisor's, which needs the files.
            is_left = supervisor.actors.close()
            handles.close(remove_files=not is_left and supervisor.snapshot is None)
    if lost:
        raise RunDirLostError(f"run_dir = {run_dir} was removed and can't be made again: {lost}; everything is stopped")
    return supervisor.snapshot


async def _open(environ: Mapping[str, str], run_dir: Path, *, take_over: bool) -> tuple[Accepted, bool, Handles]:
    """Lock the run directory and open the supervisor's own sockets; return these and the settings to start with."""
    locked = await lock(run_dir, force=take_over)
    try:
        # Only now: a supervisor that has handed over has left processes, and these have their settings.
        accepted, are_inherited = initial_settings(environ, run_dir)
    except (ConfigError, DirectoryError):
        locked.remove()
        raise
    _configure_log(accepted)
    return accepted, are_inherited, Handles.open(locked, accepted.settings)


def _configure_log(accepted: Accepted) -> None:
    log.configure(accepted.settings.log, "supervisor")
    log.capture_python()


async def _serve(
    supervisor: Supervisor, signals: AsyncIterator[int], notifier: Notifier, *, are_inherited: bool
) -> None:
    async with trio.open_nursery() as nursery:
        if are_inherited:
            nursery.start_soon(reconfigure, supervisor)
        nursery.start_soon(control.serve, supervisor.handles.control_socket, supervisor)
        nursery.start_soon(_handle_signals, signals, supervisor, notifier, nursery)
        nursery.start_soon(_announce, supervisor, notifier)
        nursery.start_soon(sd_notify.beat, notifier, sd_notify.watchdog_s(supervisor.environ))
        nursery.start_soon(run_directory_watch.watch, supervisor)
        await supervisor.run()
        nursery.cancel_scope.cancel()


async def _handle_signals(
    signals: AsyncIterator[int], supervisor: Supervisor, notifier: Notifier, nursery: trio.Nursery
) -> None:
    async for number in signals:
        if number == signal.SIGHUP:
            nursery.start_soon(reconfigure, supervisor)
        else:
            logger.info("%s: stopping", signal_name(number))
            notifier.send(STOPPING=1)
            supervisor.stop()


async def _announce(supervisor: Supervisor, notifier: Notifier) -> None:
    """Tell people and systemd, once, that every actor is READY."""
    while not supervisor.ready:
        await supervisor.history.wait_changed()
    notifier.send(READY=1, STATUS=f"{len(supervisor.actors)} actors are ready")
    if supervisor.origin.replaced:
        supervisor.history.record("supervisor", "replaced; everything runs on")
        return
    host, port = supervisor.handles.sockets.address
    took_s = trio.current_time() - supervisor.origin.started_at
    write_line(
        f"Patchbay is ready after {took_s:.1f} s: http://{url_host(host)}:{port}/"
        "  (state: python -m supervisor status; stop: Ctrl-C)",
        sys.stdout,
    )


async def lock(path: Path, *, force: bool) -> RunDir:
    """Lock the run directory; a supervisor whose starter has ended hands over, with `force` any supervisor does.

    Raises:
        AlreadyRunningError: another supervisor has it and goes on.
        RunDirError: the directory can't be used.
    """
    try:
        return RunDir.acquire(path)
    except AlreadyRunningError:
        try:
            answer = ask(path, {"command": "hand-over", "force": force}, timeout_s=TAKE_OVER_S)
        except (NoSupervisorError, TimeoutError):
            answer = {"ok": False}
        if not answer["ok"]:
            raise
    until = trio.current_time() + TAKE_OVER_S
    while True:
        await trio.sleep(TAKE_OVER_POLL_S)
        try:
            return RunDir.acquire(path)
        except AlreadyRunningError:
            if trio.current_time() > until:
                raise


def raise_limits() -> None:
    """Raise the limit of open descriptors as far as allowed, for the actors too: a connection takes one or two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def close_on_exec() -> None:
    """Mark all descriptors but the three streams close-on-exec, so that no actor inherits them."""
    for entry in Path("/proc/self/fd").iterdir():
        if int(entry.name) > 2:
            with suppress(OSError):  # the descriptor of the listing itself
                os.set_inheritable(int(entry.name), False)


def write_line(text: str, stream: TextIO) -> None:
    """Write a line for people; nothing happens if the reader has gone."""
    with suppress(OSError, ValueError):
        stream.write(text + "\n")
        stream.flush()


def flush_streams() -> None:
    """Flush both output streams.

    One whose reader has gone is replaced, or Python's flush at exit fails with status 120.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
