"""Keeps the key pair of this node's life in the run directory, so that a bridge that is started again has the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from patchbay.bus.node_sockets import KeyPair

FILE: Final = "bridge.keys"


def load_keys(run_dir: str) -> KeyPair:
    """Return the key pair; a new one is made where there is none, or none that can be read."""
    path = Path(run_dir, FILE)
    try:
        public, private = path.read_text(encoding="ascii").split()
        return KeyPair(public, private)
    except (OSError, ValueError):
        made = KeyPair.generate()
    temporary = path.with_suffix(f".{os.getpid()}")
    with open(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:  # noqa: PTH123
        file.write(f"{made.public} {made.private}\n")
    temporary.rename(path)
    return made
