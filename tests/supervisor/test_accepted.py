"""What runs is what was accepted: whatever the configuration file says meanwhile, and whoever started what runs."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from config import transfer
from tests.supervisor.running import PATIENCE_S, Running, lines, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from config.transfer import Accepted

pytestmark = pytest.mark.slow
BAD = [
    "nonsense = 1\n",
    "[console]\nkeep_alive_s = 0\n",
    "[console\n",
    "\xff\xfe",
    'host = "0.0.0.0"\n',
]


class Configured(Running):
    """A supervisor with a configuration file."""

    def __init__(self, directory: Path, **settings: str) -> None:
        super().__init__(directory, **settings)
        self.config = directory / "patchbay.toml"
        self.environ["PATCHBAY_CONFIG"] = str(self.config)
        self.write(keep_alive_s=5)

    def write(self, *, keep_alive_s: int) -> None:
        self.config.write_text(f"[console]\nkeep_alive_s = {keep_alive_s}\n")

    def given(self, instance: str) -> Accepted:
        """The settings that a process was given."""
        found = transfer.newest([self.actor(instance)["pid"]])
        assert found is not None
        return found

    def refused(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.supervisor()["configuration"]["refused"]
        return found


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Configured]:
    made = Configured(tmp_path)
    yield made
    made.clean_up()


@pytest.mark.parametrize("text", BAD)
def test_a_refused_configuration_harms_nothing_later(system: Configured, text: str) -> None:
    """Neither a crash, a restart nor a roll reads it; it is said in the log, and as long as it is so in the status."""
    process = system.start()
    system.config.write_text(text, encoding="latin-1")
    process.send_signal(signal.SIGHUP)
    told = until(system.refused, "it is refused")
    assert told["at"]
    assert "can't be used, nothing has changed" in told["why"]
    system.kill("fanout.0")
    system.until_ready("fanout.0", generation=2)
    assert system.ask("restart", name="ingest")["ok"]
    assert system.ask("roll", name="console")["ok"]
    for instance in ("fanout.0", "ingest.0", "console.0"):
        assert system.given(instance).settings.console.keep_alive_s == 5
    status = system.run("status")
    assert status.returncode == 0
    assert "configuration REFUSED at" in status.stdout
    assert system.run("restart", "fanout").returncode == 0
    system.write(keep_alive_s=6)
    assert system.ask("reload")["ok"]
    assert system.refused() is None
    assert system.given("console.0").settings.console.keep_alive_s == 6
    system.config.write_text(text, encoding="latin-1")
    system.actors()
    assert system.run("stop").returncode == 0
    assert process.wait(PATIENCE_S) == 0
    _, log = process.communicate()
    errors = [line["message"] for line in lines(log) if line["level"] == "error"]
    assert any("configuration: it can't be used" in message for message in errors)
    system.nothing_is_left()


def test_what_failed_for_configuration_is_restarted_by_a_reload(system: Configured) -> None:
    """Also when nothing has changed; what runs is left alone."""
    system.ways.write_text("fanout.0:exit=78")
    process = system.start(ready=False)
    until(system.answers, "the supervisor answers")
    until(lambda: system.actor("fanout.0")["state"] == "FAILED", "it fails")
    system.until_ready("gateway.0")
    before = {name: row["pid"] for name, row in system.actors().items()}
    system.ways.write_text("")
    answer = system.ask("reload")
    assert answer["ok"]
    after = {name: row["pid"] for name, row in system.actors().items()}
    assert {name for name in after if after[name] != before[name]} == {"fanout.0"}
    assert system.actor("fanout.0")["state"] == "READY"
    system.stop(process)


def test_the_next_supervisor_goes_on_with_what_was_accepted(system: Configured) -> None:
    """Though the configuration is broken by then; once it is mended, a reload applies it."""
    system.start()
    before = {name: row["pid"] for name, row in system.actors().items()}
    system.config.write_text("nonsense = 1\n")
    os.kill(system.supervisor()["pid"], signal.SIGKILL)
    system.started[-1].wait()
    process = system.start()
    assert {name: row["pid"] for name, row in system.actors().items()} == before
    refused = until(system.refused, "it is refused")
    assert "nonsense: unknown setting" in refused["why"]
    system.kill("fanout.0")
    system.until_ready("fanout.0", generation=2)
    assert system.given("fanout.0").settings.console.keep_alive_s == 5
    system.write(keep_alive_s=6)
    assert system.ask("reload")["ok"]
    assert system.given("console.0").settings.console.keep_alive_s == 6
    system.stop(process)


def test_the_next_supervisor_applies_what_has_changed(system: Configured) -> None:
    """As a reload does: those that it concerns are rolled, and what runs is what the configuration says."""
    system.start()
    before = {name: row["pid"] for name, row in system.actors().items()}
    system.write(keep_alive_s=7)
    os.kill(system.supervisor()["pid"], signal.SIGKILL)
    system.started[-1].wait()
    process = system.start()
    until(lambda: system.actor("console.0")["pid"] != before["console.0"], "the console is rolled")
    system.until_ready("console.0")
    assert system.given("console.0").settings.console.keep_alive_s == 7
    assert system.actor("ingest.0")["pid"] == before["ingest.0"]
    system.stop(process)


def test_a_replaced_supervisor_knows_what_was_accepted(system: Configured) -> None:
    """A change of what only the supervisor reads concerns no process, so none of them could tell."""
    process = system.start()
    system.config.write_text("[console]\nkeep_alive_s = 5\n[supervisor]\nintensity = 9\n")
    assert system.ask("reload")["ok"]
    at = system.supervisor()["configuration"]["accepted_at"]
    assert system.run("roll", "supervisor").returncode == 0
    until(lambda: system.supervisor()["replaced"] == 1, "it is replaced")
    assert system.supervisor()["configuration"]["accepted_at"] >= at
    assert system.refused() is None
    system.stop(process)


def test_nothing_runs_and_the_configuration_is_broken(system: Configured) -> None:
    """Then there is nothing to go on with: it says so and ends."""
    system.config.write_text("nonsense = 1\n")
    done = system.run()
    assert done.returncode == 78
    assert "nonsense: unknown setting" in done.stderr
    assert not system.run_dir.exists()
    assert system.run("check").returncode == 78
    nobody = system.run("status", "--json")
    assert (nobody.returncode, json.loads(nobody.stdout)["ok"]) == (3, False)


def test_fewer_processes_that_the_gateway_does_not_learn_of(system: Configured) -> None:
    """Then they stay, since they are given connections still; the next reload tries again."""
    system.config.write_text("[fanout]\nprocesses = 2\n")
    process = system.start()
    system.ways.write_text("gateway.0:exit=1@2")
    system.config.write_text("[fanout]\nprocesses = 1\n")
    answer = system.ask("reload")
    assert not answer["ok"]
    assert "left as they were: fanout.1" in answer["error"]
    assert system.refused()
    assert system.actor("fanout.1")["state"] == "READY"
    system.kill("fanout.0")
    system.until_ready("fanout.0", generation=2)
    assert system.given("fanout.0").settings.fanout.processes == 2
    system.ways.write_text("")
    assert system.ask("reload")["ok"]
    assert "fanout.1" not in system.actors()
    assert system.refused() is None
    system.stop(process)


def test_a_spare_is_given_them_too(tmp_path: Path) -> None:
    """When it is told which actor it is, long after it was started."""
    system = Configured(tmp_path, supervisor__spares="1")
    try:
        process = system.start()
        until(lambda: system.supervisor()["spares"] == 1, "it is loaded")
        system.config.write_text("nonsense = 1\n")
        assert not system.ask("reload")["ok"]
        system.kill("ingest.0")
        system.until_ready("ingest.0", generation=2)
        assert system.given("ingest.0").settings.console.keep_alive_s == 5
        assert "by a spare" in system.run("explain", "ingest").stdout
        system.stop(process)
    finally:
        system.clean_up()
