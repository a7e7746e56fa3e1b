"""Makes access tokens for trying and for scripts. In production the application that knows its users makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

EVERY_CALL = "*"


def make_token(
    key: str, *, algorithm: str, subject: str, calls: Sequence[str], can: Sequence[str], now: float, ttl_s: float
) -> str:
    """Return a signed access token (JWT, RFC 7519) with the claims that Patchbay reads (docs/security.md).

    Args:
        key: the secret for HS256, the private key in PEM for EdDSA.
        calls: call control ids; one "*" means every call.

    Raises:
        ValueError: the key is none for this algorithm.
    """
    import jwt

    granted: str | list[str] = EVERY_CALL if EVERY_CALL in calls else list(calls)
    claims: dict[str, Any] = {"sub": subject, "exp": int(now + ttl_s), "calls": granted, "can": list(can)}
    try:
        return jwt.encode(claims, key, algorithm=algorithm)
    except (jwt.InvalidKeyError, TypeError, ValueError):
        raise ValueError(f"this is no private key for {algorithm}") from None
