"""The machine that figures come from, in words."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("trio", "pyzmq", "msgspec", "orjson", "websockets")


def description() -> list[str]:
    """Lines that say what it is, what runs on it, and how busy it was."""
    one, five, _ = os.getloadavg()
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return [
        f"{os.cpu_count()} x {_processor()}, {platform.system()} {platform.release()}, Python {platform.python_version()}",
        f"{libraries}; Node {_node()}",
        f"load average when it began: {one:.1f} (1 min), {five:.1f} (5 min)",
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        return "not installed"
    return subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip().lstrip("v")
