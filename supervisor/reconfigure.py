"""Carries out a change of the configuration on what runs: only the actors that it concerns notice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from actors.runtime import log
from config import ConfigError, load
from supervisor import reload
from supervisor.actor import Report
from supervisor.crashes import CrashReports
from supervisor.service import limits
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
    except ConfigError as error:
        return [_report(supervisor, f"it can't be used, nothing has changed: {error}", ok=False)]
    specs = supervisor.plan(settings)
    change = reload.plan(supervisor.settings, settings, supervisor.specs, specs)
    if change.refused:
        text = f"{', '.join(change.refused)} can't change while everything runs; stop and start"
        return [_report(supervisor, text, ok=False)]
    try:
        _apply_to_us(supervisor, settings, change)
    except PortTakenError as error:
        return [_report(supervisor, f"nothing has changed: {error}", ok=False)]
    for spec in specs:
        if spec.instance in supervisor.actors:
            supervisor.actors[spec.instance].life.spec = spec
    names = [*(spec.instance for spec in change.added), *change.removed, *change.rolled]
    reports = [_report(supervisor, f"read again; concerns {', '.join(names) or 'no actor'}", ok=True)]
    return [*reports, *await _apply_to_actors(supervisor, change)]


def _apply_to_us(supervisor: Supervisor, settings: Settings, change: reload.Change) -> None:
    if change.public:
        supervisor.handles.sockets.move_public(settings.host, settings.port)
    if settings.log != supervisor.settings.log:
        log.configure(settings.log, "supervisor")
    supervisor.settings = settings
    supervisor.around.crash_reports = CrashReports(Path(settings.data_dir))
    supervisor.around.limits = limits(settings)


async def _apply_to_actors(supervisor: Supervisor, change: reload.Change) -> list[Report]:
    reports = []
    for spec in change.added:
        supervisor.add(spec)
        reports.append(Report(spec.instance, ok=True, text="started"))
    for instance in change.rolled:
        actor = supervisor.actors[instance]
        reports.append(await actor.roll("its settings have changed", actor.spec.start_timeout_s))
    # Last: those that no longer count on them have been told by then.
    for instance in change.removed:
        await supervisor.remove(instance)
        reports.append(Report(instance, ok=True, text="stopped"))
    return reports


def _report(supervisor: Supervisor, text: str, *, ok: bool) -> Report:
    supervisor.journal.record(NAME, text)
    return Report(NAME, ok, text)
