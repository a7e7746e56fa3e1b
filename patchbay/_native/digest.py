"""Computes the digest of a C source and its headers, by which a module that was built from other sources is found.

Imports only the standard library, since the build (`setup.py`) runs this file by itself.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

DIGEST_BYTES = 16


def digest(source: Path) -> str:
    """Return the digest of a source file and all headers beside this module.

    Raises:
        OSError: a file can't be read.
    """
    found = blake2b(digest_size=DIGEST_BYTES)
    for path in (source, *sorted(Path(__file__).parent.glob("*.h"))):
        text = path.read_bytes()
        found.update(f"{path.name} {len(text)}\n".encode() + text)
    return found.hexdigest()
