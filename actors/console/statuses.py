"""Reads the supervisor's answer to `status`: which actors there are, and which of them are not ready.

Pure; `supervisor_client` asks the supervisor.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

READY = "READY"
SUPERVISOR = "supervisor"

Status = dict[str, Any]


def actors(status: Status) -> list[dict[str, Any]]:
    """Return the actors of a status."""
    found = status.get("actors")
    return [actor for actor in found if isinstance(actor, dict)] if isinstance(found, list) else []


def instance(actor: dict[str, Any]) -> str:
    """Return the name of a process: `ingest.0`."""
    return f"{actor.get('name')}.{actor.get('index', 0)}"


def is_ready(actor: dict[str, Any]) -> bool:
    """Return whether a process is ready."""
    return str(actor.get("state")).upper() == READY


def not_ready(status: Status | None) -> list[str]:
    """Return the names of actors that are not ready; `ingest.1` where an actor has several processes.

    During a roll two generations of one process are listed: one of them being ready is enough.
    """
    if status is None:
        return [SUPERVISOR]
    ready: dict[tuple[str, int], bool] = {}
    for actor in actors(status):
        key = (str(actor.get("name")), int(actor.get("index", 0)))
        ready[key] = ready.get(key, False) or is_ready(actor)
    if not ready:
        return [SUPERVISOR]
    processes = Counter(name for name, _ in ready)
    return [
        name if processes[name] == 1 else f"{name}.{index}"
        for (name, index), is_up in sorted(ready.items())
        if not is_up
    ]
