"""The browser library's own tests under Node, and TypeScript's opinion of its JSDoc."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
WEB = HERE.parents[1] / "web"
NODE_MIN_MAJOR = 20
TYPESCRIPT = "typescript@5.9.3"
LINES_MAX = 300
NODE_TIMEOUT_S = 120
NPM_TIMEOUT_S = 120

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not there")
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not there")


def run(*command: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


@needs_node
@pytest.mark.slow
def test_under_node() -> None:
    version = run("node", "--version", timeout_s=NODE_TIMEOUT_S).stdout
    if int(version.lstrip("v").split(".")[0]) < NODE_MIN_MAJOR:
        pytest.skip(f"node {version.strip()} is too old")
    tests = [str(path) for path in sorted(HERE.glob("*.test.js"))]
    assert tests
    done = run("node", "--test", *tests, timeout_s=NODE_TIMEOUT_S)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


@needs_npm
@pytest.mark.slow
def test_types() -> None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "patchbay-tests" / TYPESCRIPT
    compiler = cache / "node_modules" / ".bin" / "tsc"
    if not compiler.exists():
        cache.mkdir(parents=True, exist_ok=True)
        done = run(
            "npm", "install", "--no-audit", "--no-fund", "--prefix", str(cache), TYPESCRIPT, timeout_s=NPM_TIMEOUT_S
        )
        if not compiler.exists():
            pytest.skip(f"TypeScript can't be installed: {done.stderr.strip()[-200:]}")
    done = run(str(compiler), "-p", str(HERE / "tsconfig.json"), timeout_s=NODE_TIMEOUT_S)
    assert done.returncode == 0, done.stdout


@needs_npm
@pytest.mark.slow
def test_the_package_has_all_its_files_and_nothing_else(tmp_path: Path) -> None:
    command = ("npm", "pack", "--dry-run", "--json", "--cache", str(tmp_path), str(WEB))
    packed = json.loads(run(*command, timeout_s=NPM_TIMEOUT_S).stdout)
    package = packed[0] if isinstance(packed, list) else next(iter(packed.values()))
    files = {entry["path"] for entry in package["files"]}
    ours = {str(path.relative_to(WEB)) for path in (WEB / "patchbay").rglob("*") if path.is_file()}
    assert ours | {"patchbay.js", "element.js", "package.json", "README.md"} <= files
    assert not [name for name in files if name.startswith(("console", "index"))]


def test_files_are_short_and_import_nothing_from_elsewhere() -> None:
    for path in [WEB / "patchbay.js", WEB / "element.js", *(WEB / "patchbay").rglob("*.js")]:
        lines = path.read_text().splitlines()
        assert len(lines) <= LINES_MAX, path
        assert lines[0].startswith("/**"), f"{path} does not say what it is"
        sources = [
            line.split(" from ")[1]
            for line in lines
            if line.startswith(("import ", "} from", "export {")) and " from " in line
        ]
        assert all(source.startswith(('"./', '"../')) for source in sources), path
