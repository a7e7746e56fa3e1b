"""`python -m tests.fuzz.engine TARGET CORPUS [OPTION…]`: one target in this process; options are libFuzzer's."""

from __future__ import annotations

import logging
import sys

import atheris

# What is imported in here tells the fuzzer of the branches it takes.
with atheris.instrument_imports(include=["actors", "patchbay"]):
    from tests.fuzz import cost
    from tests.fuzz.targets import TARGETS

INSTRUMENTED = 10.0  # times the price


def run(data: bytes) -> None:
    """One input: what comes of it, and what it costs."""
    cost.check_budget(TARGETS[name].run, data, INSTRUMENTED)


if __name__ == "__main__":
    name = sys.argv.pop(1)
    logging.disable()
    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
