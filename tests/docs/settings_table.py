"""The settings as a table for docs/operations.md, made of config/settings.py and its comments.

`python -m tests.docs.settings_table` writes it into the page.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import config.settings
from config.settings import Section, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(config.settings.__file__)
PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
BEGIN = "<!-- settings: written by python -m tests.docs.settings_table -->\n"
END = "<!-- end of settings -->\n"
NO_DEFAULT = "none"


def table() -> str:
    """All settings in Markdown, a table for each section."""
    source = SOURCE.read_text(encoding="utf-8")
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    defaults = Settings()
    sections = {name: getattr(defaults, name) for name in Settings.__struct_fields__}
    parts = [_section("", defaults, classes, source)]
    parts += [_section(name, value, classes, source) for name, value in sections.items() if isinstance(value, Section)]
    return "\n".join(parts)


def page_with(text: str, made: str) -> str:
    """The page with a new table in it."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


def _section(name: str, values: Section, classes: dict[str, ast.ClassDef], source: str) -> str:
    node = classes[type(values).__name__]
    heading = [f"**`[{name}]`** {ast.get_docstring(node)}", ""] if name else []
    rows = [
        _row(name, key, default or _shown(getattr(values, key)), text) for key, default, text in _keys(node, source)
    ]
    return "\n".join([*heading, "| variable | default | meaning |", "|---|---|---|", *rows, ""])


def _keys(node: ast.ClassDef, source: str) -> Iterator[tuple[str, str, str]]:
    """The settings of a section, without those that are sections themselves: name, default, what it means.

    A default that is found by a function on the machine at hand is told by what the function says of itself.
    """
    lines = source.splitlines()
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        if ast.unparse(item.annotation).endswith("Settings"):
            continue
        meaning = _comment(lines[(item.end_lineno or item.lineno) - 1])
        made_by = re.search(r"default_factory=(\w+)", ast.unparse(item))
        default = str(getattr(config.settings, made_by[1]).__doc__).rstrip(".") if made_by else ""
        yield item.target.id, default, meaning


def _comment(line: str) -> str:
    found = re.search(r"  # (.*)$", line)
    return found[1] if found else ""


def _row(section: str, key: str, default: str, comment: str) -> str:
    variable = "__".join(
        part.upper()
        for part in ("patchbay_" + section if section else f"patchbay_{key}", key if section else "")
        if part
    )
    return f"| `{variable}` | {default} | {comment[:1].upper()}{comment[1:]} |".replace("  |", " |")


def _shown(default: object) -> str:
    if default is None or default in ("", ()):
        return NO_DEFAULT
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple):
        return f"`{','.join(map(str, default))}`"
    return f"`{default:g}`" if isinstance(default, float) and default < 1_000_000 else f"`{default}`"


if __name__ == "__main__":
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), table()), encoding="utf-8")
