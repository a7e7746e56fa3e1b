"""A wheel, installed into an empty environment, away from the checkout: everything that runs is there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import venv
from typing import TYPE_CHECKING

import pytest
import trio

from tests.e2e.system import ROOT, System, eventually, new_system

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow
SOURCES = ("actors", "bench", "config", "patchbay", "simulator", "supervisor", "tests", "web")
FILES = ("pyproject.toml", "setup.py", "README.md", "constraints.txt")
NOT_COPIED = shutil.ignore_patterns("*.so", "__pycache__", "build", "*.egg-info")
OURS = {"actors", "config", "patchbay", "simulator", "supervisor"}


def pip(python: Path | str, *words: str, cwd: Path) -> None:
    """Run pip for an environment; uv's, where the tests' own environment has none."""
    if shutil.which("uv"):
        command = ["uv", "pip", words[0], "--quiet", "--python", str(python), *words[1:]]
    else:
        command = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "--quiet",
            "--disable-pip-version-check",
            *words,
        ]
    subprocess.run(command, cwd=cwd, check=True, timeout=300)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and what the wheel asks for."""
    folder = tmp_path_factory.mktemp("wheel")
    checkout = folder / "checkout"
    for name in SOURCES:
        shutil.copytree(ROOT / name, checkout / name, ignore=NOT_COPIED)
    for name in FILES:
        shutil.copy(ROOT / name, checkout / name)
    made = folder / "env"
    venv.create(made, with_pip=False)
    if shutil.which("uv"):
        builder = ["uv", "build", "--quiet", "--wheel", "--out-dir"]
    else:
        builder = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]
    subprocess.run([*builder, str(folder), str(checkout)], check=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    pip(made / "bin" / "python", "install", "--constraint", str(checkout / "constraints.txt"), str(wheel), cwd=folder)
    shutil.rmtree(checkout)
    return made


@pytest.fixture
def fresh(environment: Path) -> Iterator[System]:
    """A system that is not started, whose processes find only what was installed."""
    with new_system() as system:
        system.environ["PATH"] = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
        yield system


def test_only_what_runs_is_installed(environment: Path) -> None:
    """Neither benchmarks nor tests; the C only as it was built."""
    (packages,) = environment.glob("lib/python*/site-packages")
    names = {path.name for path in packages.iterdir()}
    assert names >= OURS
    assert not names & {"bench", "tests", "web"}
    assert not list((packages / "patchbay").rglob("*.[ch]"))
    assert (packages / "patchbay" / "web" / "patchbay.js").read_bytes() == (ROOT / "web" / "patchbay.js").read_bytes()
    code = "import actors, patchbay, simulator.clips as clips; print(actors.__file__, clips.SHIPPED_CLIP.exists())"
    done = subprocess.run(
        [environment / "bin" / "python", "-c", code], cwd=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(packages / "actors" / "__init__.py"), "True"]


def start_demo(environment: Path, system: System) -> subprocess.Popen[bytes]:
    """Start `patchbay demo` in the stranger's folder."""
    with system.log_path.open("wb") as log:
        return subprocess.Popen(
            [environment / "bin" / "patchbay", "demo"],
            cwd=system.home,
            env=system.environ,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


async def test_the_demo_of_a_stranger(environment: Path, fresh: System) -> None:
    """`patchbay demo`, from a folder of the stranger's: the page, its library, and three calls; Ctrl-C ends all of
    it."""
    process = start_demo(environment, fresh)
    fresh.process = process
    await trio.to_thread.run_sync(fresh.wait_ready)
    for path in ("/", "/patchbay.js", "/console.js"):
        assert (await fresh.get(path))[0] == 200
    calls = await eventually(fresh.calls)
    assert all(call_id.startswith("v3:demo-") for call_id in calls)
    os.killpg(process.pid, signal.SIGINT)
    assert await trio.to_thread.run_sync(lambda: process.wait(30)) == 0
