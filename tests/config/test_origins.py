"""What `auth.allowed_origins` may list: Origins as browsers write them, which would else never be equal to any."""

from __future__ import annotations

import pytest

from config import ConfigError, load

NAME = "PATCHBAY_AUTH__ALLOWED_ORIGINS"


@pytest.mark.parametrize(
    "listed",
    [
        "https://app.example.com",
        "https://app.example.com/, http://localhost:3000",
        "http://[::1]:5006",
        "HTTPS://App.Example.com:443",
        "chrome-extension://abcdefgh",
        "*",
    ],
)
def test_origins(listed: str) -> None:
    assert len(load({NAME: listed}).auth.allowed_origins) == listed.count(",") + 1


@pytest.mark.parametrize(
    "listed",
    [
        "null",
        "app.example.com",
        "https://app.example.com/page",
        "https://*.example.com",
        "https://",
        "//x",
        "http://a b",
        "http://é",
    ],
)
def test_what_is_none(listed: str) -> None:
    """`null` is that of every page in a sandbox, whoever wrote it."""
    with pytest.raises(ConfigError, match=r"auth\.allowed_origins.*is no Origin"):
        load({NAME: f"https://good.example, {listed}"})
