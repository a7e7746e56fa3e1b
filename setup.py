"""Builds the routines in C, faster where there is a compiler and never required, with the name of their sources in them
(`patchbay._native.digest`). All else is in pyproject.toml."""

from pathlib import Path
from runpy import run_path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

NATIVE = Path("patchbay/_native")
digest = run_path(str(NATIVE / "digest.py"))["digest"]


class BuildExt(build_ext):
    """Builds them always: whether they are newer than their sources says nothing about copies."""

    def build_extension(self, ext: Extension) -> None:
        self.force = True
        ext.define_macros.append(("PATCHBAY_SOURCE", f'"{digest(Path(ext.sources[0]))}"'))
        super().build_extension(ext)


setup(
    cmdclass={"build_ext": BuildExt},
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
