"""`python -m tests.fuzz TARGET… [--minutes M]`: looks for a failure with coverage as its guide (needs atheris). What
costs more than its length allows is one too.

With `--cost` it looks for inputs whose cost rises faster than their length (`tests.fuzz.cost`); that needs nothing.

Exit status: 0 nothing found, 1 something (the input is in the corpus directory, its traceback above), 2 no atheris.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from bench import cache

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_BYTES = 8192
SLOW_S = 10  # for one input
MEMORY_MIB = 2048


def main(arguments: Sequence[str]) -> int:
    """Run each target in a process of its own: the fuzzer ends the one that it runs in."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="such as head, frames, telnyx; all without any")
    parser.add_argument("--minutes", type=float, default=3.0, metavar="M", help="for each target (3)")
    parser.add_argument("--one", metavar="FILE", type=Path, help="only this input, such as one that has failed")
    parser.add_argument("--cost", action="store_true", help="look for work that rises faster than the input")
    options = parser.parse_args(arguments)
    if options.cost:
        return _search_costs(options.targets, options.minutes)
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("the fuzzer is not installed: .venv/bin/pip install -c constraints.txt atheris", file=sys.stderr)
        return 2
    from tests.fuzz.targets import TARGETS

    failed = []
    for name in options.targets or TARGETS:
        if options.one is not None:
            TARGETS[name].run(options.one.read_bytes())
            continue
        if not _run(name, TARGETS[name].seeds, options.minutes):
            failed.append(name)
    print(f"found: {', '.join(failed) or 'nothing'}")
    return 1 if failed else 0


def _search_costs(names: Sequence[str], minutes: float) -> int:
    from tests.fuzz.cost import Outlier, search
    from tests.fuzz.targets import TARGETS

    logging.disable()
    failed = []
    for name in names or TARGETS:
        try:
            byte_s, poller = search(TARGETS[name], minutes * 60, Random())
        except Outlier as outlier:
            print(f"{name}: {outlier}", flush=True)
            failed.append(name)
        else:
            print(f"{name}: at most {byte_s * 1e6:.2f} µs a byte, {str(poller)[:150]}", flush=True)
    print(f"found: {', '.join(failed) or 'nothing'}")
    return 1 if failed else 0


def _run(name: str, seeds: Sequence[bytes], minutes: float) -> bool:
    corpus = cache.directory() / "fuzz" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    began, known = time.monotonic(), len(list(corpus.iterdir()))
    command = [sys.executable, "-m", "tests.fuzz.engine", name, str(corpus), f"-max_total_time={int(minutes * 60)}"]
    command += [f"-artifact_prefix={corpus}-found-", f"-max_len={LONGEST_BYTES}", f"-timeout={SLOW_S}"]
    command += [f"-rss_limit_mb={MEMORY_MIB}", "-print_final_stats=1", "-verbosity=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    stats = dict(line.split()[:2] for line in done.stderr.splitlines() if line.startswith("stat::"))
    runs, new = stats.get("stat::number_of_executed_units:", "?"), len(list(corpus.iterdir())) - known
    print(f"{name}: {runs} inputs in {time.monotonic() - began:.0f} s, {new} of them new paths", flush=True)
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
