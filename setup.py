"""Builds what pyproject.toml can't say: the routines in C, and the web files that lie outside of any package.

The routines in C are optional: without a compiler, the Python that they are faster than runs. Each holds the digest of
its sources (`patchbay._native.digest`).
"""

import shutil
from pathlib import Path
from runpy import run_path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

NATIVE = Path("patchbay/_native")
digest = run_path(str(NATIVE / "digest.py"))["digest"]


class BuildExt(build_ext):
    """Builds them always: whether they are newer than their sources says nothing about copies."""

    def build_extension(self, ext: Extension) -> None:
        self.force = True
        ext.define_macros.append(("PATCHBAY_SOURCE", f'"{digest(Path(ext.sources[0]))}"'))
        super().build_extension(ext)


class BuildPy(build_py):
    """Puts the web files into the package that serves them; a checkout serves them from where they are."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "patchbay", "web")
            shutil.copytree("web", target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))


setup(
    cmdclass={"build_ext": BuildExt, "build_py": BuildPy},
    ext_modules=[
        Extension(
            f"patchbay._native.{source.stem}",
            sources=[str(source)],
            depends=[str(header) for header in NATIVE.glob("*.h")],
            extra_compile_args=["-O3", "-Wall", "-Wextra"],
            optional=True,
        )
        for source in sorted(NATIVE.glob("*.c"))
    ],
)
