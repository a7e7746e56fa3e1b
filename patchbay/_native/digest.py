"""Names the sources that routines in C are built from, by what is in them: the time of a file says nothing once it was copied.

Knows only the standard library: the build (`setup.py`) runs this file by itself.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

DIGEST_BYTES = 16


def digest(source: Path) -> str:
    """Return the name of a source file and the headers that it may include.

    Raises:
        OSError: one of them can't be read.
    """
    found = blake2b(digest_size=DIGEST_BYTES)
    for path in (source, *sorted(Path(__file__).parent.glob("*.h"))):
        text = path.read_bytes()
        found.update(f"{path.name} {len(text)}\n".encode() + text)
    return found.hexdigest()
