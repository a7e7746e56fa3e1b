"""Parses the command lines `patchbay COMMAND` and `python -m supervisor [COMMAND]`, and carries them out."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from config import ConfigError, commands, find_run_dir
from config.paths import DirectoryError
from supervisor import main as supervisor_main
from supervisor.commands import demo, operations
from supervisor.commands.client import NoSupervisorError
from supervisor.commands.output import FAILED, NOT_RUNNING, WRONG_USAGE, fail
from supervisor.takeover.upgrade import RESUME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from supervisor.commands.operations import Operation

EX_CONFIG = 78
INTERRUPTED = 130
EXIT_STATUSES = "Exit status: 0 done, 1 not done, 2 wrong usage, 3 no supervisor runs, 78 wrong configuration."


def main(arguments: Sequence[str]) -> int:
    """Carry out `python -m supervisor`; return the exit status."""
    return _carry_out(supervisor_parser().parse_args(arguments))


def patchbay(arguments: Sequence[str] | None = None) -> int:
    """Carry out the console script `patchbay`; return the exit status."""
    return _carry_out(patchbay_parser().parse_args(arguments))


def _carry_out(options: argparse.Namespace) -> int:
    try:
        # The run directory is all that is needed to ask a running supervisor.
        status: int = options.carry_out(Path(find_run_dir(os.environ)), options)
    except ConfigError as error:
        return fail(options, f"patchbay: the configuration can't be used:\n{error}", EX_CONFIG)
    except DirectoryError as error:
        return fail(options, f"patchbay: {error}", EX_CONFIG)
    except NoSupervisorError as error:
        return fail(options, str(error), NOT_RUNNING)
    except TimeoutError:
        return fail(options, "the supervisor does not answer", FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        supervisor_main.flush_streams()
        return FAILED
    return status


def supervisor_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m supervisor`, which runs the supervisor when there is no command."""
    parser = argparse.ArgumentParser(
        prog="python -m supervisor",
        description=f"Run Patchbay (without a command), or ask the one that runs. {EXIT_STATUSES}",
    )
    _add_take_over(parser)
    parser.add_argument(RESUME, type=int, help=argparse.SUPPRESS)
    parser.set_defaults(carry_out=_run)
    operations.add_to(_adder(parser))
    return parser


def patchbay_parser() -> argparse.ArgumentParser:
    """Return the parser of `patchbay`."""
    parser = argparse.ArgumentParser(
        prog="patchbay", description=f"Run Patchbay, or ask the one that runs. {EXIT_STATUSES}"
    )
    parser.add_argument(RESUME, type=int, help=argparse.SUPPRESS)
    parser.set_defaults(carry_out=_resume, take_over=False)
    add = _adder(parser)
    _add_take_over(add("run", _run, "run Patchbay in the foreground, until Ctrl-C"))
    add("demo", _demo, "run Patchbay and three simulated calls, until Ctrl-C")
    operations.add_to(add)
    commands.add_key(lambda name, text, work: add(name, _about_configuration(work), text))
    commands.add_token(lambda name, text, work: add(name, _about_configuration(work), text))
    parser.set_defaults(print_usage=parser.print_usage)
    return parser


def _adder(parser: argparse.ArgumentParser) -> Callable[[str, Operation, str], argparse.ArgumentParser]:
    """Return a function that adds a command to a parser, and returns the command's own parser."""
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(name: str, carry_out: Operation, text: str) -> argparse.ArgumentParser:
        command = subparsers.add_parser(name, help=text, description=text)
        command.set_defaults(carry_out=carry_out)
        return command

    return add


def _add_take_over(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="take over from a supervisor that runs; the actors go on",
    )


def _run(run_dir: Path, options: argparse.Namespace) -> int:
    del run_dir
    return supervisor_main.run(os.environ, take_over=options.take_over, resume=options.resume)


def _resume(run_dir: Path, options: argparse.Namespace) -> int:
    """Go on as the next program of a supervisor that `patchbay run` has started; without that, show the usage."""
    if options.resume is None:
        options.print_usage(sys.stderr)
        return WRONG_USAGE
    return _run(run_dir, options)


def _demo(run_dir: Path, options: argparse.Namespace) -> int:
    del run_dir, options
    return demo.run()


def _about_configuration(work: Callable[[argparse.Namespace], int]) -> Operation:
    def carry_out(run_dir: Path, options: argparse.Namespace) -> int:
        del run_dir
        try:
            return work(options)
        except (ValueError, OSError) as error:
            return fail(options, f"patchbay: {error}", EX_CONFIG)

    return carry_out
