"""`python -m tests.conformance [CASE …]`: the Autobahn cases on every WebSocket endpoint, through the real gateway.

Exit status: 0 all strict passes, 1 some are not.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from typing import TYPE_CHECKING

from tests.conformance.cases import run_cases
from tests.e2e.system import new_system

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conformance.cases import Outcome

ENDPOINTS = {
    "fanout": "/audio-stream",
    "ingest": "/audio-stream?role=telnyx",
    "call_events": "/call-events",
}
# The limits are tested elsewhere. Here they make room for the cases: messages of 16 MiB, 16,384 fragments at once.
LIMITS = {
    "MESSAGE_MAX_BYTES": str(17 * 2**20),
    "MESSAGES_PER_S": "1000000",
    "MESSAGES_BURST": "1000000",
}
SETTINGS = {f"{section}__{key}": value for section in ("FANOUT", "INGEST", "EVENTS") for key, value in LIMITS.items()}


def main(arguments: Sequence[str]) -> int:
    """Carry out a command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="such as 6.4.1 or '7.*'; all without any")
    parser.add_argument("--endpoints", nargs="+", choices=ENDPOINTS, default=tuple(ENDPOINTS), help="only these")
    options = parser.parse_args(arguments)
    strict = True
    with new_system(**SETTINGS) as system:
        system.start(sys.executable, "-m", "tests.conformance.supervisor")
        system.wait_ready()
        for name in options.endpoints:
            outcomes = asyncio.run(run_cases(system.url(ENDPOINTS[name]), options.cases or None))
            strict = _tell(name, outcomes) and strict
        system.stop()
        if "Traceback" in system.log():
            print(system.log())
            strict = False
    return 0 if strict else 1


def _tell(name: str, outcomes: Sequence[Outcome]) -> bool:
    failed = [outcome for outcome in outcomes if not outcome.is_strict]
    behaviors = Counter(outcome.behavior for outcome in outcomes)
    told = ", ".join(f"{count} {behavior}" for behavior, count in sorted(behaviors.items()))
    print(f"{name}: {len(outcomes)} cases, {len(outcomes) - len(failed)} strict passes ({told})")
    for outcome in failed:
        print(f"  {outcome.case}: {outcome.behavior}, close {outcome.close}: {outcome.about}")
    return bool(outcomes) and not failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
