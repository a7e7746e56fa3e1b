"""Makes the client of Redis that a URL names: a standalone server, Sentinel, or Redis Cluster."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

import coredis
from coredis.retry import NoRetryPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TIMEOUT_S: Final = 2.0  # for a connection, and for an answer
SENTINEL_PORT: Final = 26379
REDIS_PORT: Final = 6379

RedisClient = coredis.Redis[bytes] | coredis.RedisCluster[bytes]


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[RedisClient]:
    """Yield a client; nothing is connected before the first command. Connections are closed at the end.

    Args:
        url: redis://[user:password@]host[:port][/db], or rediss:// for TLS; with `+sentinel` several hosts and
            /service, with `+cluster` several hosts.
    """
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    options = _options(parts, is_tls=scheme == "rediss")
    if kind == "cluster":
        nodes = [{"host": host, "port": port} for host, port in _hosts(parts, REDIS_PORT)]
        async with coredis.RedisCluster(startup_nodes=nodes, **options) as cluster:  # type: ignore[arg-type]
            yield cluster
    elif kind == "sentinel":
        sentinel: Any = coredis.Sentinel(_hosts(parts, SENTINEL_PORT), **options)
        async with sentinel, sentinel.primary_for(parts.path.strip("/") or "mymaster") as primary:
            yield primary
    else:
        host, port = _hosts(parts, REDIS_PORT)[0]
        async with coredis.Redis(host, port, int(parts.path.strip("/") or 0), **options) as client:
            yield client


def _options(parts: SplitResult, *, is_tls: bool) -> dict[str, Any]:
    options: dict[str, Any] = {
        "stream_timeout": TIMEOUT_S,
        "connect_timeout": TIMEOUT_S,
        "retry_policy": NoRetryPolicy(),
    }
    if parts.password is not None:
        options |= {"password": unquote(parts.password)}
        options |= {"username": unquote(parts.username)} if parts.username else {}
    if is_tls:
        options |= {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
    return options


def _hosts(parts: SplitResult, default_port: int) -> list[tuple[str, int]]:
    found = []
    for text in parts.netloc.rpartition("@")[2].split(","):
        host, colon, port = text.rpartition(":")
        found.append((host.strip("[]"), int(port)) if colon and port.isdigit() else (text.strip("[]"), default_port))
    return found
