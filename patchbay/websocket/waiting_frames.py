"""Queues the frames of a connection until its peer reads: control frames, and audio of a bounded age.

Pure: the time is an argument.
"""

from __future__ import annotations

from collections import deque

LOSSY_MAX_BYTES = 1024 * 1024  # whatever their age


class WaitingFrames:
    """Queues control frames, which are written first and never dropped, and lossy frames, which are dropped when too
    old.

    Args:
        lossy_s: how long a lossy frame may wait.

    Attributes:
        control_bytes: the length of all control frames.
        dropped: how many lossy frames were dropped, since they were too old or too many.
    """

    __slots__ = ("_control", "_lossy", "_lossy_bytes", "_lossy_s", "control_bytes", "dropped")

    def __init__(self, lossy_s: float) -> None:
        self._lossy_s = lossy_s
        self._control: deque[bytes] = deque()
        self._lossy: deque[tuple[float, bytes]] = deque()
        self._lossy_bytes = 0
        self.control_bytes = 0
        self.dropped = 0

    def __bool__(self) -> bool:
        return bool(self._control or self._lossy)

    @property
    def control_frames(self) -> int:
        """Return how many control frames wait."""
        return len(self._control)

    def add_control(self, frame: bytes) -> None:
        """Add a control frame behind the others."""
        self._control.append(frame)
        self.control_bytes += len(frame)

    def add_lossy(self, frame: bytes, now: float) -> None:
        """Add a lossy frame behind the others, and drop those that are too old."""
        self._lossy.append((now, frame))
        self._lossy_bytes += len(frame)
        self._drop_old(now)

    def first_control(self) -> bytes | None:
        """Return the control frame that goes first of all; `remove_first` removes it."""
        return self._control[0] if self._control else None

    def first_lossy(self, now: float) -> bytes | None:
        """Return the lossy frame that goes first where no control frame waits; `remove_first` removes it."""
        self._drop_old(now)
        return self._lossy[0][1] if self._lossy else None

    def remove_first(self) -> None:
        """Remove the frame that goes first."""
        if self._control:
            self.control_bytes -= len(self._control.popleft())
        else:
            self._lossy_bytes -= len(self._lossy.popleft()[1])

    def joined(self) -> bytes:
        """Return all frames in the order in which they would be written."""
        return b"".join((*self._control, *(frame for _, frame in self._lossy)))

    def clear_lossy(self) -> None:
        """Remove all lossy frames, uncounted."""
        self._lossy.clear()
        self._lossy_bytes = 0

    def clear(self) -> None:
        """Remove all frames, uncounted."""
        self._control.clear()
        self.control_bytes = 0
        self.clear_lossy()

    def _drop_old(self, now: float) -> None:
        lossy, oldest = self._lossy, now - self._lossy_s
        while lossy and (lossy[0][0] < oldest or self._lossy_bytes > LOSSY_MAX_BYTES):
            self._lossy_bytes -= len(lossy.popleft()[1])
            self.dropped += 1
