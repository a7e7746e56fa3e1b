"""Verifies the signature and the time of webhooks: Ed25519 over `timestamp|raw body` (Telnyx's "Webhook Fundamentals").

Pure, but imports the library for signatures once there is a key. Without a key, all webhooks are refused.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNATURE_HEADER = "telnyx-signature-ed25519"
TIMESTAMP_HEADER = "telnyx-timestamp"
SIGNATURE_BYTES = 64  # RFC 8032 §5.1.6
TIMESTAMP_MAX_CHARS = 12


class BadSignature(Exception):
    """Reports a webhook that is not Telnyx's, or not recent. The text is one line, and quotes nothing."""


class Verifier:
    """Checks signatures with several keys, one of which must match, so that keys can be rotated.

    Args:
        public_keys: keys of 32 bytes, in base64. Empty: every webhook is refused.
        tolerance_s: the largest difference between a webhook's time and ours.

    Raises:
        ValueError: a key is malformed.
    """

    def __init__(self, public_keys: Iterable[str], *, tolerance_s: float) -> None:
        self._keys = [_load(text) for text in public_keys]
        self._tolerance_s = tolerance_s

    def check(self, body: bytes, *, signature: str | None, timestamp: str | None, now: float) -> None:
        """Check a webhook.

        Args:
            body: the bytes as received.
            signature, timestamp: the values of the two headers.
            now: seconds since 1970.

        Raises:
            BadSignature: the webhook is refused.
        """
        if not self._keys:
            raise BadSignature("no public key is configured (PATCHBAY_TELNYX__PUBLIC_KEY)")
        if signature is None or timestamp is None:
            raise BadSignature("not signed")
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= TIMESTAMP_MAX_CHARS):
            raise BadSignature("the timestamp is not a number")
        if abs(now - int(timestamp)) > self._tolerance_s:
            raise BadSignature("signed too long ago, or in the future")
        signed = timestamp.encode("ascii") + b"|" + body
        raw = _decode(signature)
        if not any(_verifies(key, raw, signed) for key in self._keys):
            raise BadSignature("the signature does not match")


def _decode(signature: str) -> bytes:
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadSignature("the signature is not base64") from error
    if len(raw) != SIGNATURE_BYTES:
        raise BadSignature("the signature has not the length of one")
    return raw


def _load(text: str) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))


def _verifies(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True
