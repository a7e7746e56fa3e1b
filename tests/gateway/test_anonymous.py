"""Who needs no token: nobody from elsewhere with authentication off, and with it on, clients of the networks that are
named."""

from __future__ import annotations

from typing import Any

import pytest

from config import ConfigError, load
from patchbay.auth.rights import may
from tests.patchbay.auth.test_access import ON, decide, head, status, token

OFFICE = {**ON, "PATCHBAY_AUTH__ANONYMOUS_NETWORKS": "192.0.2.0/24, 2001:db8::/32, 127.0.0.0/8"}
APP = "https://app.example"
WITH_APP = {**OFFICE, "PATCHBAY_AUTH__ALLOWED_ORIGINS": APP}
EVERYBODY = {**ON, "PATCHBAY_AUTH__ANONYMOUS_NETWORKS": "0.0.0.0/0,::/0", "PATCHBAY_AUTH__ALLOWED_ORIGINS": APP}
SOCKETS = ("/audio-stream", "/frontend-audio", "/call-events")
FROM_ELSEWHERE = "X-Forwarded-For: 203.0.113.9"


@pytest.mark.parametrize("target", ["/audio-stream", "/call-events", "/audio-stream?role=telnyx"])
def test_off_and_from_elsewhere(target: str) -> None:
    """Refused in words that say what to set."""
    for request in (
        head(target, FROM_ELSEWHERE, upgrade=True),
        head(target, "X-Forwarded-Host: calls.example", upgrade=True),
    ):
        assert status(request) == 403
    told = ""
    try:
        decide(head(target, FROM_ELSEWHERE, upgrade=True))
    except Exception as refusal:
        told = str(refusal)
    for setting in ("AUTH__ENABLED", "AUTH__JWT_SECRET", "TELNYX__STREAM_TOKEN", "TELNYX__PUBLIC_KEY"):
        assert f"PATCHBAY_{setting}" in told
    assert "203.0.113.9" in told


@pytest.mark.parametrize(
    "target", ["/", "/metrics", "/api/calls", "/api/events", "/api/calls/telnyx/webhook", "/console.js"]
)
def test_off_and_from_elsewhere_over_http(target: str) -> None:
    """Webhooks too: what they say would be believed. Probes are everybody's."""
    assert status(head(target, FROM_ELSEWHERE)) == 403
    assert status(head(target, "X-Forwarded-For: 127.0.0.1")) == 0
    for probe in ("/healthz", "/readyz"):
        assert status(head(probe, FROM_ELSEWHERE)) == 0


def test_on_where_a_request_comes_from_is_no_matter() -> None:
    """A token is."""
    assert status(head(f"/audio-stream?call_id=a&token={token('listen')}", FROM_ELSEWHERE, upgrade=True), **ON) == 0


@pytest.mark.parametrize("target", [*SOCKETS, "/audio-stream?call_control_id=any"])
def test_clients_of_an_office_need_no_token(target: str) -> None:
    """They may listen, talk and see events of every call; each address is a `sub` of its own."""
    claims = decide(head(target, upgrade=True), "192.0.2.7", **OFFICE)
    assert claims == {"sub": "anonymous 192.0.2.7", "calls": "*", "can": ["listen", "talk", "events"]}
    other = decide(head(target, upgrade=True), "2001:db8::1", **OFFICE)
    assert other is not None
    assert other["sub"] == "anonymous 2001:db8::1"
    assert not may(claims, "admin")
    assert status(head(target, upgrade=True), "198.51.100.1", **OFFICE) == 401
    assert status(head("/api/events"), "192.0.2.7", **OFFICE) == 0


@pytest.mark.parametrize("target", ["/", "/metrics", "/api/calls", "/api/actors/fanout/restart"])
def test_what_they_may_not(target: str) -> None:
    """What an administrator may; and being a stream, or a webhook believed, takes what it takes."""
    assert status(head(target), "192.0.2.7", **OFFICE) == 401
    assert status(head("/audio-stream?role=telnyx", upgrade=True), "192.0.2.7", **OFFICE) == 401
    assert decide(head("/api/calls/telnyx/webhook"), "192.0.2.7", **OFFICE) == {"sub": "", "calls": [], "can": []}


