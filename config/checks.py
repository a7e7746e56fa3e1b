"""Checks rules between settings, and describes each problem in words that name the setting to change.

No text holds the value of a secret. Pure, but for the file of a certificate's key, whose mode is looked at.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from config.keys import load_public_key
from config.networks import is_everywhere
from config.secret_files import exposure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from config.settings import Settings

ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?/?")
REDIS_URL = re.compile(r"(redis|rediss|rediss?\+sentinel|rediss?\+cluster)://[^/\s]+(/\S*)?")
PORTS = 65_536
PUBLIC_KEY_BYTES = 32  # RFC 8032 §5.1.5
SECRET_MIN_BYTES = 32  # RFC 7518 §3.2: an HS256 key is at least as long as the hash
TOKEN_MIN_CHARS = 8
DISTINCT_MIN = 5  # characters; `python -m config key` makes secrets with more than twenty
# Parts of secrets in examples that people forget to replace.
PLACEHOLDERS = ("changeme", "changethis", "changeit", "replaceme", "yoursecret", "yourtoken")
DEFAULTS = frozenset({"secret", "password", "passwort", "token", "patchbay"})
MAKE_ONE = "`python -m config key` makes a good one"


def find_problems(settings: Settings) -> list[str]:
    """Return the problems of settings that are each valid alone; empty if they can be used."""
    return [
        *_exposure(settings),
        *_authentication(settings),
        *_secrets(settings),
        *_networks(settings),
        *_origins(settings),
        *_tls(settings),
        *_webhook_keys(settings),
        *_announced(settings),
        *_bodies(settings),
        *_cluster(settings),
    ]


def is_loopback(host: str) -> bool:
    """Return whether a listening address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def weakness(secret: str) -> str | None:
    """Return why a secret can be guessed, in words that follow its name; None if no reason is found."""
    letters = "".join(character for character in secret.casefold() if character.isalnum())
    if letters.strip("0123456789") in DEFAULTS or any(text in letters for text in PLACEHOLDERS):
        return "is a default or an example"
    if len(set(secret)) < DISTINCT_MIN:
        return f"has fewer than {DISTINCT_MIN} different characters"
    return None


def _exposure(settings: Settings) -> list[str]:
    if settings.auth.enabled or is_loopback(settings.host):
        return []
    return [
        (
            f"host = {settings.host} can be reached from other machines, but authentication is off: anybody could hear "
            "every call. Set PATCHBAY_AUTH__ENABLED=true with PATCHBAY_AUTH__JWT_SECRET (or PATCHBAY_AUTH__JWT_PUBLIC_KEY), "
            "PATCHBAY_TELNYX__STREAM_TOKEN and PATCHBAY_TELNYX__PUBLIC_KEY, or PATCHBAY_HOST=127.0.0.1"
        )
    ]


def _authentication(settings: Settings) -> list[str]:
    auth = settings.auth
    if not auth.enabled:
        return []
    problems = []
    if bool(auth.jwt_secret) == bool(auth.jwt_public_key):
        problems.append("auth.enabled needs exactly one of PATCHBAY_AUTH__JWT_SECRET and PATCHBAY_AUTH__JWT_PUBLIC_KEY")
    if not settings.telnyx.stream_token:
        problems.append("auth.enabled needs PATCHBAY_TELNYX__STREAM_TOKEN, or no media stream of Telnyx is let in")
    return problems


def _secrets(settings: Settings) -> list[str]:
    auth, token = settings.auth, settings.telnyx.stream_token
    if not auth.enabled:
        return []
    problems = []
    if auth.jwt_secret:
        if len(auth.jwt_secret.encode()) < SECRET_MIN_BYTES:
            problems.append(f"auth.jwt_secret is too short: it needs at least {SECRET_MIN_BYTES} bytes; {MAKE_ONE}")
        elif (why := weakness(auth.jwt_secret)) is not None:
            problems.append(f"auth.jwt_secret {why}: set PATCHBAY_AUTH__JWT_SECRET to a random one; {MAKE_ONE}")
    if auth.jwt_public_key and (why := _public_key_fault(auth.jwt_public_key)) is not None:
        problems.append(f"auth.jwt_public_key {why}: set PATCHBAY_AUTH__JWT_PUBLIC_KEY; `python -m config key --pair`")
    if token:
        if len(token) < TOKEN_MIN_CHARS:
            problems.append(
                f"telnyx.stream_token is too short: it needs at least {TOKEN_MIN_CHARS} characters; {MAKE_ONE}"
            )
        elif (why := weakness(token)) is not None:
            problems.append(f"telnyx.stream_token {why}: set PATCHBAY_TELNYX__STREAM_TOKEN to a random one; {MAKE_ONE}")
        if token == auth.jwt_secret:
            problems.append("telnyx.stream_token is auth.jwt_secret: Telnyx could sign tokens; set another one")
    return problems


