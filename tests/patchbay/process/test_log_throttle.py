"""Log lines that peers cause: a few of each kind and peer, and then a number."""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING

import orjson
import pytest

from patchbay.net.addresses import host_of
from patchbay.process import log as logs
from patchbay.process.log import EXCEPTIONS, WARNINGS, JsonFormatter, LineHandler
from patchbay.process.log_throttle import KINDS_MAX, PEERS_MAX, WINDOW_S, LineLimits, Throttle

if TYPE_CHECKING:
    from collections.abc import Iterator

KIND = ("a.logger", logging.WARNING, "turned away: %s")
FEW = LineLimits(by_peer=2, in_all=5)


def test_a_few_of_one_peer_and_a_few_of_all() -> None:
    """Other kinds and other peers have their own; with the next minute all begin anew."""
    throttle = Throttle()
    assert [throttle.allow(KIND, "a", FEW, 0.0) for _ in range(4)] == [True, True, False, False]
    assert [throttle.allow(KIND, host, FEW, 1.0) for host in ("b", "b", "c", "c", "d")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert throttle.allow(("a.logger", logging.WARNING, "another"), "a", FEW, 1.0)
    assert throttle.allow(KIND, "a", FEW, WINDOW_S)


def test_what_is_withheld_is_told_once_when_the_minute_is_over() -> None:
    throttle = Throttle()
    for number in range(7):
        if not throttle.allow(KIND, "a", FEW, 0.0):
            throttle.suppress(KIND, "a", f"line {number} " + "x" * 1000)
    assert throttle.take_suppressed(1.0) == []
    (told,) = throttle.take_suppressed(WINDOW_S)
    assert (told.kind, told.count, told.hosts) == (KIND, 5, {"a"})
    assert told.last.startswith("line 6 ")
    assert len(told.last) <= 200
    assert throttle.take_suppressed(2 * WINDOW_S) == []


def test_nobody_fills_the_memory() -> None:
    """Neither with kinds nor with addresses; those that are too many count together."""
    throttle = Throttle()
    for number in range(2 * KINDS_MAX):
        kind = ("", 0, str(number))
        if not throttle.allow(kind, "", LineLimits(1, 1), 0.0):
            throttle.suppress(kind, "", "")
    assert len(throttle.take_suppressed(WINDOW_S)) <= KINDS_MAX + 1
    throttle = Throttle()
    allowed = sum(throttle.allow(KIND, str(number), LineLimits(1, 100_000), 0.0) for number in range(2 * PEERS_MAX))
    assert allowed == 2 * PEERS_MAX
    assert len(throttle._of_peer) == PEERS_MAX


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("203.0.113.9:40112", "203.0.113.9"),
        ("203.0.113.9 via 127.0.0.1:40112", "203.0.113.9"),
        ("2001:db8::1:2:443", "2001:db8::/64"),
        ("2001:db8::7 via 127.0.0.1:1", "2001:db8::/64"),
        ("[2001:db8::7]:443", "2001:db8::/64"),
        ("fe80::1%eth0:443", "fe80::/64"),
        ("192.0.2.7", "192.0.2.7"),
        ("", ""),
        (":::not one:::", ":::not one::"),
    ],
)
def test_what_counts_as_one_peer(peer: str, host: str) -> None:
    """As limits by address count it."""
    assert host_of(peer) == host


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    made = Lines()
    monkeypatch.setattr(logs, "STDERR", made.write)
    logger = logging.getLogger("tests.throttled")
    logger.propagate = False
    logger.handlers = [made.handler]
    yield made
    logger.handlers = []
    os.close(made.read)
    os.close(made.write)


class Lines:
    """A logger's lines and its clock."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        os.set_blocking(self.read, False)
        self.now = 0.0
        self.handler = LineHandler(lambda: self.now)
        self.handler.setFormatter(JsonFormatter("gateway.0"))
        self.logger = logging.getLogger("tests.throttled")

    def taken(self) -> list[dict[str, str]]:
        try:
            return [orjson.loads(line) for line in os.read(self.read, 2**20).splitlines()]
        except BlockingIOError:
            return []


def test_a_flood_of_one_peer_leaves_room_for_another(lines: Lines) -> None:
    """Whatever the lines say; the rest is a number, at the level and under the name of the lines."""
    for number in range(1000):
        lines.logger.warning("token not renewed: %s", "x" * number, extra={"peer": f"203.0.113.9:{number}"})
    assert len(lines.taken()) == WARNINGS.by_peer
    lines.logger.warning("token not renewed: %s", "y", extra={"peer": "203.0.113.10:1"})
    assert [line["message"] for line in lines.taken()] == ["token not renewed: y"]
    lines.now = WINDOW_S
    lines.handler.write_suppressed()
    (told,) = lines.taken()
    assert re.match(r"980 more lines .* of 1 peers; the last: token not renewed: x+$", told["message"])
    assert (told["level"], told["logger"]) == ("warning", "tests.throttled")


def test_lines_without_a_peer_are_told_apart_by_what_they_are_about(lines: Lines) -> None:
    """A token's owner, or a call."""
    for who in ({"sub": "ann"}, {"call_control_id": "v3:a"}, {"sub": None, "call_control_id": "v3:b"}):
        for _ in range(30):
            lines.logger.warning("unreadable", extra=who)
        assert len(lines.taken()) == WARNINGS.by_peer


def test_tracebacks_are_fewer(lines: Lines) -> None:
    """Of all peers together."""
    for _ in range(100):
        try:
            raise ValueError("why")
        except ValueError:
            lines.logger.exception("connection %d failed", 1)
    assert len(lines.taken()) == EXCEPTIONS.in_all


def test_wrong_arguments_are_counted_too(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """And harm nobody."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    for _ in range(WARNINGS.in_all + 5):
        lines.logger.warning("%d", "three")
    lines.now = WINDOW_S
    lines.handler.write_suppressed()
    assert lines.taken()[-1]["message"].startswith("5 more lines")
