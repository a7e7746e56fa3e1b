"""Reads and makes keys in PEM. Imports cryptography only when a key is read or made."""

from __future__ import annotations

from typing import Any


def load_public_key(pem: str) -> Any:
    """Return the Ed25519 (or Ed448) key of a PEM text, in which an environment file may have written `\\n` for a new
    line.

    Raises:
        ValueError: the text is no such key; the error's text follows the name of the setting.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem.replace("\\n", "\n").strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is not a public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey | Ed448PublicKey):
        raise ValueError("is not a key for EdDSA (Ed25519)")
    return key


def new_pair() -> tuple[str, str]:
    """Return a new Ed25519 key pair: (private key, public key), both in PEM."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(), public.decode()
