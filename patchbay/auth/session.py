"""Holds what the token of one open connection grants, and renews it.

A client shows a newer token in band, before the old one expires: `{"event":"auth","token":"…"}`. It is answered
`{"event":"auth","exp":…}`, or with an error, and then the old token counts on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from patchbay.auth.rights import Right, may, may_preempt
from patchbay.auth.tokens import BadToken, Verifier, covers, granted_calls
from patchbay.protocol import legacy
from patchbay.protocol.errors import TOKEN_NOT_ACCEPTED
from patchbay.protocol.lenient_json import DECODE_ERRORS, Malformed, clean

if TYPE_CHECKING:
    from config.settings import AuthSettings
    from patchbay.handover.connection import HandedConnection

log = logging.getLogger(__name__)


class _Auth(msgspec.Struct, tag_field="event", tag="auth"):
    token: str


_decode = msgspec.json.Decoder(_Auth).decode


class Session:
    """Holds the grants of one connection.

    Args:
        verifier: of this process; None when authentication is off, and then everything is granted.
        right: what the connection is for; a newer token must grant it too.

    Attributes:
        calls: those that it is for; None: every call. A renewal does not change them.
        may_talk, is_admin: what else it may, by its newest token.
    """

    def __init__(self, handed: HandedConnection, verifier: Verifier | None, right: Right) -> None:
        self._handed = handed
        self._verifier = verifier
        self._right = right
        self.calls = granted_calls(handed.claims)
        self._take_rights()

    def renew(self, message: bytes, now: float) -> bytes:
        """Take a newer token, and return the text that answers it. `now`: seconds since 1970.

        It must be for the same `sub`, grant what the connection is for, and cover the calls of the token before.
        """
        try:
            token = _decode(clean(message)).token
        except (Malformed, *DECODE_ERRORS):
            return self._refuse("an `auth` event needs a `token`")
        try:
            return msgspec.json.encode({"event": "auth", "exp": self.take(token, now)})
        except BadToken as error:
            return self._refuse(str(error))

    def take(self, token: str, now: float) -> float | None:
        """Take a newer token, as `renew` does; returns when it expires, None with authentication off.

        Raises:
            BadToken: it is not taken.
        """
        held = self._handed.claims
        if self._verifier is None or held is None:
            return None
        claims = self._verifier.verify(token, now)
        if claims["sub"] != held["sub"]:
            raise BadToken("the token is somebody else's")
        if not may(claims, self._right) or not covers(claims, self.calls):
            raise BadToken("the token grants less than this connection needs; open another one")
        self._handed.set_claims({**claims, "calls": held["calls"]})
        self._take_rights()
        return float(claims["exp"])

    def _take_rights(self) -> None:
        self.may_talk = may(self._handed.claims, "talk")
        self.is_admin = may_preempt(self._handed.claims)

    def _refuse(self, why: str) -> bytes:
        sub = (self._handed.claims or {}).get("sub")
        log.warning("token not renewed: %s", why, extra={"peer": self._handed.peer, "sub": sub})
        return legacy.error_message(*TOKEN_NOT_ACCEPTED, why)


def verifier_of(auth: AuthSettings) -> Verifier | None:
    """Return the verifier of a process; None when authentication is off."""
    return Verifier(auth) if auth.enabled else None
