"""Rules between settings: what must not go together, in words that say which setting to change. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.settings import Settings

SECRET_MIN_BYTES = 32  # RFC 7518 §3.2: an HS256 key is at least as long as the hash


def complaints(settings: Settings) -> list[str]:
    """Return what is wrong with settings that are each valid alone; empty when they may be used."""
    return [*_exposure(settings), *_authentication(settings)]


def is_loopback(host: str) -> bool:
    """Whether a listening address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _exposure(settings: Settings) -> list[str]:
    if settings.auth.enabled or is_loopback(settings.host):
        return []
    return [(
        f"host = {settings.host} can be reached from other machines, but authentication is off: anybody could hear "
        "every call. Set PATCHBAY_AUTH__ENABLED=true with PATCHBAY_AUTH__JWT_SECRET (or PATCHBAY_AUTH__JWT_PUBLIC_KEY), "
        "PATCHBAY_TELNYX__STREAM_TOKEN and PATCHBAY_TELNYX__PUBLIC_KEY, or PATCHBAY_HOST=127.0.0.1"
    )]


def _authentication(settings: Settings) -> list[str]:
    auth = settings.auth
    if not auth.enabled:
        return []
    problems = []
    if bool(auth.jwt_secret) == bool(auth.jwt_public_key):
        problems.append("auth.enabled needs exactly one of PATCHBAY_AUTH__JWT_SECRET and PATCHBAY_AUTH__JWT_PUBLIC_KEY")
    if auth.jwt_secret and len(auth.jwt_secret.encode()) < SECRET_MIN_BYTES:
        problems.append(f"auth.jwt_secret is too short: it needs at least {SECRET_MIN_BYTES} bytes")
    if not settings.telnyx.stream_token:
        problems.append("auth.enabled needs PATCHBAY_TELNYX__STREAM_TOKEN, or no media stream of Telnyx is let in")
    return problems
