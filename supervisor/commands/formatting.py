"""Formats answers for people: tables and lines. Pure."""

from __future__ import annotations

import time
from typing import Any

COLUMNS = ("actor", "state", "pid", "generation", "restarts", "crashes", "up", "")


def table(answer: dict[str, Any]) -> str:
    """Return the answer of `status` as a table."""
    supervisor = answer["supervisor"]
    rows = [COLUMNS, *(_cells(row) for row in answer["actors"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    state = "ready" if supervisor["ready"] else supervisor["state"].lower() + ", not ready"
    spares = f"{supervisor['spares']} to stand in, " if supervisor.get("spares") else ""
    head = (
        f"supervisor pid {supervisor['pid']}, {state}, up {duration(supervisor['uptime_s'])}, {spares}"
        f"http://{url_host(supervisor['host'])}:{supervisor['port']}/"
    )
    return "\n".join([head, *_refused(supervisor), "", *lines])


def _refused(supervisor: dict[str, Any]) -> list[str]:
    configuration = supervisor.get("configuration") or {}
    refused = configuration.get("refused")
    if not refused:
        return []
    return [
        f"configuration REFUSED at {refused['at']}, in use is that of {configuration['accepted_at']}: {refused['why']}"
    ]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['name']}.{row['index']}",
        row["state"],
        "-" if row["pid"] is None else str(row["pid"]),
        str(row["generation"]),
        str(row["restarts"]),
        str(row["crashes"]),
        "-" if row["uptime_s"] is None else duration(row["uptime_s"]),
        remark(row),
    )


def remark(row: dict[str, Any]) -> str:
    """Return the remarks on a process: when it is started again, how it ended, its own status."""
    parts = []
    if row["retry_in_s"] is not None:
        parts.append(f"again in {row['retry_in_s']:.1f} s")
    elif row["state"] == "FAILED":
        parts.append("not again by itself: mend it, then restart it")
    if row["last_exit"] and row["state"] in ("BACKOFF", "FAILED", "STOPPED"):
        parts.append(row["last_exit"])
    if row["adopted"]:
        parts.append("adopted")
    if row["status"]:
        parts.append(row["status"])
    return ", ".join(parts)


def transitions(answer: dict[str, Any]) -> str:
    """Return the answer of `explain` as lines."""
    return "\n\n".join(_transitions(actor) for actor in answer["actors"])


def _transitions(actor: dict[str, Any]) -> str:
    lines = []
    for run in actor["runs"]:
        pid = f"pid {run['pid']}, " if run["pid"] else ""
        said = remark(run)
        lines.append(
            f"{actor['actor']} is {run['state']} for {duration(run['in_state_s'])} "
            f"({pid}generation {run['generation']}; {run['restarts']} restarts, "
            f"{run['crashes']} of them crashes){': ' + said if said else ''}"
        )
    if actor["after"] and any(run["state"] == "INIT" for run in actor["runs"]):
        lines.append(f"  it starts after {', '.join(actor['after'])}")
    lines += ["  " + event(entry) for entry in actor["transitions"]]
    return "\n".join(lines)


def event(entry: dict[str, Any]) -> str:
    """Return one entry of the history as a line."""
    moment = time.strftime("%H:%M:%S", time.localtime(entry["at"]))
    who = entry["actor"] + (f" #{entry['generation']}" if entry["generation"] else "")
    change = f"{entry['before']} → {entry['after']}: " if entry["before"] != entry["after"] else ""
    return f"{moment}.{int(entry['at'] % 1 * 1000):03d}  {who:<16} {change}{entry['why']}"


def reports(answer: dict[str, Any]) -> str:
    """Return the reports of a command, a line for each process."""
    lines = [f"{report['actor']}: {report['text']}" for report in answer.get("reports", ())]
    if answer.get("left"):
        lines.append(f"left as they were: {', '.join(answer['left'])}")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Return a number of seconds as text: 3723 as "1h02m", 61 as "1m01s", 3.2 as "3s"."""
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def url_host(host: str) -> str:
    """Return a listening address as the host of a URL that works on this machine."""
    if host in ("0.0.0.0", "::", ""):
        return "localhost"
    return f"[{host}]" if ":" in host else host


def plan(answer: dict[str, Any]) -> str:
    """Return the answer of `check`: the public port, the directories, the order of starts."""
    lines = [
        f"public port  http://{url_host(answer['host'])}:{answer['port']}/",
        f"run_dir      {answer['run_dir']}",
        f"data_dir     {answer['data_dir']}",
        "start order",
        *(f"  {number}. {', '.join(level)}" for number, level in enumerate(answer["start_order"], 1)),
    ]
    return "\n".join(lines)
