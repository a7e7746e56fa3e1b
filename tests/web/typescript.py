"""TypeScript, for what it thinks of the library's JSDoc, and for the declarations that users of TypeScript get.

`python -m tests.web.typescript` writes those, web/types, anew.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
WEB = HERE.parents[1] / "web"
TYPES = WEB / "types"
TYPESCRIPT = "typescript@5.9.3"
TIMEOUT_S = 120


def compiler() -> Path:
    """Where it is; it is installed when it was never needed before. Raises RuntimeError when that can't be done."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "patchbay-tests" / TYPESCRIPT
    found = cache / "node_modules" / ".bin" / "tsc"
    if not found.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(cache), TYPESCRIPT]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if not found.exists():
            raise RuntimeError(f"TypeScript can't be installed: {done.stderr.strip()[-200:]}")
    return found


def check(project: Path) -> str:
    """What it finds wrong; "" for nothing."""
    command = [str(compiler()), "-p", str(project)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return done.stdout if done.returncode else ""


def declarations() -> dict[str, str]:
    """What web/types is to hold, by path."""
    with tempfile.TemporaryDirectory() as home:
        made = Path(home) / "types"
        options = {"noEmit": False, "declaration": True, "emitDeclarationOnly": True, "removeComments": False}
        project = {
            "extends": str(HERE / "tsconfig.json"),
            "compilerOptions": {**options, "outDir": str(made), "rootDir": str(WEB)},
            "include": [],
            "files": [str(WEB / "patchbay.js"), str(WEB / "element.js")],
        }
        path = Path(home) / "tsconfig.json"
        path.write_text(json.dumps(project))
        wrong = check(path)
        assert not wrong, wrong
        return {str(file.relative_to(made)): file.read_text() for file in sorted(made.rglob("*.d.ts"))}


if __name__ == "__main__":
    shutil.rmtree(TYPES, ignore_errors=True)
    for name, text in declarations().items():
        (TYPES / name).parent.mkdir(parents=True, exist_ok=True)
        (TYPES / name).write_text(text)
