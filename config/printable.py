"""Escapes the control characters of text from elsewhere, for terminals, logs and programs that read lines. Pure.

A peer's text may hold characters that move a terminal's cursor, change its colours or its title, turn the direction of
writing or begin a new line. They are written as Python escapes them (`\\x1b`).
"""

from __future__ import annotations

import json


def printable(text: str) -> str:
    """Return a text as one line without control characters."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _written(each) for each in text)


def printable_lines(text: str, indent: str = "") -> str:
    """Return a text of several lines without other control characters; only a line feed ends a line."""
    return "\n".join(indent + printable(line) for line in text.split("\n"))


def safe_json(line: str) -> str:
    """Return equal JSON without characters that a terminal, or a program that splits lines, would interpret."""
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else _escaped(each) for each in line)


def _written(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _escaped(character: str) -> str:
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]
