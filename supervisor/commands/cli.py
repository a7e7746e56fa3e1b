"""The command line: `python -m supervisor [COMMAND]`. Prints; everything else is asked of the running supervisor."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config import ConfigError, find_run_dir, load
from config.paths import DirectoryError, check_data_dir
from config.printable import printable, printable_lines, safe_json
from supervisor import main as foreground
from supervisor.commands import formatting
from supervisor.commands.client import NoSupervisorError, ask, follow
from supervisor.configuration.specs import actors, levels
from supervisor.procfs import start_time
from supervisor.takeover import upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Exit statuses, as far as they are not those of sysexits.h: 0 done, 1 not done, 2 wrong usage, 3 nobody is there.
FAILED = 1
NOT_RUNNING = 3
EX_CONFIG = 78
INTERRUPTED = 130

SUPERVISOR = "supervisor"

# A supervisor that does not answer at all within this hangs.
ANSWER_S = 10.0
STOP_S = 15.0
REPLACE_S = 20.0
GONE_POLL_S = 0.01


def main(arguments: Sequence[str]) -> int:
    """Carry out a command line; return the exit status."""
    options = parser().parse_args(arguments)
    try:
        # Whoever asks a supervisor that runs needs no more than the place where it runs.
        code: int = options.carry_out(Path(find_run_dir(os.environ)), options)
    except ConfigError as error:
        return _fail(options, f"patchbay: the configuration can't be used:\n{error}", EX_CONFIG)
    except DirectoryError as error:
        return _fail(options, f"patchbay: {error}", EX_CONFIG)
    except NoSupervisorError as error:
        return _fail(options, str(error), NOT_RUNNING)
    except TimeoutError:
        return _fail(options, "the supervisor does not answer", FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        foreground.flush_streams()
        return FAILED
    return code


def parser() -> argparse.ArgumentParser:
    """Return what is understood."""
    top = argparse.ArgumentParser(
        prog="python -m supervisor",
        description="Run Patchbay (without a command), or ask the one that runs. "
        "Exit status: 0 done, 1 not done, 2 wrong usage, 3 no supervisor runs, 78 wrong configuration.",
    )
    top.add_argument(
        "--take-over",
        action="store_true",
        help="take over from a supervisor that runs; the actors go on",
    )
    top.add_argument(upgrade.RESUME, type=int, help=argparse.SUPPRESS)
    top.set_defaults(carry_out=_run)
    commands = top.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, carry_out: Callable[[Path, argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--json", action="store_true", help="answer in JSON")
        sub.set_defaults(carry_out=carry_out, command=name)
        return sub

    command("status", _status, "the state of every actor")
    _named(command("restart", _operate, "stop an actor and start it again"))
    roll = command("roll", _roll, "replace an actor: new process ready first, then the old ends")
    _named(roll, optional=True)
    roll.add_argument("--all", action="store_true", help="the supervisor, then every actor, one by one")
    command("stop", _stop, "stop everything")
    command("reload", _reload, "read the configuration again (as SIGHUP does)")
    chaos = command("chaos", _chaos, "do harm to an actor, to see what comes of it")
    chaos.add_argument("way", choices=("kill", "stop", "slow"))
    chaos.add_argument("name", metavar="NAME")
    chaos.add_argument("--seconds", type=float, default=10.0, metavar="S", help="for slow")
    events = command("events", _events, "what happens, as it happens")
    events.add_argument("--last", type=int, default=0, metavar="N", help="and the last N before")
    explain = command("explain", _explain, "the last transitions of an actor, in words")
    explain.add_argument("name", metavar="NAME")
    wait = command("wait-ready", _wait_ready, "wait until every actor is ready")
    wait.add_argument("--timeout", type=float, default=30.0, metavar="S")
    command("check", _check, "look at the configuration and show what would be started")
    return top


def _named(sub: argparse.ArgumentParser, *, optional: bool = False) -> None:
    sub.add_argument(
        "name",
        metavar="NAME",
        nargs="?" if optional else None,
        help="an actor, like fanout, or one process of it, like fanout.1",
    )
    sub.add_argument("--timeout", type=float, metavar="S", help="for a new process to be ready")


def _run(run_dir: Path, options: argparse.Namespace) -> int:
    del run_dir
    return foreground.run(os.environ, take_over=options.take_over, resume=options.resume)


def _status(run_dir: Path, options: argparse.Namespace) -> int:
    answer = ask(run_dir, {"command": "status"}, timeout_s=ANSWER_S)
    return _show(options, answer, formatting.table)


def _operate(run_dir: Path, options: argparse.Namespace) -> int:
    request = {"command": options.command, "name": options.name, "timeout_s": options.timeout}
    return _show(options, ask(run_dir, request), formatting.reports)


def _roll(run_dir: Path, options: argparse.Namespace) -> int:
    if bool(options.name) == options.all:
        return _fail(options, "roll: give an actor's name, or --all", 2)
    answer: dict[str, Any] = {"ok": True, "reports": []}
    if options.all or options.name == SUPERVISOR:
        answer = _replace(run_dir)
    if answer["ok"] and options.name != SUPERVISOR:
        request = {"command": "roll", "name": options.name, "timeout_s": options.timeout}
        rolled = ask(run_dir, {**request, "all": options.all})
        answer = {**rolled, "reports": [*answer["reports"], *rolled.get("reports", [])]}
    return _show(options, answer, formatting.reports)


def _replace(run_dir: Path) -> dict[str, Any]:
    """Have the supervisor replaced, wait until the new one answers, and say how that went."""
    began = time.monotonic()
    answer = ask(run_dir, {"command": "replace"})
    if answer["ok"]:
        while _replaced(run_dir) <= answer["replaced"]:
            if time.monotonic() > began + REPLACE_S:
                answer = {"ok": False, "error": "the supervisor was not replaced; see its log"}
                break
            time.sleep(GONE_POLL_S)
    took_s = time.monotonic() - began
    text = f"replaced in {took_s:.2f} s" if answer["ok"] else f"not replaced: {answer['error']}"
    report = {"actor": SUPERVISOR, "ok": answer["ok"], "text": text}
    return {**answer, "reports": [report]}


def _replaced(run_dir: Path) -> int:
    try:
        answer = ask(run_dir, {"command": "status"}, timeout_s=ANSWER_S)
    except NoSupervisorError:  # the old one hung up as it went
        return 0
    count: int = answer["supervisor"]["replaced"]
    return count


def _reload(run_dir: Path, options: argparse.Namespace) -> int:
    return _show(options, ask(run_dir, {"command": "reload"}), formatting.reports)


def _chaos(run_dir: Path, options: argparse.Namespace) -> int:
    request = {"command": "chaos", "way": options.way, "name": options.name}
    return _show(options, ask(run_dir, {**request, "seconds": options.seconds}), formatting.reports)


def _stop(run_dir: Path, options: argparse.Namespace) -> int:
    # The connection ends when the supervisor does.
    answers = list(follow(run_dir, {"command": "stop"}, timeout_s=STOP_S))
    if not answers:
        raise NoSupervisorError("the supervisor was about to end already")
    while start_time(answers[0].get("pid", 0)) is not None:
        time.sleep(GONE_POLL_S)
    return _show(options, answers[0], lambda _: "everything is stopped")


def _events(run_dir: Path, options: argparse.Namespace) -> int:
    request = {"command": "events", "last": options.last}
    for answer in follow(run_dir, request):
        code = _show(options, answer, formatting.event)
        sys.stdout.flush()
        if code:
            return code
    return 0


def _explain(run_dir: Path, options: argparse.Namespace) -> int:
    request = {"command": "explain", "name": options.name}
    return _show(options, ask(run_dir, request, timeout_s=ANSWER_S), formatting.transitions)


def _wait_ready(run_dir: Path, options: argparse.Namespace) -> int:
    request = {"command": "wait-ready", "timeout_s": options.timeout}
    answer = ask(run_dir, request, timeout_s=options.timeout + ANSWER_S)
    return _show(options, answer, lambda _: "every actor is ready")


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
    return _show(options, answer, formatting.plan)


def _show(options: argparse.Namespace, answer: dict[str, Any], in_words: Callable[[dict[str, Any]], str]) -> int:
    """Print an answer; return the exit status."""
    if options.json:
        # Whether it went well is the exit status; `status` is to be exactly what the contract says.
        shown = {key: value for key, value in answer.items() if key != "ok" or not value}
        print(safe_json(json.dumps(shown, ensure_ascii=False)))
    else:
        answer = _shown(answer)
        text = in_words(answer) if answer["ok"] or "reports" in answer else ""
        if text:
            print(text)
        if not answer["ok"] and not text:
            sys.stderr.write(f"{answer['error']}\n")
    return 0 if answer["ok"] else FAILED


def _shown(answer: Any) -> Any:
    """Return an answer in which nothing is left that a terminal would obey: actors quote what peers have said."""
    if isinstance(answer, str):
        return printable(answer)
    if isinstance(answer, list):
        return [_shown(each) for each in answer]
    return {key: _shown(value) for key, value in answer.items()} if isinstance(answer, dict) else answer


def _fail(options: argparse.Namespace, text: str, code: int) -> int:
    if getattr(options, "json", False):
        print(safe_json(json.dumps({"ok": False, "error": text}, ensure_ascii=False)))
    else:
        sys.stderr.write(f"{printable_lines(text)}\n")
    return code
