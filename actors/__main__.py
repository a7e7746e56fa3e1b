"""`python -m actors NAME`: one process of one actor, as the supervisor starts it."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from patchbay.process.background_import import load

NAMES = ("gateway", "ingest", "fanout", "call_events", "console")


def main() -> int:
    """Parse the command line, import that one actor, run it. One that is started beside another, which it is to replace,
    gives way meanwhile."""
    parser = argparse.ArgumentParser(
        prog="python -m actors", description="One actor of a Patchbay. Normally the supervisor starts these."
    )
    parser.add_argument("name", choices=NAMES)
    name = parser.parse_args().name
    module, runtime = f"actors.{name}.actor", "patchbay.process.main"
    if os.environ.get("PATCHBAY_ACTOR_BESIDE"):
        load((runtime, module), "gives way").join()
    status: int = import_module(runtime).run_actor(name, import_module(module).run)
    return status


if __name__ == "__main__":
    sys.exit(main())
