"""The browser library's own tests under Node, and TypeScript's opinion of its JSDoc."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.web import typescript

HERE = Path(__file__).parent
WEB = HERE.parents[1] / "web"
NODE_MIN_MAJOR = 20
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
    assert typescript.check(HERE / "tsconfig.json") == ""


@needs_npm
@pytest.mark.slow
def test_the_declarations_are_those_of_the_code() -> None:
    """If not: python -m tests.web.typescript"""
    written = {str(path.relative_to(typescript.TYPES)): path.read_text() for path in typescript.TYPES.rglob("*.d.ts")}
    assert written == typescript.declarations()


@needs_npm
@pytest.mark.slow
def test_the_package_has_all_its_files_and_nothing_else(tmp_path: Path) -> None:
    command = ("npm", "pack", "--dry-run", "--json", "--cache", str(tmp_path), str(WEB))
    packed = json.loads(run(*command, timeout_s=NPM_TIMEOUT_S).stdout)
    package = packed[0] if isinstance(packed, list) else next(iter(packed.values()))
    files = {entry["path"] for entry in package["files"]}
    ours = {str(path.relative_to(WEB)) for path in (WEB / "patchbay").rglob("*") if path.is_file()}
    assert ours | {"patchbay.js", "element.js", "package.json", "README.md", "types/patchbay.d.ts"} <= files
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
