"""Runs one process of one actor, as `python -m actors NAME`; the supervisor starts these."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from patchbay.process.background_import import load

NAMES = ("gateway", "ingest", "fanout", "call_events", "console", "bridge")


def main() -> int:
    """Parse the command line, import that one actor and run it; return the exit status.

    A process that is started beside the one that it replaces is imported at low priority.
    """
    parser = argparse.ArgumentParser(
        prog="python -m actors", description="One actor of a Patchbay. Normally the supervisor starts these."
    )
    parser.add_argument("name", choices=NAMES)
    name = parser.parse_args().name
    module, runtime = f"actors.{name}.actor", "patchbay.process.main"
    if os.environ.get("PATCHBAY_ACTOR_BESIDE"):
        load((runtime, module), "low").join()
    status: int = import_module(runtime).run_actor(name, import_module(module).run)
    return status


if __name__ == "__main__":
    sys.exit(main())