@pytest.mark.parametrize("given", ["bad", "a.b.c"])
def test_a_token_that_is_shown_counts(given: str) -> None:
    """A bad one is refused, a good one is what it says; what a program writes that has none is none."""
    assert status(head(f"/audio-stream?token={given}", upgrade=True), "192.0.2.7", **OFFICE) == 401
    good = decide(head(f"/audio-stream?token={token('listen')}", upgrade=True), "192.0.2.7", **OFFICE)
    assert good is not None
    assert good["sub"] == "me"
    assert status(head("/audio-stream?token=undefined", upgrade=True), "192.0.2.7", **OFFICE) == 0


def test_pages_of_others_do_not_use_a_client_of_the_office() -> None:
    """Its browser says whose page it is; programs send no Origin."""

    def asked(origin: str | None, address: str = "192.0.2.7", **environ: str) -> int:
        lines = [] if origin is None else [f"Origin: {origin}"]
        return status(head("/audio-stream", *lines, upgrade=True), address, **environ)

    for environ in (OFFICE, WITH_APP):
        assert asked(None, **environ) == 0
        assert asked("https://evil.example", **environ) == 403
        assert asked("null", **environ) == 403
    assert asked(APP, **OFFICE) == 403
    assert asked(APP, **WITH_APP) == 0
    assert asked("http://localhost:3000", **OFFICE) == 403
    assert asked("http://localhost:3000", "127.0.0.1", **OFFICE) == 0
    for address in ("198.51.100.1", "2001:db9::1"):
        assert asked(APP, address, **EVERYBODY) == 0
        assert asked("https://evil.example", address, **EVERYBODY) == 403
        assert asked(None, address, **EVERYBODY) == 403


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"PATCHBAY_AUTH__ANONYMOUS_NETWORKS": "192.0.2.0/24"}, "PATCHBAY_AUTH__ENABLED"),
        ({**ON, "PATCHBAY_AUTH__ANONYMOUS_NETWORKS": "0.0.0.0/0"}, "PATCHBAY_AUTH__ALLOWED_ORIGINS"),
        ({**ON, "PATCHBAY_AUTH__ANONYMOUS_NETWORKS": "192.0.2.0/24,::/0"}, "PATCHBAY_AUTH__ALLOWED_ORIGINS"),
        ({**ON, "PATCHBAY_AUTH__ANONYMOUS_NETWORKS": "0.0.0.0/1,128.0.0.0/1"}, "PATCHBAY_AUTH__ALLOWED_ORIGINS"),
        ({**ON, "PATCHBAY_AUTH__ANONYMOUS_NETWORKS": "2000::/3"}, "PATCHBAY_AUTH__ALLOWED_ORIGINS"),
        ({**EVERYBODY, "PATCHBAY_AUTH__ALLOWED_ORIGINS": "*"}, "without \\*"),
        ({**ON, "PATCHBAY_AUTH__ANONYMOUS_NETWORKS": "192.0.2.1/24"}, "auth.anonymous_networks"),
        ({**ON, "PATCHBAY_AUTH__ANONYMOUS_NETWORKS": "office"}, "auth.anonymous_networks"),
    ],
)
def test_networks_that_are_not_taken(environ: dict[str, Any], words: str) -> None:
    """The reason says what to set."""
    with pytest.raises(ConfigError, match=words):
        load({"PATCHBAY_RUN_DIR": "/nonexistent", **environ})


def test_networks_that_are_taken() -> None:
    """An office's, a VPN's, and everybody's with a list of Origins."""
    for environ in (OFFICE, WITH_APP, EVERYBODY, {**ON, "PATCHBAY_AUTH__ANONYMOUS_NETWORKS": "10.0.0.0/8"}):
        load({"PATCHBAY_RUN_DIR": "/nonexistent", **environ})
