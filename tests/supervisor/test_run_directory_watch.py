"""The run directory is removed while everything runs: it is made anew, or all ends with a word; nothing restarts for
ever."""

from __future__ import annotations

import shutil
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from supervisor.commands.client import NoSupervisorError
from tests.supervisor.running import PATIENCE_S, Running, lines, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    yield made
    made.clean_up()


def pids(system: Running) -> dict[str, int]:
    return {name: row["pid"] for name, row in system.actors().items()}


@pytest.mark.parametrize("removed", ["all", "control.sock", "gateway.sock", "supervisor.lock"])
def test_it_is_made_anew(system: Running, removed: str) -> None:
    """With all that is in it; the actors are replaced one by one, none of them crashes, and the port is never
    closed."""
    process = system.start()
    before = pids(system)
    if removed == "all":
        shutil.rmtree(system.run_dir)
    else:
        (system.run_dir / removed).unlink()

    def is_anew() -> bool:
        with suppress(NoSupervisorError):  # it begins anew itself
            return not set(before.values()) & set(pids(system).values())
        return False

    until(is_anew, "every actor is another process")
    assert system.ask("wait-ready", timeout_s=PATIENCE_S)["ok"]
    assert system.supervisor()["pid"] == process.pid
    assert system.run_dir.stat().st_mode & 0o777 == 0o700
    assert (system.run_dir / "supervisor.lock").exists()
    assert {row["crashes"] for row in system.actors().values()} == {0}
    with socket.create_connection(("127.0.0.1", system.port)):
        pass
    system.kill("fanout.0")
    system.until_ready("fanout.0", crashes=1)
    assert system.run("status").returncode == 0
    _, log = system.stop(process)
    told = [line["message"] for line in lines(log) if line["level"] == "error"]
    assert len(told) == 1
    assert "made anew" in told[0]


def test_it_can_not_be_made_anew(system: Running) -> None:
    """Then everything ends in good order, and it is said why."""
    system.environ["FAKE_ACTOR_GRACE_S"] = "1"
    process = system.start()
    system.actors()
    shutil.rmtree(system.run_dir)
    system.run_dir.write_text("in the way")
    _, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 71
    assert "was removed and can't be made again" in log
    system.run_dir.unlink()
    system.nothing_is_left()


def test_a_stop_in_that_moment(system: Running) -> None:
    process = system.start()
    system.actors()
    shutil.rmtree(system.run_dir)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    system.nothing_is_left()
