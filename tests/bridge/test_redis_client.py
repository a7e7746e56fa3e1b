"""What a URL says of Redis."""

from __future__ import annotations

from urllib.parse import urlsplit

import coredis
import pytest

from actors.bridge.redis_client import REDIS_PORT, SENTINEL_PORT, _hosts, _options, open_redis


@pytest.mark.parametrize(
    ("url", "port", "hosts"),
    [
        ("redis://a", REDIS_PORT, [("a", 6379)]),
        ("redis://user:pass@a:7000/2", REDIS_PORT, [("a", 7000)]),
        ("redis://[::1]:7000", REDIS_PORT, [("::1", 7000)]),
        ("redis+sentinel://:secret@a,b:1,c/name", SENTINEL_PORT, [("a", 26379), ("b", 1), ("c", 26379)]),
    ],
)
def test_hosts(url: str, port: int, hosts: list[tuple[str, int]]) -> None:
    assert _hosts(urlsplit(url), port) == hosts


def test_credentials_and_tls() -> None:
    plain = _options(urlsplit("redis://a"), is_tls=False)
    assert not {"username", "password", "ssl"} & plain.keys()
    found = _options(urlsplit("rediss://me:p%40ss@a"), is_tls=True)
    assert (found["username"], found["password"], found["ssl"]) == ("me", "p@ss", True)
    assert found["ssl_cert_reqs"] == "required"
    assert "username" not in _options(urlsplit("redis://:only@a"), is_tls=False)


async def test_the_kind_of_client() -> None:
    """Nothing is connected before the first command."""
    async with open_redis("redis://127.0.0.1:1/0") as client:
        assert isinstance(client, coredis.Redis)
