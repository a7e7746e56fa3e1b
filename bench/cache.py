"""What the benchmark has to build or install first, kept outside the tree: the generator, Python and Node peers."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
PYTHON_PEERS = ("picows==2.3.1", "uvloop==0.23.0", "websockets==17.4", "trio-websocket==0.12.2", "orjson==3.13.0")
COMPILER_FLAGS = ("-O2", "-Wall")


class Unavailable(Exception):
    """Something can't be had on this machine; the text says why."""


def directory() -> Path:
    """Where it is kept; made if need be."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(base) / "patchbay-bench"
    path.mkdir(parents=True, exist_ok=True)
    return path


def loadgen() -> Path:
    """The compiled generator.

    Raises:
        Unavailable: no C compiler, or it does not like the source.
    """
    return _compiled(HERE / "loadgen.c")


def floor_server() -> Path:
    """The compiled bare relay.

    Raises:
        Unavailable: no C compiler, or it does not like the source.
    """
    return _compiled(HERE / "peers" / "floor.c")


def _compiled(source: Path) -> Path:
    binary = directory() / f"{source.stem}-{_digest(source.read_bytes())}"
    if not binary.exists():
        compiler = _tool("gcc", "cc")
        part = binary.with_suffix(f".{os.getpid()}")
        _run([compiler, *COMPILER_FLAGS, "-o", str(part), str(source)])
        part.rename(binary)
    return binary


def python_of_peers() -> Path:
    """The interpreter of an environment that has the Python peers' libraries.

    Raises:
        Unavailable: they can't be installed.
    """
    home = directory() / f"python-{_digest(' '.join((*PYTHON_PEERS, sys.version)).encode())}"
    if not (home / "complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        _run([str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", *PYTHON_PEERS])
        (home / "complete").touch()
    return home / "bin" / "python"


def node_server() -> tuple[str, Path]:
    """Node, and the script of the `ws` peer beside its modules.

    Raises:
        Unavailable: no Node, or `ws` can't be installed.
    """
    node, npm = _tool("node"), _tool("npm")
    sources = [HERE / "peers" / "node_ws" / name for name in ("package.json", "server.js")]
    home = directory() / f"node-{_digest(b''.join(source.read_bytes() for source in sources))}"
    if not (home / "complete").exists():
        home.mkdir(exist_ok=True)
        for source in sources:
            shutil.copy(source, home)
        _run([npm, "install", "--silent", "--no-fund", "--no-audit"], home)
        (home / "complete").touch()
    return node, home / "server.js"


def _tool(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    raise Unavailable(f"{names[0]} is not installed")


def _run(command: list[str], where: Path | None = None) -> None:
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(command[:4])} … failed: {(done.stderr or done.stdout).strip()[-500:]}")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]