def _public_key_fault(pem: str) -> str | None:
    if "PRIVATE KEY" in pem:
        return "is a private key, which must stay where tokens are made"
    try:
        load_public_key(pem)
    except ValueError as error:
        return str(error)
    return None


def _networks(settings: Settings) -> list[str]:
    return [
        *_bad_networks("telnyx.stream_networks", settings.telnyx.stream_networks),
        *_bad_networks("gateway.proxy_networks", settings.gateway.proxy_networks),
        *(_bad_networks("auth.anonymous_networks", settings.auth.anonymous_networks) or _anonymous(settings)),
    ]


def _anonymous(settings: Settings) -> list[str]:
    auth, problems = settings.auth, []
    if auth.anonymous_networks and not auth.enabled:
        problems.append(
            "auth.anonymous_networks needs PATCHBAY_AUTH__ENABLED=true: with authentication off, nobody needs a token"
        )
    everywhere = [text for text in auth.anonymous_networks if is_everywhere(ipaddress.ip_network(text))]
    if everywhere and (not auth.allowed_origins or "*" in auth.allowed_origins):
        problems.append(
            f"auth.anonymous_networks: {everywhere[0]} is everybody; that needs a list of Origins in "
            "PATCHBAY_AUTH__ALLOWED_ORIGINS (without *), or name the network of an office or a VPN"
        )
    return problems


def _bad_networks(name: str, networks: Iterable[str]) -> list[str]:
    problems = []
    for text in networks:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            problems.append(f"{name}: {error}; write them as 192.0.2.0/24")
    return problems


def _origins(settings: Settings) -> list[str]:
    how = (
        "write it as browsers do, https://app.example.com or http://localhost:3000, without a path; or * for every page"
    )
    listed = settings.auth.allowed_origins
    return [f"auth.allowed_origins: {origin!r} is no Origin: {how}" for origin in listed if not _is_origin(origin)]


def _is_origin(text: str) -> bool:
    """Return whether a text may be listed.

    `null` may not: every page in a sandbox or a file has it, whoever wrote it.
    """
    return text == "*" or ORIGIN.fullmatch(text) is not None


def _tls(settings: Settings) -> list[str]:
    tls = settings.tls
    if bool(tls.certfile) != bool(tls.keyfile):
        return ["tls needs both PATCHBAY_TLS__CERTFILE and PATCHBAY_TLS__KEYFILE"]
    if not tls.certfile or not tls.keyfile:
        return []
    problems = [f"tls: there is no file {path}" for path in (tls.certfile, tls.keyfile) if not Path(path).is_file()]
    if not problems and (complaint := exposure(tls.keyfile)) is not None:
        problems.append(f"tls.keyfile: {complaint}")
    return problems or _certificate_fault(tls.certfile, tls.keyfile)


def _certificate_fault(certfile: str, keyfile: str) -> list[str]:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certfile, keyfile, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        return [f"tls: {certfile} and {keyfile} can't be used together: {error}"]
    return []


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _announced(settings: Settings) -> list[str]:
    if settings.ingest.announced_within_s == 0 or (settings.auth.enabled and settings.telnyx.public_key):
        return []
    why = "anybody could announce a call: set PATCHBAY_AUTH__ENABLED=true and PATCHBAY_TELNYX__PUBLIC_KEY"
    return [f"ingest.announced_within_s: without verified webhooks {why}"]


def _bodies(settings: Settings) -> list[str]:
    if settings.events.bodies_max_bytes >= settings.events.webhook_max_bytes:
        return []
    return ["events.bodies_max_bytes must be at least events.webhook_max_bytes, or no webhook of that size is received"]


def _cluster(settings: Settings) -> list[str]:
    cluster = settings.cluster
    if not cluster.redis_url and not cluster.advertise:
        return []
    if not cluster.is_on:
        return ["cluster.redis_url and cluster.advertise: set both, or none"]
    problems = []
    if find_spec("coredis") is None:
        problems.append("cluster: the client of Redis is not installed: pip install 'patchbay[cluster]'")
    if not REDIS_URL.fullmatch(cluster.redis_url or ""):
        problems.append(
            "cluster.redis_url: redis://host:port/db, rediss://…, redis+sentinel://host:port,host:port/service or "
            "redis+cluster://host:port,host:port; with user:password@ before the host where Redis asks for them"
        )
    try:
        host, port = cluster.address
    except ValueError:
        host, port = "", 0
    if not host or not 0 < port < PORTS:
        problems.append(f"cluster.advertise: {cluster.advertise!r} is neither host nor host:port")
    return problems


def _webhook_keys(settings: Settings) -> list[str]:
    problem = "telnyx.public_key: a key is base64 of 32 bytes (Mission Control Portal, Keys & Credentials, Public Key)"
    return [problem for text in settings.telnyx.public_key if not _is_public_key(text)]


def _is_public_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == PUBLIC_KEY_BYTES
    except (binascii.Error, ValueError):
        return False
