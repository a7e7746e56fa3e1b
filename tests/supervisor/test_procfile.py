"""Honcho's output for programs: every line is JSON, whoever wrote it."""

from __future__ import annotations

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from supervisor.procfile import JsonPrinter

ROOT = Path(__file__).parents[2]


def written(data: str | bytes, name: str = "supervisor") -> list[str]:
    output = StringIO()
    JsonPrinter(output, colour=True, prefix=True).write(SimpleNamespace(data=data, name=name, type="line"))
    return output.getvalue().splitlines(keepends=True)


@pytest.mark.parametrize("line", ['{"message": "a"}', '{"message": "\u2028 \x85"}'])
def test_a_line_of_the_log_stays(line: str) -> None:
    """Also one that others would split."""
    [found] = written(f"{line}\n".encode())
    assert json.loads(found) == json.loads(line)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"Patchbay is ready\n", "Patchbay is ready"), ("{no json\n", "{no json"), (b"\xff\x1b\n", "\ufffd\x1b")],
)
def test_other_lines_become_one(data: str | bytes, message: str) -> None:
    [found] = written(data, "system")
    said = json.loads(found)
    assert (said["message"], said["actor"], said["level"]) == (message, "honcho", "info")
    assert "\x1b" not in found


@pytest.mark.slow
def test_honcho_itself(tmp_path: Path) -> None:
    """Its own lines too, and its exit status is that of what it ran."""
    (tmp_path / "Procfile").write_text('one: echo plain; echo \'{"message": "json"}\'; exit 3\n')
    environ = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "supervisor.procfile"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"plain", "json"} <= {each["message"] for each in said}
    assert any("started" in each["message"] for each in said)
