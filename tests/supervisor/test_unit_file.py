"""The systemd unit that is shipped: it never gives up on the supervisor, and has no secret where a reload can't see
it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

from patchbay.process.main import EX_CONFIG
from supervisor import main
from supervisor.commands import cli

UNIT = Path(__file__).parents[2] / "deploy" / "patchbay.service"


@pytest.fixture
def unit() -> RawConfigParser:
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(
        re.sub(r"^Environment=", lambda match: f"Environment.{match.start()}=", UNIT.read_text(), flags=re.MULTILINE)
    )
    return parser


def test_it_never_gives_up(unit: RawConfigParser) -> None:
    """But where nothing runs and starting again mends nothing."""
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit["Service"]["Restart"] == "always"
    prevented = unit["Service"]["RestartPreventExitStatus"].split()
    assert prevented == ["64", "78"]
    assert {cli.EX_CONFIG, main.EX_CONFIG, EX_CONFIG} == {78}
    assert str(main.EX_TEMPFAIL) not in prevented
    assert str(main.EX_UNAVAILABLE) not in prevented


def test_it_stops_the_supervisor_only(unit: RawConfigParser) -> None:
    """When that dies, the actors live, and their sockets with them."""
    service = unit["Service"]
    assert service["KillMode"] == "process"
    assert service["RuntimeDirectoryPreserve"] == "yes"
    assert service["Type"] == "notify"


def test_no_secret_is_in_the_environment(unit: RawConfigParser) -> None:
    """A reload could not see another one."""
    keys = list(unit["Service"])
    assert not [key for key in keys if key in ("EnvironmentFile", "PassEnvironment", "LoadCredential")]
    given = {value.partition("=")[0] for key, value in unit["Service"].items() if key.startswith("Environment.")}
    assert given == {"PATCHBAY_CONFIG", "PATCHBAY_RUN_DIR", "PATCHBAY_DATA_DIR"}
    assert "HUP $MAINPID" in unit["Service"]["ExecReload"]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd")
def test_systemd_understands_it(tmp_path: Path) -> None:
    text = UNIT.read_text().replace("/opt/patchbay/.venv/bin/python", sys.executable)
    (tmp_path / "patchbay.service").write_text(text.replace("User=patchbay", "User=root"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "patchbay.service")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "Failed to initialize manager" in done.stderr or "Failed to connect" in done.stderr:
        pytest.skip("systemd-analyze does not work here")
    ours = [line for line in done.stderr.splitlines() if "patchbay.service" in line]
    assert ours == []
