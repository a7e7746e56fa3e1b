"""The supervisor as people and actors see it: real processes, real sockets, fake actors."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.supervisor.running import PATIENCE_S, PROGRAM, Running, lines, until

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


def test_from_start_to_stop(make: Callable[..., Running]) -> None:
    system = make()
    process = system.start()
    actors = system.actors()
    assert set(actors) == ALL
    assert {row["state"] for row in actors.values()} == {"READY"}
    assert {row["restarts"] for row in actors.values()} == {0}
    assert system.run_dir.stat().st_mode & 0o777 == 0o700
    assert (system.run_dir / "control.sock").stat().st_mode & 0o777 == 0o600
    assert (system.run_dir / "ingest.0.b.talk").is_socket()
    with socket.create_connection(("127.0.0.1", system.port)):
        pass
    output, log = system.stop(process)
    assert f"http://127.0.0.1:{system.port}/" in output
    assert output.count("\n") == 1
    order = [line["message"] for line in lines(log)]
    ready = [
        order.index(next(line for line in order if line.startswith(f"{name} STARTING")))
        for name in ("call_events.0", "ingest.0")
    ]
    assert ready == sorted(ready)
    gone = [line.split()[0] for line in order if line.endswith("→ STOPPED: exit status 0")]
    assert (gone[0], gone[-1]) == ("gateway.0", "call_events.0")


def test_the_command_line(make: Callable[..., Running]) -> None:
    system = make()
    nobody = system.run("status", "--json")
    assert (nobody.returncode, json.loads(nobody.stdout)["ok"]) == (3, False)
    assert "no supervisor runs" in system.run("restart", "fanout").stderr
    plan = system.run("check")
    assert plan.returncode == 0
    assert "3. gateway.0" in plan.stdout
    process = system.start()
    status = json.loads(system.run("status", "--json").stdout)
    assert set(status) == {"supervisor", "actors"}
    assert status["supervisor"]["pid"] == process.pid
    assert {"name", "index", "pid", "state", "generation", "restarts"} <= set(status["actors"][0])
    assert "fanout.0" in system.run("status").stdout
    restart = system.run("restart", "fanout")
    assert restart.returncode == 0
    assert "generation 2" in restart.stdout
    unknown = system.run("restart", "nobody")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "there is no actor 'nobody'" in unknown.stderr
    assert system.run("roll").returncode == 2
    assert "READY → DRAINING: asked for" in system.run("explain", "fanout").stdout
    assert system.run("wait-ready", "--timeout", "5").stdout == "every actor is ready\n"
    stop = system.run("stop")
    assert (stop.returncode, stop.stdout) == (0, "everything is stopped\n")
    system.nothing_is_left()
    assert process.wait(PATIENCE_S) == 0


def test_a_killed_actor_is_back_within_a_second(make: Callable[..., Running]) -> None:
    """The quickest of them: a busy machine holds up one or another."""
    system = make()
    process = system.start()
    took_s = []
    for instance in sorted(ALL):
        before = system.actors()
        killed = time.monotonic()
        system.kill(instance)
        system.until_ready(instance, generation=2, restarts=1, crashes=1)
        took_s.append(time.monotonic() - killed)
        others = system.actors()
        assert all(others[name]["pid"] == before[name]["pid"] for name in ALL - {instance})
    assert min(took_s) < 1.0
    assert len(system.reports()) == len(ALL)
    system.stop(process)


def test_no_connect_is_refused_while_the_gateway_restarts(make: Callable[..., Running]) -> None:
    system = make()
    process = system.start()
    refused, done = [], threading.Event()

    def connect() -> None:
        # The fake gateway takes none, so they all have to fit into the queue.
        while not done.wait(0.005):
            with socket.socket() as sock:
                refused.append(sock.connect_ex(("127.0.0.1", system.port)))

    thread = threading.Thread(target=connect)
    thread.start()
    system.kill("gateway.0")
    system.until_ready("gateway.0", generation=2)
    assert system.ask("restart", name="gateway")["ok"]
    assert system.ask("roll", name="gateway")["ok"]
    done.set()
    thread.join()
    assert set(refused) == {0}
    system.stop(process)


def test_two_actors_restart_at_once(make: Callable[..., Running]) -> None:
    system = make(supervisor__stop_timeout_s="6")
    system.ways.write_text("ingest.0:deaf")
    process = system.start()
    slow = threading.Thread(target=system.ask, args=("restart",), kwargs={"name": "ingest"})
    began = time.monotonic()
    slow.start()
    until(lambda: system.actor("ingest.0")["state"] == "DRAINING", "ingest is being restarted")
    assert system.ask("restart", name="fanout")["ok"]
    assert system.actor("ingest.0")["state"] == "DRAINING"
    slow.join()
    assert time.monotonic() - began >= 6
    system.stop(process)


def test_actors_that_do_not_listen_are_gone_in_time(make: Callable[..., Running]) -> None:
    """Of several tries, since a machine may be busy."""
    system = make(supervisor__stop_timeout_s="0.9")
    system.ways.write_text("deaf")
    took_s: list[float] = []
    while len(took_s) < 5 and not any(each < 3 for each in took_s):
        _, log = system.stop(system.start())
        told = [line for line in lines(log) if "→ DRAINING" in line["message"] or "→ STOPPED" in line["message"]]
        first, *_, last = [datetime.fromisoformat(line["time"]) for line in told]
        took_s.append((last - first).total_seconds())
    assert 0.8 < min(took_s) < 3


def test_a_second_signal_is_fast(make: Callable[..., Running]) -> None:
    system = make(supervisor__stop_timeout_s="30")
    system.ways.write_text("deaf")
    process = system.start()
    process.send_signal(signal.SIGINT)
    until(lambda: system.supervisor()["state"] == "STOPPING", "it stops")
    began = time.monotonic()
    system.stop(process)
    assert time.monotonic() - began < 25  # of the 30 s that they might take


def test_stop_while_starting(make: Callable[..., Running]) -> None:
    system = make()
    system.ways.write_text("call_events.0:mute")
    process = system.start(ready=False)
    until(system.answers, "the supervisor answers")
    until(lambda: system.actor("call_events.0")["state"] == "STARTING", "it starts")
    assert system.actor("gateway.0")["state"] == "INIT"
    system.stop(process)


def test_a_configuration_error_is_not_tried_again(make: Callable[..., Running]) -> None:
    system = make()
    system.ways.write_text("fanout.0:exit=78")
    process = system.start(ready=False)
    until(system.answers, "the supervisor answers")
    row = until(lambda: system.actor("fanout.0")["state"] == "FAILED" and system.actor("fanout.0"), "it fails")
    assert (row["generation"], row["retry_in_s"], row["crashes"]) == (1, None, 1)
    assert "the wrong configuration" in system.run("explain", "fanout").stdout
    not_ready = system.ask("wait-ready", timeout_s=0.1)
    assert not_ready["not_ready"]["fanout.0"] == "FAILED"
    system.ways.write_text("")
    assert system.ask("restart", name="fanout")["ok"]
    assert system.ask("wait-ready")["ok"]
    system.stop(process)


def test_one_that_never_comes_up_does_not_hold_up_the_others(make: Callable[..., Running]) -> None:
    system = make()
    system.ways.write_text("call_events.0:exit=1")
    process = system.start(ready=False)
    until(system.answers, "the supervisor answers")
    system.until_ready("gateway.0")
    assert system.actor("call_events.0")["crashes"] >= 1
    system.stop(process)


def test_a_crash_loop_is_failed_and_heals(make: Callable[..., Running]) -> None:
    system = make(supervisor__backoff_max_s="0.5", supervisor__backoff_first_s="0.01")
    system.ways.write_text("ingest.0:exit=1@2")
    process = system.start()
    system.kill("ingest.0")
    until(lambda: system.actor("ingest.0")["state"] == "FAILED", "it fails")
    system.ways.write_text("")
    system.until_ready("ingest.0")
    system.stop(process)


def test_only_one_supervisor(make: Callable[..., Running]) -> None:
    system = make()
    process = system.start()
    second = system.run()
    assert second.returncode == 75
    assert second.stderr.splitlines()[-1] == (
        f"patchbay: another supervisor (pid {process.pid}) already runs with run_dir = {system.run_dir}"
    )
    assert system.ask("status")["ok"]
    system.stop(process)


def test_a_port_that_is_taken(make: Callable[..., Running]) -> None:
    system = make()
    with socket.create_server(("127.0.0.1", system.port)):
        refused = system.run()
    assert refused.returncode == 69
    assert f"can't listen on 127.0.0.1 port {system.port}" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
    system.nothing_is_left()


def test_a_wrong_configuration(make: Callable[..., Running]) -> None:
    refused = make(supervisor__grace_s="soon").run("check")
    assert refused.returncode == 78
    assert "supervisor.grace_s" in refused.stderr


def test_a_data_directory_that_others_write_to(make: Callable[..., Running]) -> None:
    """Nothing is started over it, and `check` says so too; while everything runs, it changes nothing."""
    system = make()
    data = Path(system.environ["PATCHBAY_DATA_DIR"])
    data.mkdir(parents=True, exist_ok=True)
    (data / "history").touch()
    data.chmod(0o777)
    for words in ((), ("check",)):
        refused = system.run(*words)
        assert refused.returncode == 78
        assert f"data_dir = {data}: other users can write to it" in refused.stderr
        assert "Traceback" not in refused.stderr
    system.nothing_is_left()
    data.chmod(0o700)
    process = system.start()
    data.chmod(0o777)
    answer = system.ask("reload")
    assert not answer["ok"]
    assert "data_dir" in answer["error"]
    data.chmod(0o700)
    assert system.ask("reload")["ok"]
    system.stop(process)


def test_a_stale_run_dir(make: Callable[..., Running]) -> None:
    system = make()
    first = system.start()
    pids = [row["pid"] for row in system.actors().values()]
    first.kill()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    first.wait()
    second = system.start()
    assert {row["adopted"] for row in system.actors().values()} == {False}
    system.stop(second)


def test_somebody_elses_run_dir_is_left(make: Callable[..., Running]) -> None:
    system = make()
    system.run_dir.mkdir(mode=0o700)
    process = system.start()
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert list(system.run_dir.iterdir()) == []
    system.run_dir.rmdir()


def test_a_run_dir_with_a_long_name(make: Callable[..., Running]) -> None:
    system = make()
    system.run_dir = system.directory / ("long" * 40)
    system.environ["PATCHBAY_RUN_DIR"] = str(system.run_dir)
    process = system.start()
    system.kill("fanout.0")
    system.until_ready("fanout.0", generation=2)
    system.stop(process)


def test_nobody_reads_what_we_write(make: Callable[..., Running]) -> None:
    system = make()
    process = system.open()
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    until(system.answers, "the supervisor answers")
    assert system.ask("wait-ready")["ok"]
    system.kill("fanout.0")
    system.until_ready("fanout.0", generation=2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    system.nothing_is_left()


def test_events(make: Callable[..., Running]) -> None:
    system = make()
    process = system.start()
    follower = system.open("events", "--json", "--last", "1")
    assert follower.stdout is not None
    assert json.loads(follower.stdout.readline())["after"] == "READY"
    system.kill("console.0")
    states = [json.loads(follower.stdout.readline())["after"] for _ in range(3)]
    assert states == ["BACKOFF", "STARTING", "READY"]
    system.stop(process)
    assert follower.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    "request_line",
    [
        b"rubbish\n",
        b"[]\n",
        b'{"command": ["status"]}\n',
        b'{"command": "restart"}\n',
        b'{"command": "restart", "name": 7}\n',
        b'{"command": "restart", "name": "fanout", "timeout_s": -1}\n',
        b'{"command": "explain", "name": "fanout", "limit": -1}\n',
        b'{"command": "chaos", "way": "slow", "name": "fanout", "seconds": -1}\n',
        b'{"command": "chaos", "way": "nuke", "name": "fanout"}\n',
    ],
)
def test_rubbish_is_answered(shared: Running, request_line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as sock, sock.makefile("rb") as answers:
        sock.connect(str(shared.run_dir / "control.sock"))
        sock.sendall(request_line)
        answer = json.loads(answers.readline())
        assert not answer["ok"]
        assert answer["error"]
        sock.sendall(b'{"command": "status"}\n')
        assert json.loads(answers.readline())["ok"]


def test_a_question_without_end_is_hung_up_on(shared: Running) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(shared.run_dir / "control.sock"))
        sock.settimeout(5)
        try:
            sock.sendall(b"x" * 200_000)
            assert sock.recv(1) == b""
        except ConnectionError:
            pass
    assert shared.ask("status")["ok"]


def test_a_stranger_is_not_adopted(shared: Running) -> None:
    for hello in (b"rubbish", b'{"hello":{"name":"fanout","index":0,"pid":1,"generation":1,"ready":true}}'):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(str(shared.run_dir / "supervisor.sock"))
            sock.settimeout(5)
            sock.send(hello)
            assert not json.loads(sock.recv(4096))["ok"]
            assert sock.recv(1) == b""
    assert shared.ask("wait-ready")["ok"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One supervisor for the tests that do it no harm."""
    system = Running(tmp_path_factory.mktemp("shared"))
    process = system.start()
    yield system
    system.stop(process)
    system.clean_up()


def test_under_honcho(make: Callable[..., Running]) -> None:
    system = make()
    procfile = system.directory / "Procfile"
    procfile.write_text(f"supervisor: exec {sys.executable} {PROGRAM}\n")
    honcho = subprocess.Popen(
        [sys.executable, "-m", "honcho", "-f", str(procfile), "-d", str(system.directory), "start"],
        env=system.environ,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    until(system.answers, "the supervisor answers")
    assert system.ask("wait-ready")["ok"]
    system.actors()
    began = time.monotonic()
    os.killpg(honcho.pid, signal.SIGINT)
    honcho.wait(PATIENCE_S)
    assert time.monotonic() - began < 5
    until(lambda: not Path(system.run_dir).exists(), "everything is gone")
    system.nothing_is_left()
