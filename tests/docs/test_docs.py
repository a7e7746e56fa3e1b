"""What the documentation says is what the code says, where that can be compared."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from patchbay.http import head
from patchbay.protocol import errors, events, legacy, query
from tests.docs import settings_table

ROOT = Path(__file__).parents[2]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
PROTOCOL_V1 = (ROOT / "docs" / "protocol-v1.md").read_text(encoding="utf-8")


def test_every_setting_is_in_the_table() -> None:
    """When not: python -m tests.docs.settings_table"""
    page = settings_table.PAGE.read_text(encoding="utf-8")
    assert settings_table.page_with(page, settings_table.table()) == page


def test_every_error_code_is_in_the_protocol() -> None:
    """With their titles, of the first protocol."""
    rows = re.findall(r"\| (2000\d\d) \| `(\w+)` \|", PROTOCOL)
    assert {(int(code), title) for code, title in rows} == errors.OF_LEGACY


def test_every_error_of_v1_is_in_its_protocol() -> None:
    """With their titles, those of talking that it has in common with the first one too."""
    listed = re.findall(r"\b(2000\d\d) (\w+_\w+)", PROTOCOL_V1)
    assert {(int(code), title) for code, title in listed} == errors.OF_V1


@pytest.mark.parametrize(
    ("page", "codes"), [(PROTOCOL, errors.CLOSE_OF_LEGACY), (PROTOCOL_V1, errors.CLOSE_OF_V1 | {1006})]
)
def test_every_close_code_is_in_the_protocols(page: str, codes: frozenset[int]) -> None:
    """And 1006, which is what a client of `patchbay.v1` says of a lost connection."""
    rows = re.findall(r"^\| (\d{4}(?:, \d{4})*) \|", page, re.MULTILINE)
    assert {int(code) for row in rows for code in row.split(", ")} == codes


def test_codes_are_in_one_place() -> None:
    """Whoever sends an error, or closes a WebSocket with a code of ours, takes the code from the table."""
    ours = {value for name, value in vars(errors).items() if name.startswith("CLOSE_") and isinstance(value, int)}
    for path in (*(ROOT / "actors").rglob("*.py"), *(ROOT / "patchbay").rglob("*.py")):
        if path != Path(errors.__file__):
            found = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
            numbers = {value for value in found if type(value) is int}
            assert not numbers & {*range(200_000, 200_100), *(code for code in ours if code >= 4000)}, path


def test_every_event_type_is_in_the_page_of_events() -> None:
    """With its sender and the fields of its payload. What all events of a kind have stands with the first of them."""
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    rows = {
        name: (who, what)
        for name, who, what in re.findall(r"^\| `(\w+\.\w+)` \| ([^|]+) \| ?(.*)\|$", page, re.MULTILINE)
    }
    assert {name: who for name, (who, _) in rows.items()} == {name: each.sender for name, each in events.TABLE.items()}
    shared = {
        **dict.fromkeys(events.OF_STREAM, events.STREAM_STARTED),
        **dict.fromkeys(events.OF_LISTENER, events.LISTENER_JOINED),
    }
    for name, each in events.TABLE.items():
        for field in each.payload:
            assert f"`{field}`" in rows[name][1] + rows[shared.get(field, name)][1], (name, field)


def test_event_types_are_named_in_one_place() -> None:
    """Whoever sends or reads one takes its name from `patchbay.protocol.events`."""
    for path in (*(ROOT / "actors").rglob("*.py"), *(ROOT / "patchbay").rglob("*.py")):
        if path != Path(events.__file__):
            constants = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
            assert not constants & events.TABLE.keys(), path


def test_every_path_and_parameter_is_in_the_protocol() -> None:
    """Of WebSockets, and of the query."""
    for path in head.SOCKET_PATHS:
        assert f"`{path}`" in PROTOCOL
    for name in (*query.CALL_PARAMETERS, *query.STREAM_PARAMETERS, *legacy._TRACKS, *legacy._FORMATS, "since"):
        assert f"`{name}`" in PROTOCOL, name


def test_links_lead_somewhere() -> None:
    """Between pages of this repository."""
    for page in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


PATHS = re.compile(r"`((?:actors|patchbay|supervisor|config|simulator|bench|tests|web|deploy)/[\w./-]*)`")


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))])
def test_every_path_is_there(page: str) -> None:
    """A page sends nobody to a module that has another name now."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [path for path in PATHS.findall(text) if not (ROOT / path).exists()] == []


def test_the_glossary_has_its_words_in_order() -> None:
    """Each word once, where one looks for it; each with a place in the code."""
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| `[\w./-]+` \|$", GLOSSARY, re.MULTILINE)
    words = [word.strip("` ").lower() for word in rows]
    assert words == sorted(set(words))
    assert len(rows) == GLOSSARY.count("\n|") - 2
