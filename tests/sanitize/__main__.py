"""`python -m tests.sanitize [PYTEST ARGUMENT…]`: runs the tests that compare C and Python, with the C under
AddressSanitizer and UndefinedBehaviorSanitizer.

The four modules are built in a copy of the sources, so that those which are installed stay as they are. Exit status: 0
nothing found, or no sanitizers on this machine (in CI, that is a failure); 1 something found, with the report.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from patchbay._native.digest import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parents[2]
NATIVE: Final = Path("patchbay/_native")
WARNINGS: Final = ("-O3", "-Wall", "-Wextra")
COPIED: Final = ("actors", "bench", "config", "patchbay", "simulator", "supervisor", "tests", "pyproject.toml")
NOT_COPIED: Final = shutil.ignore_patterns("*.so", "__pycache__", "build", "*.egg-info")
FLAGS: Final = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g"
LIBRARIES: Final = (
    "libasan.so",
    "libubsan.so",
    "libstdc++.so",
)  # the last: or exceptions of ZeroMQ are not intercepted
TESTS: Final = (
    "tests/fanout/test_native.py",
    "tests/fanout/test_talk_native.py",
    "tests/ingest/test_native.py",
    "tests/ingest/test_talk_native.py",
    "tests/patchbay/net/test_poller.py",
    "tests/patchbay/native/test_loader.py",
)
EXAMPLES: Final = "200"  # of each property; some 25 s
NO_SANITIZERS: Final = "the C was not run under AddressSanitizer: it takes gcc with libasan and libubsan"
FAULTY: Final = """
int main(int count, char **words) { char *volatile bytes = __builtin_malloc(8); bytes[7 + count] = words[0][0]; return 0; }
"""


def main(arguments: Sequence[str]) -> int:
    """Build, run the tests, and show what the sanitizers say."""
    libraries = _libraries()
    if libraries is None:
        print(NO_SANITIZERS)
        return 1 if os.environ.get("CI") == "true" else 0
    with tempfile.TemporaryDirectory(prefix="patchbay-sanitize-") as name:
        work = Path(name)
        if not _sees_a_fault(work):
            print("AddressSanitizer does not see a fault that is there: nothing it says of the C can be believed")
            return 1
        _build(work)
        status = _run_tests(work, libraries, list(arguments) or [*TESTS, "-q"])
        reports = sorted(work.glob("report.*"))
        for report in reports:
            print(report.read_text(errors="replace"))
        return 1 if reports or status else 0


def _libraries() -> list[str] | None:
    """Where the libraries are that must be loaded first; None: not all of them are here."""
    if shutil.which("gcc") is None:
        return None
    found = [
        subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in LIBRARIES
    ]
    return found if all(Path(each).is_absolute() for each in found) else None


def _sees_a_fault(work: Path) -> bool:
    """Whether one byte beyond eight is found."""
    source, program = work / "faulty.c", work / "faulty"
    source.write_text(FAULTY)
    subprocess.run(["gcc", *FLAGS.split(), "-o", program, source], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    return done.returncode != 0 and "heap-buffer-overflow" in done.stderr


def _build(work: Path) -> None:
    """Copy the sources, and build each module that the package has, as it says."""
    for name in COPIED:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, work / name, ignore=NOT_COPIED)
        else:
            shutil.copy(path, work / name)
    for source in sorted((ROOT / NATIVE).glob("*.c")):
        built = work / NATIVE / (source.stem + sysconfig.get_config_var("EXT_SUFFIX"))
        command = ["gcc", "-shared", "-fPIC", *WARNINGS, *FLAGS.split()]
        command += ["-I", sysconfig.get_paths()["include"], f'-DPATCHBAY_SOURCE="{digest(source)}"']
        subprocess.run([*command, "-o", built, NATIVE / source.name], cwd=work, check=True)


def _run_tests(work: Path, libraries: Sequence[str], arguments: Sequence[str]) -> int:
    report = work / "report"
    environ = {
        **os.environ,
        "LD_PRELOAD": " ".join(libraries),
        "PYTHONMALLOC": "malloc",  # or Python's own pools hide what is freed and read, or read beyond
        "ASAN_OPTIONS": f"detect_leaks=0:log_path={report}",
        "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={report}",
        "PATCHBAY_TEST_EXAMPLES": os.environ.get("PATCHBAY_TEST_EXAMPLES", EXAMPLES),
    }
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=0", *arguments]
    return subprocess.run(command, cwd=work, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
