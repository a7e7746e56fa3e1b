"""What stands for the callbacks of something that has ended, so that it holds on to nobody."""

from __future__ import annotations


def nothing(*_: object) -> None:
    """Do nothing."""
