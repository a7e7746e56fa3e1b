"""`python -m config`: checks a configuration, makes keys, and makes tokens for trying and for scripts."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from pathlib import Path

from config.keys import new_pair
from config.loader import ConfigError, load
from config.tokens import EVERY_CALL, make_token

EX_CONFIG = 78
RIGHTS = ("listen", "talk", "events", "admin", "stream")
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SECRET_BYTES = 48


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    given = _parser().parse_args(arguments)
    try:
        return int(given.run(given))
    except (ConfigError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return EX_CONFIG


def check(given: argparse.Namespace) -> int:
    """Say whether the configuration can be used."""
    del given
    settings = load(os.environ)
    print(f"usable: {settings.host} port {settings.port}, authentication {'on' if settings.auth.enabled else 'OFF'}")
    return 0


def key(given: argparse.Namespace) -> int:
    """Make secrets, as lines of an environment file, or one in a file of its own."""
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
    """Make a token with the secret of the configuration, or with a private key."""
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m config", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    checking = commands.add_parser("check", help="say what is wrong with the configuration, or that it can be used")
    checking.set_defaults(run=check)
    making = commands.add_parser("key", help="make a secret for tokens and one for Telnyx's streams")
    kind = making.add_mutually_exclusive_group()
    kind.add_argument(
        "--pair", metavar="FILE", help="a key pair (EdDSA) instead of a secret; FILE gets the private key"
    )
    kind.add_argument(
        "--file",
        metavar="FILE",
        help="one secret, written to FILE, in the place of what is there; see `jwt_secret_file`",
    )
    making.set_defaults(run=key)
    issuing = commands.add_parser("token", help="make an access token")
    issuing.add_argument("--sub", default="me", help="who it is for (default: %(default)s)")
    issuing.add_argument(
        "--call", action="append", metavar="ID", help="a call control id; may be repeated (default: every call)"
    )
    issuing.add_argument(
        "--can", type=_rights, default=["listen", "events"], help=f"comma separated: {', '.join(RIGHTS)}"
    )
    issuing.add_argument(
        "--ttl", type=_seconds, default=3600, help="how long it is good for: 90s, 15m, 8h, 30d (default: 1h)"
    )
    issuing.add_argument("--private-key", metavar="FILE", help="sign with this key (PEM, Ed25519), not with the secret")
    issuing.set_defaults(run=token)
    return parser


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
    """Write a file that only its owner may read, whole or not at all: somebody may be reading it."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with open(fresh, "x", encoding="ascii", opener=_private) as file:
        file.write(text)
    fresh.replace(path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


if __name__ == "__main__":
    sys.exit(main())
