"""Carries out the commands of the command line that ask a running supervisor, and `check`, which needs none.

Each function takes the run directory and the options, prints the answer, and returns the exit status.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from config import load
from config.paths import check_data_dir
from supervisor.commands import formatting
from supervisor.commands.client import NoSupervisorError, ask, follow
from supervisor.commands.output import WRONG_USAGE, fail, show
from supervisor.configuration.specs import actors, levels
from supervisor.procfs import start_time

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    Operation = Callable[[Path, argparse.Namespace], int]
    Add = Callable[[str, Operation, str], argparse.ArgumentParser]

SUPERVISOR = "supervisor"

ANSWER_S = 10.0  # a supervisor that does not answer within this time hangs
STOP_S = 15.0
REPLACE_S = 20.0
POLL_S = 0.01


def add_to(add_command: Add) -> None:
    """Add all operations to a parser; `add_command(name, operation, help)` returns the command's own parser."""

    def add(name: str, operation: Operation, text: str) -> argparse.ArgumentParser:
        parser = add_command(name, operation, text)
        parser.add_argument("--json", action="store_true", help="answer in JSON")
        return parser

    add("status", _status, "the state of every actor")
    _add_name(add("restart", _restart, "stop an actor and start it again"))
    roll = add("roll", _roll, "replace an actor: new process ready first, then the old ends")
    _add_name(roll, optional=True)
    roll.add_argument("--all", action="store_true", help="the supervisor, then every actor, one by one")
    add("stop", _stop, "stop everything")
    add("reload", _reload, "read the configuration again (as SIGHUP does)")
    chaos = add("chaos", _chaos, "do harm to an actor, to see what comes of it")
    chaos.add_argument("way", choices=("kill", "stop", "slow"))
    chaos.add_argument("name", metavar="NAME")
    chaos.add_argument("--seconds", type=float, default=10.0, metavar="S", help="for slow")
    events = add("events", _events, "what happens, as it happens")
    events.add_argument("--last", type=int, default=0, metavar="N", help="and the last N before")
    explain = add("explain", _explain, "the last transitions of an actor, in words")
    explain.add_argument("name", metavar="NAME")
    wait = add("wait-ready", _wait_ready, "wait until every actor is ready")
    wait.add_argument("--timeout", type=float, default=30.0, metavar="S")
    add("check", _check, "look at the configuration and show what would be started")


def _add_name(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?" if optional else None,
        help="an actor, like fanout, or one process of it, like fanout.1",
    )
    parser.add_argument("--timeout", type=float, metavar="S", help="for a new process to be ready")


def _status(run_dir: Path, options: argparse.Namespace) -> int:
    answer = ask(run_dir, {"command": "status"}, timeout_s=ANSWER_S)
    return show(options, answer, formatting.table)


def _restart(run_dir: Path, options: argparse.Namespace) -> int:
    request = {"command": "restart", "name": options.name, "timeout_s": options.timeout}
    return show(options, ask(run_dir, request), formatting.reports)


def _roll(run_dir: Path, options: argparse.Namespace) -> int:
    if bool(options.name) == options.all:
        return fail(options, "roll: give an actor's name, or --all", WRONG_USAGE)
    answer: dict[str, Any] = {"ok": True, "reports": []}
    if options.all or options.name == SUPERVISOR:
        answer = _replace(run_dir)
    if answer["ok"] and options.name != SUPERVISOR:
        request = {"command": "roll", "name": options.name, "timeout_s": options.timeout}
        rolled = ask(run_dir, {**request, "all": options.all})
        answer = {**rolled, "reports": [*answer["reports"], *rolled.get("reports", [])]}
    return show(options, answer, formatting.reports)


def _replace(run_dir: Path) -> dict[str, Any]:
    """Have the supervisor replaced, wait until the new one answers, and return a report of that."""
    began = time.monotonic()
    answer = ask(run_dir, {"command": "replace"})
    if answer["ok"]:
        while _replaced(run_dir) <= answer["replaced"]:
            if time.monotonic() > began + REPLACE_S:
                answer = {"ok": False, "error": "the supervisor was not replaced; see its log"}
                break
            time.sleep(POLL_S)
    took_s = time.monotonic() - began
    text = f"replaced in {took_s:.2f} s" if answer["ok"] else f"not replaced: {answer['error']}"
    report = {"actor": SUPERVISOR, "ok": answer["ok"], "text": text}
    return {**answer, "reports": [report]}


def _replaced(run_dir: Path) -> int:
    """Return how often the supervisor was replaced; 0 while the old one ends and does not answer."""
    try:
        answer = ask(run_dir, {"command": "status"}, timeout_s=ANSWER_S)
    except NoSupervisorError:
        return 0
    count: int = answer["supervisor"]["replaced"]
    return count


def _reload(run_dir: Path, options: argparse.Namespace) -> int:
    return show(options, ask(run_dir, {"command": "reload"}), formatting.reports)


def _chaos(run_dir: Path, options: argparse.Namespace) -> int:
    request = {"command": "chaos", "way": options.way, "name": options.name}
    return show(options, ask(run_dir, {**request, "seconds": options.seconds}), formatting.reports)


def _stop(run_dir: Path, options: argparse.Namespace) -> int:
    # The connection ends when the supervisor does.
    answers = list(follow(run_dir, {"command": "stop"}, timeout_s=STOP_S))
    if not answers:
        raise NoSupervisorError("the supervisor was about to end already")
    while start_time(answers[0].get("pid", 0)) is not None:
        time.sleep(POLL_S)
    return show(options, answers[0], lambda _: "everything is stopped")


def _events(run_dir: Path, options: argparse.Namespace) -> int:
    request = {"command": "events", "last": options.last}
    for answer in follow(run_dir, request):
        status = show(options, answer, formatting.event)
        sys.stdout.flush()
        if status:
            return status
    return 0


def _explain(run_dir: Path, options: argparse.Namespace) -> int:
    request = {"command": "explain", "name": options.name}
    return show(options, ask(run_dir, request, timeout_s=ANSWER_S), formatting.transitions)


def _wait_ready(run_dir: Path, options: argparse.Namespace) -> int:
    request = {"command": "wait-ready", "timeout_s": options.timeout}
    answer = ask(run_dir, request, timeout_s=options.timeout + ANSWER_S)
    return show(options, answer, lambda _: "every actor is ready")


def _check(run_dir: Path, options: argparse.Namespace) -> int:
    del run_dir
    settings = load(os.environ)
    check_data_dir(settings.data_dir)
    order = levels(actors(settings))
    answer = {
        "ok": True,
        "run_dir": settings.run_dir,
        "data_dir": settings.data_dir,
        "host": settings.host,
        "port": settings.port,
        "start_order": [[spec.instance for spec in level] for level in order],
    }
    return show(options, answer, formatting.plan)
