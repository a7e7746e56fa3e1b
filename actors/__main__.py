"""`python -m actors NAME`: one process of one actor, as the supervisor starts it."""

from __future__ import annotations

import argparse
import importlib
import sys

from actors.runtime.app import run_actor

NAMES = ("gateway", "ingest", "fanout", "call_events", "console")


def main() -> int:
    """Parse the command line, import that one actor, run it."""
    parser = argparse.ArgumentParser(
        prog="python -m actors", description="One actor of a Patchbay. Normally the supervisor starts these."
    )
    parser.add_argument("name", choices=NAMES)
    name = parser.parse_args().name
    return run_actor(name, importlib.import_module(f"actors.{name}.actor").run)


if __name__ == "__main__":
    sys.exit(main())
