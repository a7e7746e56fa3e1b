"""Reads the configuration again and applies what has changed to the actors that run; the others notice nothing.

A configuration that can't be used changes nothing, now or later: processes that are started meanwhile get the settings
that were accepted before.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import trio

from config import ConfigError, from_environment, load
from config.paths import DataDirError, check_data_dir
from config.transfer import Accepted
from patchbay.process import log
from supervisor.actors.actor import Report
from supervisor.actors.states import State
from supervisor.configuration import reload
from supervisor.configuration.reload import Refusal
from supervisor.sockets import PortTakenError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from config import Settings
    from supervisor.service import Supervisor

NAME: Final = "configuration"  # of the entries in the history


async def reconfigure(supervisor: Supervisor) -> list[Report]:
    """Read the configuration again, apply what has changed, and return what was done. Cancelling takes nothing back."""
    await supervisor.started.wait()
    async with supervisor.reconfiguring:
        return await _reconfigure(supervisor)


async def _reconfigure(supervisor: Supervisor) -> list[Report]:
    try:
        settings = load(supervisor.environ)
        check_data_dir(settings.data_dir)
    except ConfigError as error:
        return [_refuse(supervisor, f"it can't be used, nothing has changed: {'; '.join(error.problems)}")]
    except DataDirError as error:
        return [_refuse(supervisor, f"it can't be used, nothing has changed: {error}")]
    reports: list[Report] = []
    for step in reload.steps(supervisor.settings, settings):
        reports += await _step(supervisor, step)
        if not all(report.ok for report in reports):
            return reports
    return [*reports, *_report_environment(supervisor)]


async def _step(supervisor: Supervisor, settings: Settings) -> list[Report]:
    before, actors = supervisor.accepted, supervisor.actors
    specs = supervisor.plan(settings)
    change = reload.plan(before.settings, settings, actors.specs, specs)
    if change.refused:
        return [_refuse(supervisor, f"{', '.join(change.refused)} can't change while everything runs; stop and start")]
    try:
        _apply_to_supervisor(supervisor, settings, change)
    except PortTakenError as error:
        return [_refuse(supervisor, f"nothing has changed: {error}")]
    for spec in specs:
        if spec.instance in actors:
            actors[spec.instance].life.spec = spec
    failed = [name for name in _failed(supervisor) if name not in (*change.first, *change.rolled)]
    names = [*(spec.instance for spec in change.added), *change.first, *change.removed, *change.rolled, *failed]
    report = _report(supervisor, f"read again; concerns {', '.join(names) or 'no actor'}")
    return [report, *await _apply_to_actors(supervisor, change, before, failed)]


def _apply_to_supervisor(supervisor: Supervisor, settings: Settings, change: reload.Change) -> None:
    if change.public:
        supervisor.handles.sockets.move_public(settings.host, settings.port)
    if settings.log != supervisor.settings.log:
        log.configure(settings.log, "supervisor")
    supervisor.accepted, supervisor.refused = Accepted(time.time(), settings), None
    supervisor.actors.configure(settings)


async def _apply_to_actors(
    supervisor: Supervisor, change: reload.Change, before: Accepted, failed: list[str]
) -> list[Report]:
    actors = supervisor.actors
    reports = await _add(supervisor, change)
    reports += await _roll(supervisor, change.first)
    if not all(report.ok for report in reports) and change.removed:
        # They are still given connections, so they run on, and the next reload tries again.
        supervisor.accepted = before
        return [*reports, _refuse(supervisor, f"left as they were: {', '.join(change.removed)}")]
    for instance in change.removed:
        await actors.remove(instance)
        reports.append(Report(instance, ok=True, text="stopped"))
    reports += await _roll(supervisor, change.rolled)
    for instance in failed:
        actor = actors[instance]
        reports.append(await actor.restart("the configuration was read again", actor.spec.start_timeout_s))
    return reports


async def _add(supervisor: Supervisor, change: reload.Change) -> list[Report]:
    """Start the actors that are new, and wait for each until it is READY or has failed once."""
    reports = []
    for actor in [supervisor.actors.add(spec) for spec in change.added]:
        with trio.move_on_after(actor.spec.start_timeout_s):
            await actor.life.first_outcome.wait()
        ok = actor.current.state is State.READY
        text = "started" if ok else "started, and not ready yet"
        reports.append(Report(actor.spec.instance, ok=ok, text=text))
    return reports


async def _roll(supervisor: Supervisor, instances: Iterable[str]) -> list[Report]:
    actors = supervisor.actors
    rolled = [actors[instance] for instance in instances]
    return await actors.roll(rolled, "its settings have changed", recorded_as=NAME)


def _failed(supervisor: Supervisor) -> list[str]:
    """Return the names of the actors that a configuration error has ended, and that are not started again by
    themselves."""
    return [
        name
        for name, actor in supervisor.actors.items()
        if actor.current.state is State.FAILED
        and actor.current.last_exit is not None
        and actor.current.last_exit.configuration_error
    ]


def _report_environment(supervisor: Supervisor) -> list[Report]:
    """Report the settings that a reload can't change, because they are in the environment of this process."""
    names = from_environment(supervisor.environ)
    text = f"from the environment, which a reload can't change: {', '.join(names)}"
    return [_report(supervisor, text)] if names else []


def _report(supervisor: Supervisor, text: str) -> Report:
    supervisor.history.record(NAME, text)
    return Report(NAME, ok=True, text=text)


def _refuse(supervisor: Supervisor, text: str) -> Report:
    supervisor.refused = Refusal(time.time(), text)
    supervisor.history.record(NAME, text, level=logging.ERROR)
    return Report(NAME, ok=False, text=text)
