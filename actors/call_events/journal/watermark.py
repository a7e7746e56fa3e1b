"""Notes beside the journal that this is the directory where it was written, and which offset it had reached.

An older copy that was put back, the file without its log, or all of it on another machine would go on with offsets that
clients have had for other events, and nobody could tell. So two small files lie beside the journal:

* `…-origin` is empty. The time of its last change, which the file system sets and no copying program can, is noted in
  the journal: where it differs, these files are copies.
* `…-mark` has the epoch and the offset of the last event that was acknowledged. It is written after the commit and
  before the acknowledgement, and not synced: it outlives the process, and when the machine dies it may be behind the
  journal, never ahead.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final, NamedTuple

logger = logging.getLogger(__name__)

SECOND_NS: Final = 10**9
MAX_BYTES: Final = 128


class Point(NamedTuple):
    """Holds a journal's epoch, and the offset that it had reached."""

    epoch: str
    offset: int


class Watermark:
    """Reads and writes the two files beside a journal."""

    def __init__(self, path: Path) -> None:
        self._mark = Path(f"{path}-mark")
        self._origin = Path(f"{path}-origin")
        self._has_failed = False

    def origin(self) -> str:
        """Return the time that no copy of this directory has; the file is made where there is none.

        Raises:
            OSError: it can't be made.
        """
        os.close(os.open(self._origin, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return str(self._origin.stat().st_ctime_ns)

    def is_origin(self, recorded: str) -> bool:
        """Return whether this is the directory where that time was noted. Some file systems drop the fraction of a
        second."""
        try:
            found, before = self._origin.stat().st_ctime_ns, int(recorded)
        except (OSError, ValueError):
            return False
        return found == before or (found % SECOND_NS == 0 and found // SECOND_NS == before // SECOND_NS)

    def read(self) -> Point | None:
        """Return which offset the journal had reached; None where that is not known."""
        try:
            with self._mark.open("rb") as file:
                epoch, offset = file.read(MAX_BYTES).decode("ascii").splitlines()[0].split()
            return Point(epoch, int(offset))
        except (OSError, ValueError, IndexError):
            return None

    def mismatch(self, epoch: str | None, origin: str | None, last: int) -> str | None:
        """Return why a journal is not the one that was left here; None: it is. Empty: it is new, or from a version
        without watermarks.

        Args:
            epoch, origin: what it says of itself; None: nothing.
            last: the offset of its last event.
        """
        left = self.read()
        if epoch is None or (origin is None and left is None):
            return ""
        if origin is None or not self.is_origin(origin):
            return "it is a copy from elsewhere"
        if left is None:
            return "nothing says how far it had come"
        if left.epoch != epoch:
            return "another one was here"
        return None if last >= left.offset else f"it ends at offset {last}, and {left.offset} was acknowledged"

    def write(self, epoch: str, offset: int) -> None:
        """Note the offset that the journal has reached. When the disk refuses, the note is lost, and no event."""
        try:
            descriptor = os.open(self._mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(descriptor, f"{epoch} {offset:020d}\n".encode("ascii"), 0)
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._has_failed:
                logger.error(
                    "%s can't be written, so a restored journal may not be known for one: %s", self._mark, error
                )
            self._has_failed = True
