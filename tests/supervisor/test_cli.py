"""The command lines: what they accept, their exit statuses, and how the program is started again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from supervisor.commands import cli
from supervisor.takeover import upgrade

if TYPE_CHECKING:
    from pathlib import Path

OPERATIONS = {"status", "restart", "roll", "stop", "reload", "chaos", "events", "explain", "wait-ready", "check"}


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHBAY_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.delenv("PATCHBAY_CONFIG", raising=False)


def commands_of(help_text: str) -> set[str]:
    """Return the commands that a help text lists."""
    lines = help_text.partition("commands:")[2].splitlines()
    return {line.split()[0] for line in lines if line.startswith("    ") and not line.startswith("     ")}


def test_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """`patchbay` has all operations of `python -m supervisor`, the two that run it, and those about keys."""
    assert commands_of(cli.supervisor_parser().format_help()) == OPERATIONS
    assert commands_of(cli.patchbay_parser().format_help()) == OPERATIONS | {"run", "demo", "key", "token"}


def test_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`patchbay` starts nothing: it shows the usage."""
    assert cli.patchbay([]) == 2
    assert capsys.readouterr().err.startswith("usage: patchbay")


def test_no_supervisor_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for carry_out in (cli.main, cli.patchbay):
        assert carry_out(["status"]) == 3
        assert "no supervisor runs" in capsys.readouterr().err


def test_keys_and_tokens(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What can't be done is said in words, with the status of a wrong configuration."""
    monkeypatch.delenv("PATCHBAY_AUTH__JWT_SECRET", raising=False)
    assert cli.patchbay(["token"]) == 78
    assert "set PATCHBAY_AUTH__JWT_SECRET" in capsys.readouterr().err
    assert cli.patchbay(["key"]) == 0
    made = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    for name, value in made.items():
        monkeypatch.setenv(name, value)
    assert cli.patchbay(["token", "--sub", "ann", "--ttl", "1h"]) == 0
    assert capsys.readouterr().out.count(".") == 2
    monkeypatch.setenv("PATCHBAY_HOST", "0.0.0.0")
    assert cli.patchbay(["token"]) == 78
    assert "the configuration can't be used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command_line", "arguments"),
    [
        (["python", "-m", "supervisor"], []),
        (["python", "-X", "dev", "-m", "supervisor"], ["--take-over"]),
        (["python", "/opt/bin/patchbay"], ["run", "--take-over"]),
        (["python", "-m", "supervisor"], ["--resume", "7"]),
    ],
)
def test_the_program_without_its_arguments(
    command_line: list[str], arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", [*command_line, *arguments])
    monkeypatch.setattr(sys, "argv", ["anything", *arguments])
    assert upgrade.program() == [sys.executable, *command_line[1:]]
