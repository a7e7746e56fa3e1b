"""No reader's work rises faster than what it is given; and what measures that finds one whose does."""

from __future__ import annotations

import logging
import re
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.fuzz.cost import (
    Outlier,
    Pump,
    check_budget,
    check_cpu,
    check_lines,
    lines,
    mutated,
    pumps_of_pieces,
    pumps_of_seeds,
)
from tests.fuzz.targets import TARGETS, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

PUMPS = 80  # of each reader; `python -m tests.fuzz --cost` takes more
SIZE = 16_000


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    """What is logged of each bad message is not measured."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def some_pumps(target: Target) -> list[Pump]:
    """Those of its own pieces, and as many of the others, evenly chosen."""
    others = list(dict.fromkeys(pumps_of_seeds(target)))
    return [*pumps_of_pieces(target), *others[:: 1 + len(others) // PUMPS]]


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_work_is_linear(name: str) -> None:
    """Lines of Python, and the processor's time."""
    for pump in some_pumps(TARGETS[name]):
        check_lines(TARGETS[name], pump)
        check_cpu(TARGETS[name], pump)


def quadratic_in_python(data: bytes) -> None:
    for at in range(len(data)):
        for _ in range(at // 16):
            pass


def quadratic_in_c(data: bytes) -> None:
    at = 0
    while at < len(data):
        re.search(b"x", data[at:])
        at += 1


def reader(run: object) -> Target:
    return Target(run, (b"seed",), longest=SIZE)  # type: ignore[arg-type]


def test_finds_what_is_quadratic_in_python() -> None:
    """By its lines."""
    with pytest.raises(Outlier):
        check_lines(reader(quadratic_in_python), Pump(b"", b"a", b""))


def test_finds_what_is_quadratic_in_c() -> None:
    """By its time; its lines are linear."""
    check_lines(reader(quadratic_in_c), Pump(b"", b"a", b""))
    with pytest.raises(Outlier):
        check_cpu(reader(quadratic_in_c), Pump(b"", b"a", b""))


def test_lets_pass_what_is_linear() -> None:
    """However dear."""
    target = reader(lambda data: [sum(range(50)) for _ in data])
    check_lines(target, Pump(b"begin", b"a", b"end"))
    assert check_cpu(target, Pump(b"begin", b"a", b"end")) > 0


def test_lines_are_counted_exactly() -> None:
    """So that a test that compares them is the same at every run."""
    assert lines(quadratic_in_python, b"abc") == lines(quadratic_in_python, b"abd") > 0


def test_an_input_out_of_budget() -> None:
    """However short."""
    with pytest.raises(Outlier):
        check_budget(lambda data: sum(range(10_000_000)), b"a")
    check_budget(lambda data: None, b"a")


def test_pieces_may_be_counted() -> None:
    """All different, all of one length."""
    made = Pump(b"{", b'"%d":1,', b"}").of(1000)
    assert len(made) <= 1000
    assert len(set(made.split(b","))) == made.count(b",") + 1


def test_mutations_have_pieces() -> None:
    """Whatever was drawn."""
    random = Random(1)
    for name in TARGETS:
        assert all(mutated(TARGETS[name], random).piece for _ in range(50)), name
