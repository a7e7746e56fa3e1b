"""Decides who may talk into a call: one talker at a time has the floor. Pure: the time comes as an argument."""

from __future__ import annotations

import math


class Floor:
    """Holds the floor of one call: the first talker gets it, and keeps it by talking.

    After `release_s` of silence another talker who speaks gets the floor; after `release_s` without a frame it is free.
    A talker with `admin` who speaks takes the floor from a talker without. To learn of changes, compare `holder` before
    and after.
    """

    __slots__ = ("_admin", "_release_s", "_sent_at", "_spoke_at", "_talker")

    def __init__(self, release_s: float) -> None:
        self._release_s = release_s
        self._talker: int | None = None
        self._admin = False
        self._spoke_at = self._sent_at = -math.inf

    def claim(self, talker: int, silent: bool, now: float, admin: bool = False) -> bool:
        """Take a frame of a talker. Returns whether this talker has the floor now, so that the frame may pass."""
        holder = self.holder(now)
        if holder != talker:
            if holder is not None and (silent or not self._gives_way(now, admin)):
                return False
            self._talker = talker
            self._spoke_at = now  # a silent talker has the floor for release_s, too
        self._admin = admin
        self._sent_at = now
        if not silent:
            self._spoke_at = now
        return True

    def renew(self, talker: int, silent: bool, now: float, admin: bool) -> bool:
        """Take the next frame of the holder, as nearly every frame is. False: nothing was done; use `claim`."""
        if talker != self._talker or admin is not self._admin or now - self._sent_at >= self._release_s:
            return False
        self._sent_at = now
        if not silent:
            self._spoke_at = now
        return True

    @property
    def is_admin(self) -> bool:
        """Whether the holder's last frame came with the right to pre-empt."""
        return self._admin

    def extend(self, now: float) -> None:
        """Keep the floor as if the holder spoke now: its talk is still being sent."""
        if self._talker is not None:
            self._spoke_at = self._sent_at = now

    def release(self, talker: int | None) -> None:
        """Free the floor, if this talker has it."""
        if talker == self._talker:
            self._talker = None

    def holder(self, now: float) -> int | None:
        """Return the talker who has the floor; None when it is free."""
        if self._talker is not None and now - self._sent_at >= self._release_s:
            self._talker = None
        return self._talker

    def _gives_way(self, now: float, admin: bool) -> bool:
        return (admin and not self._admin) or now - self._spoke_at >= self._release_s
