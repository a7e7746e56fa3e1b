"""Prints answers and errors on a command line, as text for people or as JSON, and returns the exit status."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from config.printable import printable, printable_lines, safe_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

# Exit statuses, as far as they are not those of sysexits.h: 0 done, 1 not done, 2 wrong usage, 3 no supervisor runs.
FAILED = 1
WRONG_USAGE = 2
NOT_RUNNING = 3


def show(options: argparse.Namespace, answer: dict[str, Any], as_text: Callable[[dict[str, Any]], str]) -> int:
    """Print an answer; return the exit status."""
    if options.json:
        # The exit status tells whether the answer is ok; `status --json` is exactly what its contract says.
        shown = {key: value for key, value in answer.items() if key != "ok" or not value}
        print(safe_json(json.dumps(shown, ensure_ascii=False)))
    else:
        answer = _printable(answer)
        text = as_text(answer) if answer["ok"] or "reports" in answer else ""
        if text:
            print(text)
        if not answer["ok"] and not text:
            sys.stderr.write(f"{answer['error']}\n")
    return 0 if answer["ok"] else FAILED


def fail(options: argparse.Namespace, text: str, status: int) -> int:
    """Print an error; return the exit status given."""
    if getattr(options, "json", False):
        print(safe_json(json.dumps({"ok": False, "error": text}, ensure_ascii=False)))
    else:
        sys.stderr.write(f"{printable_lines(text)}\n")
    return status


def _printable(answer: Any) -> Any:
    """Return an answer without control characters: actors quote what peers have sent."""
    if isinstance(answer, str):
        return printable(answer)
    if isinstance(answer, list):
        return [_printable(each) for each in answer]
    return {key: _printable(value) for key, value in answer.items()} if isinstance(answer, dict) else answer
