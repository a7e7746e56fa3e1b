"""Detects Telnyx on a connection that was taken for a browser, by the connection's first message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from patchbay.protocol import legacy

if TYPE_CHECKING:
    from actors.fanout.legacy.talker import Talker
    from patchbay.websocket.connection import WebSocketConnection


class MisrouteCheck:
    """Checks the first text message; all others go to the talker directly.

    Attributes:
        misdirected: set when the peer is Telnyx.
    """

    def __init__(self, peer: WebSocketConnection, talker: Talker) -> None:
        self._peer = peer
        self._talker = talker
        self._is_checked = False
        self.misdirected = trio.Event()

    def on_text(self, message: bytes) -> None:
        """Check a text message."""
        if not self._is_checked:
            self._is_checked = True
            if legacy.looks_like_telnyx(message):
                self.misdirected.set()
            else:
                self.skip()
        if not self.misdirected.is_set():
            self._talker.on_text(message)

    def skip(self) -> None:
        """Pass all messages from now on to the talker: the peer is a browser."""
        self._is_checked = True
        self._peer.on_text = self._talker.on_text
