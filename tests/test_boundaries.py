"""The floors hold, the rooms stay small, and the pure parts stay pure: read from the imports of all modules."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
FLOORS: Final = {  # each floor, and the floors that it may import
    "config": {"config"},
    "patchbay": {"patchbay", "config"},
    "actors": {"actors", "patchbay", "config"},
    "supervisor": {"supervisor", "patchbay", "config"},
    "simulator": {"simulator", "config"},
}
ACTORS: Final = ("gateway", "ingest", "fanout", "call_events", "console", "bridge")
ROOM_MAX_MODULES: Final = 15
FILE_MAX_LINES: Final = 300
PURE_ROOMS: Final = ("patchbay/audio", "patchbay/protocol")
IO_MODULES: Final = {
    "asyncio", "multiprocessing", "select", "selectors", "socket", "ssl", "subprocess", "threading",
    "trio", "trio_websocket", "zmq",
}  # fmt: skip
CLOCKS: Final = {
    ("time", "monotonic"), ("time", "monotonic_ns"), ("time", "perf_counter"), ("time", "sleep"), ("time", "time"),
    ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow"), ("date", "today"),
}  # fmt: skip


def module_of(path: Path) -> str:
    """Name a module as an import does."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


TREES: Final = {
    path: ast.parse(path.read_text(encoding="utf-8"))
    for floor in FLOORS
    for path in sorted((ROOT / floor).rglob("*.py"))
}
PATHS: Final = {module_of(path): path for path in TREES}


def is_pure(path: Path) -> bool:
    """Tell whether a module is in a pure room, or says of itself that it is pure."""
    return path.relative_to(ROOT).as_posix().startswith(PURE_ROOMS) or bool(
        re.search(r"\bPure\b(?!, but)", ast.get_docstring(TREES[path]) or "")
    )


PURE: Final = [path for path in TREES if is_pure(path)]


def imported(tree: ast.AST, *, types_too: bool = False) -> set[str]:
    """Name all modules, and names in them, that a module imports, at whatever place in it."""
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
        if not types_too
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def graph() -> dict[str, set[str]]:
    """Return which modules of ours each module imports, for types too; packages that only hold modules are left out."""
    edges = {
        module_of(path): {name for name in imported(tree, types_too=True) if name in PATHS}
        for path, tree in TREES.items()
    }
    return {
        module: {name for name in names if name != module and PATHS[name].name != "__init__.py"}
        for module, names in edges.items()
    }


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Find the strongly connected components of more than one module (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in edges[module]:
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            at = stack.index(module)
            found.append(sorted(stack[at:]))
            del stack[at:]

    for module in edges:
        if module not in index:
            visit(module)
    return [circle for circle in found if len(circle) > 1]


@pytest.mark.parametrize("path", TREES, ids=module_of)
def test_no_import_goes_up(path: Path) -> None:
    """A floor knows the floors below; an actor knows no other actor."""
    module = module_of(path).split(".")
    ours = [name.split(".") for name in imported(TREES[path], types_too=True) if name.split(".")[0] in FLOORS]
    assert {name[0] for name in ours} <= FLOORS[module[0]]
    if module[0] == "actors" and len(module) > 1 and module[1] in ACTORS:
        assert {name[1] for name in ours if name[0] == "actors" and len(name) > 1} <= {module[1]}


def test_no_circles() -> None:
    """Not even for types: a module that tells its owner something knows a small protocol, not the owner."""
    assert circles(graph()) == []


def test_circles_are_found() -> None:
    """The search finds one circle of three, and not the module that leads there."""
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": {"b"}}) == [["b", "c", "d"]]


def test_rooms_are_small() -> None:
    """A folder that nobody can overlook has too many modules."""
    rooms: dict[Path, int] = {}
    for path in TREES:
        if path.name != "__init__.py" and path.parent != ROOT / "simulator":  # a tool of one room
            rooms[path.parent] = rooms.get(path.parent, 0) + 1
    assert {str(room.relative_to(ROOT)): size for room, size in rooms.items() if size > ROOM_MAX_MODULES} == {}


@pytest.mark.parametrize("path", TREES, ids=module_of)
def test_files_are_short(path: Path) -> None:
    """A module can be read in one go."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= FILE_MAX_LINES


@pytest.mark.parametrize("path", PURE, ids=module_of)
def test_no_loop_no_socket_no_clock(path: Path) -> None:
    """Pure modules are given the time, and what came from a socket."""
    tree = TREES[path]
    names = imported(tree)
    assert not {name.split(".")[0] for name in names} & IO_MODULES
    given = {id(default) for node in ast.walk(tree) if isinstance(node, ast.arguments) for default in node.defaults}
    read = {
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and id(node) not in given
    }
    assert not read & CLOCKS
    assert not {f"{module}.{name}" for module, name in CLOCKS} & names


def test_the_list_of_pure_modules_is_not_empty_by_mistake() -> None:
    """The decisions that matter most are in it."""
    names = {path.relative_to(ROOT).as_posix() for path in PURE}
    assert {
        "actors/gateway/table.py",
        "actors/ingest/stats.py",
        "actors/ingest/talk/floor.py",
        "patchbay/audio/mixer.py",
        "patchbay/audio/pacer.py",
        "patchbay/audio/reorder.py",
        "patchbay/protocol/handover.py",
        "supervisor/actors/policy.py",
    } <= names
