"""The pure parts stay pure: codecs, tables and policies know no loop, no socket and no clock."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# The wire formats, and every module that says of itself that it is pure.
PURE = sorted(
    path
    for package in ("actors", "config", "supervisor", "simulator")
    for path in (ROOT / package).rglob("*.py")
    if path.parent == ROOT / "actors" / "wire"
    or re.search(r"\bPure\b(?!, but)", ast.get_docstring(ast.parse(path.read_text())) or "")
)
MODULES = {
    "asyncio", "multiprocessing", "select", "selectors", "socket", "ssl", "subprocess", "threading",
    "trio", "trio_websocket", "zmq",
}  # fmt: skip
CLOCKS = {
    ("time", "monotonic"), ("time", "monotonic_ns"), ("time", "perf_counter"), ("time", "sleep"), ("time", "time"),
    ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow"), ("date", "today"),
}  # fmt: skip


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of all that a module imports to run, at whatever place; what is for types only does not count."""
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module.split(".")[0])
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_loop_no_socket_no_clock(path: Path) -> None:
    """Whoever needs the time is given it."""
    tree = ast.parse(path.read_text())
    assert not imported(tree) & MODULES
    given = {id(default) for node in ast.walk(tree) if isinstance(node, ast.arguments) for default in node.defaults}
    read = {
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and id(node) not in given
    }
    assert not read & CLOCKS
    assert not {f"{module}.{name}" for module, name in CLOCKS} & imported(tree)


def test_the_list_is_not_empty_by_mistake() -> None:
    """The decisions that matter most are in it."""
    names = {str(path.relative_to(ROOT)) for path in PURE}
    assert {
        "actors/gateway/table.py",
        "actors/ingest/reorder.py",
        "actors/ingest/floor.py",
        "actors/ingest/talk.py",
        "actors/ingest/stats.py",
        "actors/fanout/mixer.py",
        "actors/wire/handoff.py",
    } <= names


@pytest.mark.parametrize("path", sorted((ROOT / "actors" / "wire").glob("*.py")), ids=lambda path: path.name)
def test_the_wire_knows_nobody(path: Path) -> None:
    """Codecs are used by all and use nothing of ours but each other, and what a key looks like."""
    ours = {
        name for name in imported(ast.parse(path.read_text())) if name.startswith(("actors.", "config", "supervisor."))
    }
    assert all(name.startswith(("actors.wire", "config.keys")) or name == "config" for name in ours)


def test_actors_do_not_know_each_other() -> None:
    """They talk by frames; what two of them need is in `wire` or `runtime`."""
    actors = {"gateway", "ingest", "fanout", "call_events", "console"}
    for actor in actors:
        for path in (ROOT / "actors" / actor).rglob("*.py"):
            others = {f"actors.{name}" for name in actors - {actor}}
            for name in imported(ast.parse(path.read_text())):
                assert ".".join(name.split(".")[:2]) not in others, path
