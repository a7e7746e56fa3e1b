"""Carries out the commands about the configuration: check it, make keys, make tokens for trying and for scripts."""

from __future__ import annotations

import argparse
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

from config.keys import new_pair
from config.loader import load
from config.tokens import EVERY_CALL, make_token

if TYPE_CHECKING:
    from collections.abc import Callable

    Carry = Callable[[argparse.Namespace], int]
    Add = Callable[[str, str, Carry], argparse.ArgumentParser]

RIGHTS = ("listen", "talk", "events", "admin", "stream")
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SECRET_BYTES = 48


def check(given: argparse.Namespace) -> int:
    """Print that the configuration can be used.

    Raises:
        ConfigError: it can't be used.
    """
    del given
    settings = load(os.environ)
    print(f"usable: {settings.host} port {settings.port}, authentication {'on' if settings.auth.enabled else 'OFF'}")
    return 0


def key(given: argparse.Namespace) -> int:
    """Print new secrets as lines of an environment file, or write one to a file of its own.

    Raises:
        OSError: a file can't be written.
    """
    if given.file:
        _replace(Path(given.file), secrets.token_urlsafe(SECRET_BYTES) + "\n")
        print(f"a new secret is in {given.file}; `python -m supervisor reload` has a running Patchbay use it")
        return 0
    if given.pair:
        private, public = new_pair()
        with open(given.pair, "x", encoding="ascii", opener=_private) as file:
            file.write(private)
        print(f"# the private key is in {given.pair}: it belongs to the application that makes tokens, not to Patchbay")
        lines = public.strip().replace("\n", "\\n")
        print(f'PATCHBAY_AUTH__JWT_PUBLIC_KEY="{lines}"')
    else:
        print(f"PATCHBAY_AUTH__JWT_SECRET={secrets.token_urlsafe(SECRET_BYTES)}")
    print(f"PATCHBAY_TELNYX__STREAM_TOKEN={secrets.token_urlsafe(SECRET_BYTES)}")
    return 0


def token(given: argparse.Namespace) -> int:
    """Print a token that is signed with the secret of the configuration, or with a private key.

    Raises:
        ConfigError: the configuration can't be used.
        ValueError: there is no secret, or the key is none.
        OSError: the file with the private key can't be read.
    """
    if given.private_key:
        algorithm, secret = "EdDSA", Path(given.private_key).read_text(encoding="ascii")
    else:
        algorithm, secret = "HS256", load(os.environ).auth.jwt_secret or ""
        if not secret:
            raise ValueError("set PATCHBAY_AUTH__JWT_SECRET, or name a private key with --private-key")
    made = make_token(
        secret,
        algorithm=algorithm,
        subject=given.sub,
        calls=given.call or [EVERY_CALL],
        can=given.can,
        now=time.time(),
        ttl_s=given.ttl,
    )
    print(made)
    return 0


def add_key(add: Add) -> None:
    """Add the command `key` to a parser; `add(name, help, carry_out)` returns the command's own parser."""
    parser = add("key", "make a secret for tokens and one for Telnyx's streams", key)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--pair", metavar="FILE", help="a key pair (EdDSA) instead of a secret; FILE gets the private key"
    )
    kind.add_argument(
        "--file",
        metavar="FILE",
        help="one secret, written to FILE, in the place of what is there; see `jwt_secret_file`",
    )


def add_token(add: Add) -> None:
    """Add the command `token` to a parser; `add` as for `add_key`."""
    parser = add("token", "make an access token", token)
    parser.add_argument("--sub", default="me", help="who it is for (default: %(default)s)")
    parser.add_argument(
        "--call", action="append", metavar="ID", help="a call control id; may be repeated (default: every call)"
    )
    parser.add_argument(
        "--can", type=_rights, default=["listen", "events"], help=f"comma separated: {', '.join(RIGHTS)}"
    )
    parser.add_argument(
        "--ttl", type=_seconds, default=3600, help="how long it is good for: 90s, 15m, 8h, 30d (default: 1h)"
    )
    parser.add_argument("--private-key", metavar="FILE", help="sign with this key (PEM, Ed25519), not with the secret")


def _rights(text: str) -> list[str]:
    rights = [right.strip() for right in text.split(",") if right.strip()]
    if unknown := set(rights) - set(RIGHTS):
        raise argparse.ArgumentTypeError(f"no such right: {', '.join(sorted(unknown))}")
    return rights


def _seconds(text: str) -> float:
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS_S else (text, "s")
    try:
        seconds = float(number) * UNITS_S[unit]
    except ValueError:
        raise argparse.ArgumentTypeError(f"no length of time: {text}") from None
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"no length of time: {text}")
    return seconds


def _replace(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all: another process may be reading it."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with open(fresh, "x", encoding="ascii", opener=_private) as file:
        file.write(text)
    fresh.replace(path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
