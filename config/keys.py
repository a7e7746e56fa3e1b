"""Keys as settings hold them: PEM text. Imports cryptography only when there is one to read."""

from __future__ import annotations

from typing import Any


def load_public_key(pem: str) -> Any:
    """The Ed25519 (or Ed448) key of a PEM text, in which an environment file may have written `\\n` for a new line.

    Raises:
        ValueError: it is none; the text says so in words that follow the setting's name.
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
    """A new Ed25519 key pair: (private key, public key), both in PEM."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(), public.decode()
