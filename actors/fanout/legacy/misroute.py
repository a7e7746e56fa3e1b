"""The first message of a connection: Telnyx, taken for a browser, gives itself away there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from patchbay.protocol import legacy

if TYPE_CHECKING:
    from actors.fanout.legacy.talker import Talker
    from patchbay.websocket.connection import WebSocketConnection


class MisrouteCheck:
    """Looks at that message, and leaves all that follows to the talker."""

    def __init__(self, peer: WebSocketConnection, talker: Talker) -> None:
        self._peer = peer
        self._talker = talker
        self._seen = False
        self.misdirected = trio.Event()

    def on_text(self, message: bytes) -> None:
        """A text message."""
        if not self._seen:
            self._seen = True
            if legacy.looks_like_telnyx(message):
                self.misdirected.set()
            else:
                self.passed()
        if not self.misdirected.is_set():
            self._talker.on_text(message)

    def passed(self) -> None:
        """It is a browser: what comes is the talker's, and nobody looks at it here."""
        self._seen = True
        self._peer.on_text = self._talker.on_text
