"""Runs or asks the supervisor, as `python -m supervisor [COMMAND]`."""

from __future__ import annotations

import sys

from supervisor.commands.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
