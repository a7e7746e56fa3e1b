"""The console page's files: short, of this place alone, and within their own content security policy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"
LINES_MAX = 300
MODULES = [WEB / "console.js", *sorted((WEB / "console").glob("*.js"))]
STYLES = [WEB / "console.css", *sorted((WEB / "console").glob("*.css"))]
PAGE = (WEB / "index.html").read_text()


@pytest.mark.parametrize("path", [*MODULES, *STYLES], ids=lambda path: path.name)
def test_files_are_short_and_say_what_they_are(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= LINES_MAX
    assert lines[0].startswith("/*")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_modules_import_from_here_and_write_no_markup(path: Path) -> None:
    text = path.read_text()
    sources = re.findall(r"""(?:from|import\()\s*["']([^"']+)["']""", text)
    assert all(source.startswith(("./", "../")) for source in sources)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)


def test_every_module_and_style_is_used() -> None:
    used = "".join(path.read_text() for path in MODULES) + PAGE
    for path in (*MODULES, *STYLES):
        assert f"/{path.name}" in used or f'"{path.name}"' in used, path.name


def test_the_page_has_nothing_inline() -> None:
    """Its policy would not let it run, or be seen."""
    assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:", PAGE)
    assert re.findall(r"<script[^>]*>([^<]*)</script>", PAGE) == [""]


def test_every_text_that_is_asked_for_is_there() -> None:
    """By the page's attributes, and by modules that name it in so many words."""
    known = set(re.findall(r'^  "?([\w.-]+)"?:', (WEB / "console" / "texts.js").read_text(), re.MULTILINE))
    asked = set(re.findall(r'data-(?:t|label|placeholder)="([^"]+)"', PAGE))
    for path in MODULES:
        asked |= set(re.findall(r'\bt\("([\w.-]+)"', path.read_text()))
    assert asked - known == set()
