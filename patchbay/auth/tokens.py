"""Verifies access tokens of frontends (contract, section 5): JSON Web Tokens, with one fixed algorithm.

Pure: the time is an argument. Says who somebody is and what the token grants; where that is enough is decided by
`patchbay.auth.access`. Never puts a token, or a part of one, into an error or a log.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from config.keys import load_public_key
from patchbay.auth.rights import RIGHTS
from patchbay.protocol.lenient_json import SURROGATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jwt.types import Options

    from config.settings import AuthSettings

EVERY_CALL: Final = "*"
SUBPROTOCOL: Final = "patchbay"
REFUSED: Final = "refused"  # in place of claims: `[close code, reason]`, for a client that is told after the upgrade
CARRIER: Final = "carrier"  # a claim that no token has: only Telnyx's own, which is none
SUBPROTOCOL_PREFIX: Final = "patchbay.token."
TOKEN_MAX_CHARS: Final = 8192
SUB_MAX_CHARS: Final = 256
TIME_MAX_S: Final = 2**53
_FORM: Final = re.compile(r"[A-Za-z0-9_=.+/-]+")  # RFC 7515 §7.1, and the base64 of those who are not strict

# PyJWT's own look at the clock is replaced by ours; a token for another `aud` stays refused, since we are none.
_OPTIONS: Final[Options] = {
    "require": ["exp", "sub"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}


class BadToken(Exception):
    """The token is not valid. The text tells its owner why, and holds no part of it."""


class Expired(BadToken):
    """The token was valid, and has expired."""


class Verifier:
    """Verifies tokens with the key and the algorithm that the settings name: never with what a token says of itself.

    Raises:
        ValueError: (when made) there is no key, or the public key can't be read.
    """

    def __init__(self, auth: AuthSettings) -> None:
        import jwt  # brings cryptography with it: time and memory that only those pay who use it

        self._jwt = jwt
        self._leeway_s = auth.leeway_s
        if auth.jwt_public_key:
            self._algorithm, self._key = "EdDSA", load_public_key(auth.jwt_public_key)
        elif auth.jwt_secret:
            self._algorithm, self._key = "HS256", auth.jwt_secret
        else:
            raise ValueError("neither auth.jwt_secret nor auth.jwt_public_key is set")

    def verify(self, token: str, now: float) -> dict[str, Any]:
        """Return what a token claims: `sub`, `exp` (seconds since 1970, with the leeway), `calls` (a list of call
        control ids, or "*") and `can` (a list of rights). Other claims are dropped.

        Raises:
            BadToken: forged, expired, not yet valid, or not of this form.
        """
        if len(token) > TOKEN_MAX_CHARS:
            raise BadToken("the token is too long")
        if _FORM.fullmatch(token) is None:  # PyJWT passes over what is not base64, and the token goes into a header
            raise BadToken("the token can't be read")
        try:
            claims = self._jwt.decode(token, self._key, algorithms=[self._algorithm], options=_OPTIONS)
        except self._jwt.InvalidTokenError as error:
            raise BadToken(self._reason(error)) from None
        except (ValueError, TypeError, RecursionError):  # what PyJWT lets through of a token made to hurt
            raise BadToken("the token can't be read") from None
        return _checked(claims, now, self._leeway_s)

    def _reason(self, error: Exception) -> str:
        jwt = self._jwt
        if isinstance(error, jwt.MissingRequiredClaimError):
            return f"the token has no {error.claim}"
        if isinstance(error, jwt.InvalidSignatureError):
            return "the token is signed with another key"
        if isinstance(error, jwt.InvalidAlgorithmError):
            return f"the token is not signed with {self._algorithm}"
        if isinstance(error, jwt.InvalidAudienceError):
            return "the token is meant for somebody else"
        return "the token can't be read"


def granted_calls(claims: Mapping[str, Any] | None) -> frozenset[str] | None:
    """Return the calls that claims are good for; None: every call."""
    if claims is None or claims.get("calls") == EVERY_CALL:
        return None
    return frozenset(claims.get("calls", ()))


def covers(claims: Mapping[str, Any], calls: frozenset[str] | None) -> bool:
    """Return whether claims are good for all of these calls (None: for every call)."""
    granted = granted_calls(claims)
    return granted is None or (calls is not None and calls <= granted)


def expires_at(claims: Mapping[str, Any] | None) -> float:
    """Return when claims expire, in seconds since 1970; infinity without claims."""
    return math.inf if claims is None else float(claims.get("exp", math.inf))


def sub_of(claims: Mapping[str, Any] | None) -> str:
    """Return the `sub` of claims as text; empty without claims, or without a `sub`."""
    return str((claims or {}).get("sub", ""))


def tokens_of_subprotocols(offered: Iterable[str]) -> list[str]:
    """Return the tokens among the subprotocols that a browser offers: it can send a token in no other header."""
    return [name[len(SUBPROTOCOL_PREFIX) :] for name in offered if name.startswith(SUBPROTOCOL_PREFIX)]


def answered_subprotocol(offered: Iterable[str]) -> str | None:
    """Which of the offered subprotocols to accept: a browser that offered some goes away when none is. `patchbay`
    where it is among them, so that the token need not be repeated."""
    names = list(offered)
    if SUBPROTOCOL in names:
        return SUBPROTOCOL
    return next((name for name in names if name.startswith(SUBPROTOCOL_PREFIX)), None)


def _checked(claims: dict[str, Any], now: float, leeway_s: float) -> dict[str, Any]:
    expires, begins = claims["exp"], claims.get("nbf", 0)
    if not _is_time(expires):
        raise BadToken("exp of the token is not a time")
    if not _is_time(begins):
        raise BadToken("nbf of the token is not a time")
    if now > expires + leeway_s:
        raise Expired("the token has expired")
    if now < begins - leeway_s:
        raise BadToken("the token is not valid yet")
    subject, calls, can = claims["sub"], claims.get("calls", []), claims.get("can", [])
    if not _is_text(subject):
        raise BadToken("sub of the token is not text")
    if not subject.strip() or len(subject) > SUB_MAX_CHARS:  # limits are by `sub`: there is always one
        raise BadToken(f"sub of the token is empty, or longer than {SUB_MAX_CHARS} characters")
    if calls != EVERY_CALL and not _is_texts(calls):
        raise BadToken('calls of the token is neither a list of call control ids nor "*"')
    if not _is_texts(can):
        raise BadToken("can of the token is not a list of rights")
    return {
        "sub": subject,
        "exp": expires + leeway_s,
        "calls": calls,
        "can": [right for right in can if right in RIGHTS],
    }


def _is_time(value: object) -> bool:
    """Return whether a value is finite, and in the range where every second has a float of its own."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= TIME_MAX_S


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(_is_text(item) for item in value)


def _is_text(value: object) -> bool:
    """Return whether a text can be written again: into a log, a journal, a message."""
    return isinstance(value, str) and not SURROGATES.search(value)
