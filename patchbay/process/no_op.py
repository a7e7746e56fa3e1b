"""Holds the function that replaces the callbacks of a closed object, so that it keeps no other object alive."""

from __future__ import annotations


def nothing(*_: object) -> None:
    """Do nothing, with any arguments."""
