"""Checks a configuration, makes keys, and makes tokens for trying and for scripts, as `python -m config`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from config import commands
from config.loader import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

EX_CONFIG = 78
DESCRIPTION = "`python -m config`: checks a configuration, makes keys, and makes tokens for trying and for scripts."


def main(arguments: list[str] | None = None) -> int:
    """Carry out a command line; return the exit status."""
    given = _parser().parse_args(arguments)
    try:
        return int(given.run(given))
    except (ConfigError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return EX_CONFIG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m config", description=DESCRIPTION)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, text: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        command = subparsers.add_parser(name, help=text)
        command.set_defaults(run=run)
        return command

    add("check", "say what is wrong with the configuration, or that it can be used", commands.check)
    commands.add_key(add)
    commands.add_token(add)
    return parser


if __name__ == "__main__":
    sys.exit(main())
