"""Who may talk into a call: one talker at a time has the floor.

Pure: the time comes as an argument. Knows nothing of who the talkers are, nor of how others are told.
"""

from __future__ import annotations

import math


class Floor:
    """The floor of one call. First come; kept by talking.

    A holder that has said nothing for `release_s` can be taken over by one who speaks; one that sends nothing at all for
    as long has left. A talker with `admin` takes the floor from one without, when it speaks. Whoever wants to tell
    others compares `holder` before and after.
    """

    __slots__ = ("_admin", "_release_s", "_sent_at", "_spoke_at", "_talker")

    def __init__(self, release_s: float) -> None:
        self._release_s = release_s
        self._talker: int | None = None
        self._admin = False
        self._spoke_at = self._sent_at = -math.inf

    def offer(self, talker: int, silent: bool, now: float, admin: bool = False) -> bool:
        """A frame of this talker has come: whether it may pass."""
        holder = self.holder(now)
        if holder != talker:
            if holder is not None and (silent or not self._gives_way(now, admin)):
                return False
            self._talker = talker
            self._spoke_at = now  # even a silent one is given its time
        self._admin = admin
        self._sent_at = now
        if not silent:
            self._spoke_at = now
        return True

    def goes_on(self, talker: int, silent: bool, now: float, admin: bool) -> bool:
        """The same for the one case that nearly every frame is: the holder's next one. False: look closer."""
        if talker != self._talker or admin is not self._admin or now - self._sent_at >= self._release_s:
            return False
        self._sent_at = now
        if not silent:
            self._spoke_at = now
        return True

    @property
    def is_admin(self) -> bool:
        """Whether it was taken, or is kept, by the right to pre-empt."""
        return self._admin

    def keep(self, now: float) -> None:
        """What the holder has said is still being spoken: the floor is as if it came now."""
        if self._talker is not None:
            self._spoke_at = self._sent_at = now

    def release(self, talker: int | None) -> None:
        """The talker has finished or left; nothing happens when the floor is another's."""
        if talker == self._talker:
            self._talker = None

    def holder(self, now: float) -> int | None:
        """Return who has the floor."""
        if self._talker is not None and now - self._sent_at >= self._release_s:
            self._talker = None
        return self._talker

    def _gives_way(self, now: float, admin: bool) -> bool:
        return (admin and not self._admin) or now - self._spoke_at >= self._release_s
