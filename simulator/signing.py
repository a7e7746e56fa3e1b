"""Signs webhooks as Telnyx does (Ed25519). Needs the `cryptography` package, imported with the first key."""

from __future__ import annotations

import base64
import binascii
import importlib
from collections.abc import Callable
from dataclasses import dataclass

SEED_BYTES = 32  # RFC 8032 §5.1.5: an Ed25519 private key

Sign = Callable[[bytes], bytes]


class SigningError(Exception):
    """Webhooks can't be signed. The text says what is missing and never holds the key."""


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 key: what signs, and the public key (base64) that the receiver must be given."""

    sign: Sign
    public_key: str


def signing_key(seed_text: str) -> SigningKey:
    """Make a key of a base64 seed of 32 bytes. Needs the `cryptography` package. Raises SigningError."""
    try:
        seed = base64.b64decode(seed_text.strip(), validate=True)
    except binascii.Error as error:
        raise SigningError("the signing key is not base64") from error
    if len(seed) != SEED_BYTES:
        raise SigningError(f"the signing key has {len(seed)} bytes, not {SEED_BYTES}")
    try:
        ed25519 = importlib.import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    except ImportError as error:
        raise SigningError("signing webhooks needs the Python package cryptography, which is not installed") from error
    key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    return SigningKey(key.sign, base64.b64encode(key.public_key().public_bytes_raw()).decode())
