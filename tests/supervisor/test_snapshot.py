"""What outlives the supervisor's program: the format, which other versions read, and where a supervisor comes from."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from config import load
from config.paths import ensure_run_dir, unix_path
from config.transfer import Accepted, decode
from patchbay.process import socket_names
from supervisor.actors.actor import Actor
from supervisor.history import History
from supervisor.procfs import lineage_of_parent
from supervisor.run_directory import RunDir
from supervisor.takeover import snapshot, upgrade
from supervisor.takeover.handles import Handles
from supervisor.takeover.snapshot import Origin
from tests.supervisor.fakes import SPEC, World, open_descriptors

if TYPE_CHECKING:
    from pathlib import Path

# As every version writes it. A field that is renamed is lost on the way from one version to another.
WRITTEN: dict[str, Any] = {
    "run_dir": "/run/patchbay",
    "made_run_dir": True,
    "lock_fd": 3,
    "lifeline_fds": [4, 5],
    "notified_fd": 6,
    "hellos_fd": 7,
    "controls_fd": 8,
    "sockets": {"public": 9},
    "actors": {
        "fanout.0": {
            "last_generation": 2,
            "restarts": 1,
            "crashes": 1,
            "process": {
                "generation": 2,
                "pid": 77,
                "ready": True,
                "started_at": 1.5,
                "crashlog": 10,
                "lifeline": None,
            },
        }
    },
    "started_at": 1.0,
    "replaced": 1,
    "lineage": [[1, 2]],
    "history": [],
    "settings": "",
    "renews": "",
}


def test_the_format() -> None:
    memory = os.memfd_create("test")
    os.write(memory, json.dumps(WRITTEN).encode())
    read = upgrade.read(memory)
    assert json.loads(msgspec.json.encode(read)) == WRITTEN
    assert sorted(read.descriptors()) == [3, 4, 5, 6, 7, 8, 9, 10]


async def test_where_a_supervisor_comes_from() -> None:
    first = Origin.of(None)
    assert (first.replaced, first.lineage, first.run_dir_was_lost) == (0, lineage_of_parent(), False)
    before = msgspec.convert({**WRITTEN, "started_at": time.monotonic() - 60}, snapshot.Snapshot)
    origin = Origin.of(before)
    assert 60 <= trio.current_time() - origin.started_at < 90
    assert (origin.replaced, origin.lineage, origin.run_dir_was_lost) == (1, ((1, 2),), False)
    assert Origin.of(msgspec.structs.replace(before, renews="all removed")).run_dir_was_lost


async def test_the_next_program_has_all_that_was_held(tmp_path: Path) -> None:
    """Under descriptors of its own: the program before closes its own."""
    settings = load({"PATCHBAY_RUN_DIR": str(tmp_path / "run"), "PATCHBAY_PORT": "1"})
    ensure_run_dir(tmp_path / "run")
    unix_path(tmp_path / "run", socket_names.ADOPTION)  # keeps a descriptor, where the path is long
    descriptors = open_descriptors()
    handles = Handles.open(RunDir.acquire(tmp_path / "run"), settings)
    history = History()
    history.record("fanout.0", "something")
    actors = {SPEC.instance: Actor(SPEC, World(tmp_path).shared)}
    actors[SPEC.instance].life.crashes = 3
    taken = snapshot.take(handles, actors, history, Origin.of(None), Accepted(1.0, settings), renews="all removed")
    handles.close(remove_files=False)
    assert decode(taken.settings).settings == settings
    restored = snapshot.handles_of(taken, settings)
    assert restored.missing_files() == []
    other, after = History(), {SPEC.instance: Actor(SPEC, World(tmp_path).shared)}
    snapshot.restore(taken, after, other)
    assert after[SPEC.instance].life.crashes == 3
    assert other.last() == history.last()
    restored.close(remove_files=True)
    assert list((tmp_path / "run").iterdir()) == []
    assert open_descriptors() == descriptors
