"""Carries out a change of the configuration on what runs: only the actors that it concerns notice.

A configuration that can't be used changes nothing, now or later: what is started meanwhile gets the settings that were accepted
before.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from config import ConfigError, from_environment, load
from config.paths import DataDirError, check_data_dir
from config.transfer import Accepted
from patchbay.process import log
from supervisor.actors.actor import Report
from supervisor.actors.crashes import CrashReports
from supervisor.actors.states import State
from supervisor.configuration import reload
from supervisor.service import Refusal, limits
from supervisor.sockets import PortTakenError

if TYPE_CHECKING:
    from config import Settings
    from supervisor.service import Supervisor

NAME = "configuration"


async def reconfigure(supervisor: Supervisor) -> list[Report]:
    """Read the configuration again and apply what has changed. One that can't be used changes nothing."""
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
    return [*reports, *_said_of_environment(supervisor)]


async def _step(supervisor: Supervisor, settings: Settings) -> list[Report]:
    before = supervisor.accepted
    specs = supervisor.plan(settings)
    change = reload.plan(before.settings, settings, supervisor.specs, specs)
    if change.refused:
        return [_refuse(supervisor, f"{', '.join(change.refused)} can't change while everything runs; stop and start")]
    try:
        _apply_to_us(supervisor, settings, change)
    except PortTakenError as error:
        return [_refuse(supervisor, f"nothing has changed: {error}")]
    for spec in specs:
        if spec.instance in supervisor.actors:
            supervisor.actors[spec.instance].life.spec = spec
    failed = [instance for instance in _failed(supervisor) if instance not in (*change.first, *change.rolled)]
    names = [*(spec.instance for spec in change.added), *change.first, *change.removed, *change.rolled, *failed]
    report = _report(supervisor, f"read again; concerns {', '.join(names) or 'no actor'}")
    return [report, *await _apply_to_actors(supervisor, change, before, failed)]


def _apply_to_us(supervisor: Supervisor, settings: Settings, change: reload.Change) -> None:
    if change.public:
        supervisor.handles.sockets.move_public(settings.host, settings.port)
    if settings.log != supervisor.settings.log:
        log.configure(settings.log, "supervisor")
    supervisor.accepted, supervisor.refused = Accepted(time.time(), settings), None
    supervisor.around.crash_reports = CrashReports(Path(settings.data_dir))
    supervisor.around.limits = limits(settings)


async def _apply_to_actors(
    supervisor: Supervisor, change: reload.Change, before: Accepted, failed: list[str]
) -> list[Report]:
    reports = await _add(supervisor, change)
    reports += await _roll(supervisor, change.first)
    if not all(report.ok for report in reports) and change.removed:
        # They are given connections still, so they go on, and the next reload tries again.
        supervisor.accepted = before
        return [*reports, _refuse(supervisor, f"left as they were: {', '.join(change.removed)}")]
    for instance in change.removed:
        await supervisor.remove(instance)
        reports.append(Report(instance, ok=True, text="stopped"))
    reports += await _roll(supervisor, change.rolled)
    for instance in failed:
        actor = supervisor.actors[instance]
        reports.append(await actor.restart("the configuration was read again", actor.spec.start_timeout_s))
    return reports


async def _add(supervisor: Supervisor, change: reload.Change) -> list[Report]:
    """Start the actors that are new; those that are rolled next look for them."""
    reports = []
    for spec in change.added:
        supervisor.add(spec)
    for spec in change.added:
        actor = supervisor.actors[spec.instance]
        with trio.move_on_after(spec.start_timeout_s):
            await actor.life.had_its_chance.wait()
        ok = actor.current.state is State.READY
        reports.append(Report(spec.instance, ok=ok, text="started" if ok else "started, and not ready yet"))
    return reports


async def _roll(supervisor: Supervisor, instances: tuple[str, ...]) -> list[Report]:
    reports = []
    for instance in instances:
        actor = supervisor.actors[instance]
        reports.append(await actor.roll("its settings have changed", actor.spec.start_timeout_s))
        if not reports[-1].ok:
            supervisor.history.record(NAME, f"{instance}: {reports[-1].text}", level=logging.ERROR)
    return reports


def _failed(supervisor: Supervisor) -> list[str]:
    """Return the actors that wait to be asked, since a configuration error was their end."""
    return [
        name
        for name, actor in supervisor.actors.items()
        if actor.current.state is State.FAILED
        and actor.current.last_exit is not None
        and actor.current.last_exit.configuration_error
    ]


def _said_of_environment(supervisor: Supervisor) -> list[Report]:
    """Say what a reload can't see: what the environment says is said for as long as this process lives."""
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
