"""Actors, and the supervisor itself, are killed, hung and replaced, and everything else goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.ports import reserved_port
from tests.supervisor.running import PATIENCE_S, PROGRAM, Running, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

ALL = {"call_events.0", "ingest.0", "fanout.0", "console.0", "gateway.0"}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    made = []

    def running(**settings: str) -> Running:
        made.append(Running(tmp_path, **settings))
        return made[-1]

    yield running
    for each in made:
        each.clean_up()


def pids(system: Running) -> dict[str, int]:
    return {name: row["pid"] for name, row in system.actors().items()}


def inode(system: Running, name: str) -> int:
    return (system.run_dir / name).stat().st_ino


def test_roll(make: Callable[..., Running]) -> None:
    system = make()
    process = system.start()
    before = pids(system)
    answer = system.ask("roll", all=True)
    assert answer["ok"]
    assert {report["actor"] for report in answer["reports"]} == ALL
    after = system.actors()
    assert not set(before.values()) & {row["pid"] for row in after.values()}
    assert {(row["generation"], row["restarts"], row["crashes"]) for row in after.values()} == {(2, 1, 0)}
    system.stop(process)


def test_a_roll_that_fails_ends_there(make: Callable[..., Running]) -> None:
    system = make()
    system.ways.write_text("fanout.0:exit=1@2")
    process = system.start()
    before = pids(system)
    rolled = system.run("roll", "fanout")
    assert rolled.returncode == 1
    assert "exit status 1 (the wrong configuration); the old one goes on" in rolled.stdout
    assert pids(system) == before
    answer = system.ask("roll", all=True)
    assert not answer["ok"]
    assert [report["ok"] for report in answer["reports"]] == [True, True, False]
    assert answer["left"] == ["console.0", "gateway.0"]
    assert pids(system)["fanout.0"] == before["fanout.0"]
    assert any("exit status 1" in report for report in system.reports())
    system.stop(process)


def test_a_roll_that_is_late_keeps_the_old_one(make: Callable[..., Running]) -> None:
    system = make()
    system.ways.write_text("fanout.0:mute@2")
    process = system.start()
    before = pids(system)
    answer = system.ask("roll", name="fanout", timeout_s=0.3)
    assert not answer["ok"]
    late = re.search(r"not ready (\S+) s after its start", answer["error"])
    assert late is not None
    assert float(late[1]) >= 0.3
    assert pids(system) == before
    system.stop(process)


def test_one_that_hangs_is_replaced_and_tells_where(make: Callable[..., Running]) -> None:
    system = make(supervisor__watchdog_s="2")
    system.ways.write_text("ingest.0:hang")
    process = system.start()
    system.ways.write_text("")
    row = system.until_ready("ingest.0", generation=2, crashes=1)
    assert row["restarts"] == 1
    (report,) = system.reports()
    assert "reason: hung: its event loop was silent for" in report
    assert "killed by SIGABRT" in report
    assert "in main" in report
    system.stop(process)


def test_a_stopped_process_hangs(make: Callable[..., Running]) -> None:
    system = make(supervisor__watchdog_s="2")
    process = system.start()
    assert system.run("chaos", "stop", "fanout").returncode == 0
    system.until_ready("fanout.0", generation=2)
    assert "hung" in system.run("explain", "fanout").stdout
    system.stop(process)


def test_a_slow_process_is_only_slow(make: Callable[..., Running]) -> None:
    system = make()
    process = system.start()
    assert system.ask("chaos", way="slow", name="fanout", seconds=0.3)["ok"]
    assert system.ask("chaos", way="kill", name="console")["reports"][0]["ok"]
    system.until_ready("console.0", generation=2)
    assert system.actor("fanout.0")["generation"] == 1
    system.stop(process)


def test_the_next_supervisor_adopts_what_runs(make: Callable[..., Running]) -> None:
    system = make()
    first = system.start()
    assert system.ask("restart", name="ingest")["ok"]
    before, sockets = pids(system), {name: inode(system, name) for name in ("gateway.sock", "ingest.0.b.pub")}
    with socket.create_connection(("127.0.0.1", system.port)):
        pass
    first.kill()
    first.wait()
    nobody = system.run("status")
    assert nobody.returncode == 3
    with socket.create_connection(("127.0.0.1", system.port)):
        pass
    second = system.start()
    assert pids(system) == before
    rows = system.actors()
    assert {row["adopted"] for row in rows.values()} == {True}
    assert {row["restarts"] for row in rows.values()} == {0}
    assert {name: inode(system, name) for name in sockets} == sockets
    # They obey the new one like its own.
    assert system.ask("restart", name="fanout")["ok"]
    assert system.ask("roll", name="gateway")["ok"]
    system.kill("ingest.0")
    assert system.until_ready("ingest.0", crashes=1)["generation"] == 3
    assert "supervisor.sock" in {entry.name for entry in system.run_dir.iterdir()}
    system.stop(second)


def test_one_that_died_meanwhile_is_started(make: Callable[..., Running]) -> None:
    system = make()
    first = system.start()
    before = pids(system)
    first.kill()
    first.wait()
    os.kill(before["gateway.0"], signal.SIGKILL)
    second = system.start()
    after = pids(system)
    assert {name for name in ALL if before[name] != after[name]} == {"gateway.0"}
    assert system.actor("gateway.0")["generation"] == 2
    system.stop(second)


def test_one_that_hangs_meanwhile_is_ended(make: Callable[..., Running]) -> None:
    system = make()
    first = system.start()
    before = pids(system)
    os.kill(before["gateway.0"], signal.SIGSTOP)
    first.kill()
    first.wait()
    second = system.start()
    after = pids(system)
    assert {name for name in ALL if before[name] != after[name]} == {"gateway.0"}
    system.stop(second)


def test_the_supervisor_is_killed_twice(make: Callable[..., Running]) -> None:
    system = make()
    process = system.start()
    before = pids(system)
    for _ in range(2):
        process.kill()
        process.wait()
        process = system.start()
    assert pids(system) == before
    system.stop(process)


def test_one_whose_starter_has_gone_hands_over(make: Callable[..., Running]) -> None:
    system = make()
    # Like honcho: it starts the supervisor, waits for it, and is killed.
    text = f"import subprocess; subprocess.run([{sys.executable!r}, {PROGRAM!r}])"
    starter = subprocess.Popen(
        [sys.executable, "-c", text],
        env=system.environ,
        text=True,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    system.started.append(starter)
    until(system.answers, "the supervisor answers")
    assert system.ask("wait-ready")["ok"]
    before, old = pids(system), system.supervisor()["pid"]
    assert system.run().returncode == 75
    starter.kill()
    starter.wait()
    second = system.open()
    until(lambda: system.is_led_by(second.pid), "it took over")
    assert system.ask("wait-ready")["ok"]
    assert pids(system) == before
    assert old != second.pid
    system.stop(second)


def test_taking_over_by_hand(make: Callable[..., Running]) -> None:
    system = make()
    first = system.start()
    before = pids(system)
    second = system.open("--take-over")
    assert first.wait(PATIENCE_S) == 0
    until(lambda: system.is_led_by(second.pid), "it took over")
    assert system.ask("wait-ready")["ok"]
    assert pids(system) == before
    system.stop(second)


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_the_supervisor_replaces_itself(make: Callable[..., Running]) -> None:
    system = make()
    process = system.start()
    system.kill("console.0")
    system.until_ready("console.0", crashes=1)
    before, supervisor = system.actors(), system.supervisor()
    assert system.run("roll", "supervisor").returncode == 0
    assert system.ask("wait-ready")["ok"]
    held = descriptors(process.pid)
    assert json.loads(system.run("roll", "supervisor", "--json").stdout)["reports"][0]["ok"]
    assert system.ask("wait-ready")["ok"]
    until(lambda: descriptors(process.pid) <= held, "it holds no more than before")
    after = system.supervisor()
    assert (after["pid"], after["replaced"]) == (process.pid, 2)
    assert after["uptime_s"] > supervisor["uptime_s"]
    kept = ("pid", "generation", "restarts", "crashes", "adopted")
    for name, row in system.actors().items():
        assert [row[key] for key in kept] == [before[name][key] for key in kept]
    assert "killed by SIGKILL" in system.run("explain", "console").stdout
    # They are still its children, and their sockets its sockets.
    system.kill("fanout.0")
    system.until_ready("fanout.0", generation=2)
    assert "killed by SIGKILL" in system.actor("fanout.0")["last_exit"]
    assert system.ask("roll", all=True)["ok"]
    system.stop(process)


def test_an_adopted_actor_is_kept_through_a_replacement(make: Callable[..., Running]) -> None:
    system = make()
    first = system.start()
    before = pids(system)
    first.kill()
    first.wait()
    second = system.start()
    assert system.run("roll", "supervisor").returncode == 0
    assert system.ask("wait-ready")["ok"]
    time.sleep(0.3)  # would one have lost its life line, it had looked for a supervisor by now
    assert pids(system) == before
    assert {row["adopted"] for row in system.actors().values()} == {True}
    system.stop(second)


def test_everything_is_rolled(make: Callable[..., Running]) -> None:
    system = make()
    process = system.start()
    before = pids(system)
    rolled = system.run("roll", "--all")
    assert rolled.returncode == 0, rolled
    assert rolled.stdout.startswith("supervisor: replaced in ")
    assert not set(before.values()) & set(pids(system).values())
    system.stop(process)


def test_a_new_version_that_does_not_start_is_refused(make: Callable[..., Running]) -> None:
    system = make()
    config = system.directory / "patchbay.toml"
    config.touch()
    system.environ["PATCHBAY_CONFIG"] = str(config)
    process = system.start()
    before = pids(system)
    config.write_text("nonsense = 1\n")
    answer = system.ask("replace")
    assert not answer["ok"]
    assert "nonsense: unknown setting" in answer["error"]
    assert pids(system) == before
    config.write_text("")
    system.stop(process)


def test_the_configuration_is_read_again(make: Callable[..., Running]) -> None:
    system = make()
    config = system.directory / "patchbay.toml"
    config.touch()
    system.environ["PATCHBAY_CONFIG"] = str(config)
    process = system.start()
    before = pids(system)
    config.write_text("[console]\nkeep_alive_s = 5\n")
    assert system.ask("reload")["ok"]
    after = pids(system)
    assert {name for name in ALL if before[name] != after[name]} == {"console.0", "call_events.0"}

    config.write_text("[console]\nkeep_alive_s = 5\n[fanout]\nprocesses = 2\n")
    process.send_signal(signal.SIGHUP)
    until(lambda: "fanout.1" in system.actors(), "there is one more")
    system.until_ready("fanout.1")
    assert (system.run_dir / "fanout.1.a.pub").is_socket()
    assert pids(system)["fanout.0"] == before["fanout.0"]

    config.write_text("[console]\nkeep_alive_s = 5\n")
    assert system.ask("reload")["ok"]
    assert "fanout.1" not in system.actors()
    assert not (system.run_dir / "fanout.1.a.pub").exists()

    before = pids(system)
    config.write_text("nonsense = 1\n")
    answer = system.ask("reload")
    assert "nonsense: unknown setting" in answer["error"]
    config.write_text('run_dir = "/elsewhere"\n[console]\nkeep_alive_s = 5\n')
    assert pids(system) == before
    config.write_text("")
    system.stop(process)


def test_another_port(make: Callable[..., Running]) -> None:
    system = make()
    config = system.directory / "patchbay.toml"
    system.environ["PATCHBAY_CONFIG"] = str(config)
    del system.environ["PATCHBAY_PORT"]
    config.write_text(f"port = {system.port}\n")
    process = system.start()
    with reserved_port() as other:
        config.write_text(f"port = {other}\n")
        with socket.create_server(("127.0.0.1", other)):
            assert "can't listen" in system.ask("reload")["error"]
            assert system.supervisor()["port"] == system.port
        system.port = other
        assert system.ask("reload")["ok"]
        assert system.supervisor()["port"] == system.port
        with socket.create_connection(("127.0.0.1", system.port)):
            pass
        system.stop(process)


def test_whoever_supervises_us_is_told(make: Callable[..., Running]) -> None:
    system = make()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as above:
        above.bind(str(system.directory / "above.sock"))
        above.settimeout(10)
        system.environ |= {"NOTIFY_SOCKET": str(system.directory / "above.sock"), "WATCHDOG_USEC": "200000"}
        process = system.start()
        heard: list[str] = []

        def has_heard(text: str) -> bool:
            heard.append(above.recv(200).decode())
            return any(text in each for each in heard)

        until(lambda: has_heard("READY=1"), "ready")
        until(lambda: has_heard("WATCHDOG=1"), "alive")
        system.stop(process)
        until(lambda: has_heard("STOPPING=1"), "stopping")
