"""`python -m supervisor.procfile`: starts what the Procfile says, with honcho, for programs that read what it writes.

Honcho begins each line with the time and a name, and has lines of its own. Here every line is a JSON object: the log's lines as they
are, and all others, of whomever, as the log would have said them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from honcho import command, manager

from config.printable import safe_json
from patchbay.protocol.times import utc

if TYPE_CHECKING:
    from typing import TextIO


class JsonPrinter:
    """What honcho writes by; it sets `width`."""

    def __init__(self, output: TextIO | None = None, **how: object) -> None:
        del how
        self._output = output or sys.stdout
        self.width = 0

    def write(self, message: Any) -> None:
        """Write the lines of one of honcho's messages."""
        data = message.data
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
        name = "honcho" if message.name == manager.SYSTEM_PRINTER_NAME else message.name
        for line in text.rstrip("\n").split("\n"):
            print(as_json(line, name), file=self._output, flush=True)


def as_json(line: str, name: str) -> str:
    """Return a line as it is if it is a JSON object, else one that says the same."""
    if line.startswith("{"):
        try:
            json.loads(line)
        except ValueError:
            pass
        else:
            return safe_json(line)
    said = {
        "time": utc(time.time()),
        "level": "info",
        "actor": name,
        "pid": os.getpid(),
        "logger": "output",
        "message": line,
    }
    return safe_json(json.dumps(said, ensure_ascii=False))


def main() -> None:
    """Run honcho; it exits with the status that it would have."""
    command.Printer = JsonPrinter
    sys.argv[1:] = ["start"]
    command.main()


if __name__ == "__main__":
    main()
