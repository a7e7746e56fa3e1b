"""`python -m tests.fuzz.engine TARGET CORPUS [OPTION…]`: one target in this process; options are libFuzzer's."""

from __future__ import annotations

import sys

import atheris

# What is imported in here tells the fuzzer of the branches it takes.
with atheris.instrument_imports(include=["actors"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name].run)
    atheris.Fuzz()
