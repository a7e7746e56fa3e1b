"""Builds the routines in C with the name of their sources in them (`actors.runtime.digest`). All else is in pyproject.toml."""

from pathlib import Path
from runpy import run_path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

digest = run_path("actors/runtime/digest.py")["digest"]


class BuildExt(build_ext):
    """Builds them always: whether they are newer than their sources says nothing about copies."""

    def build_extension(self, ext: Extension) -> None:
        self.force = True
        ext.define_macros.append(("PATCHBAY_SOURCE", f'"{digest(Path(ext.sources[0]))}"'))
        super().build_extension(ext)


setup(cmdclass={"build_ext": BuildExt})
