"""Records beside the journal in which directory it was written, and which offset it had reached.

A copy of the journal, an older one or one on another machine, would give offsets to new events that clients have had
for other events. Two small files beside the journal reveal that:

* `…-origin` is empty. The journal has the time of its last change (ctime), which no program can copy. Another time
  means that the files are copies.
* `…-mark` has the epoch and the offset of the last acknowledged event. It is written between the commit and the
  acknowledgement, and not synced: it outlives the process, and after a crash of the machine it may be behind the
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
        """Return the time that no copy of this directory has. The file is made if it is missing. Raises OSError."""
        os.close(os.open(self._origin, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return str(self._origin.stat().st_ctime_ns)

    def is_origin(self, recorded: str) -> bool:
        """Return whether a recorded time is of this directory. Some file systems drop the fraction of a second."""
        try:
            found, before = self._origin.stat().st_ctime_ns, int(recorded)
        except (OSError, ValueError):
            return False
        return found == before or (found % SECOND_NS == 0 and found // SECOND_NS == before // SECOND_NS)

    def read(self) -> Point | None:
        """Return the offset that the journal had reached; None: not known."""
        try:
            with self._mark.open("rb") as file:
                epoch, offset = file.read(MAX_BYTES).decode("ascii").splitlines()[0].split()
            return Point(epoch, int(offset))
        except (OSError, ValueError, IndexError):
            return None

    def mismatch(self, epoch: str | None, origin: str | None, last: int) -> str | None:
        """Return why a journal is not the one that was left here; None: it is that one. Empty: it is new, or of a
        version without watermarks.

        Args:
            epoch, origin: as recorded in the journal; None: not recorded.
            last: the offset of the journal's last event.
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
        """Record the offset that the journal has reached. An error is logged once, and no event is lost."""
        try:
            descriptor = os.open(self._mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(descriptor, f"{epoch} {offset:020d}\n".encode("ascii"), 0)
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._has_failed:
                logger.error("%s can't be written, so a restored journal may not be recognized: %s", self._mark, error)
            self._has_failed = True
