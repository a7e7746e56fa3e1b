"""Text from elsewhere, made safe for whoever reads it: on a terminal, in a log, line by line. Pure.

A peer's text may hold characters that move a terminal's cursor, change its colours or its title, turn the direction of writing
or begin a new line. They are shown as Python would write them (`\\x1b`).
"""

from __future__ import annotations

import json


def printable(text: str) -> str:
    """Return a text as one line that can be shown."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _written(each) for each in text)


def printable_lines(text: str, indent: str = "") -> str:
    """Return a text of several lines that can be shown; a line ends with a line feed and nothing else."""
    return "\n".join(indent + printable(line) for line in text.split("\n"))


def safe_json(line: str) -> str:
    """Return JSON that says the same, and in which nothing is left for a terminal or a splitter of lines."""
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else _escaped(each) for each in line)


def _written(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _escaped(character: str) -> str:
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]
