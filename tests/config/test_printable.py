"""Text of others, as it may be shown."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.printable import printable, printable_lines, safe_json

any_text = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße, 你好 🙂", "Grüße, 你好 🙂"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[2J\x9b1m\x7f", "\\x1b[2J\\x9b1m\\x7f"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("\ud83d", "\\ud83d"),
    ],
)
def test_as_it_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(any_text)
def test_whatever_it_is(text: str) -> None:
    """One line, all of it visible; a line feed ends a line where lines are wanted, and nothing else does."""
    assert printable(text).isprintable()
    lines = printable_lines(text, indent="  ").split("\n")
    assert len(lines) == text.count("\n") + 1
    assert all(line.startswith("  ") and line.isprintable() for line in lines)


@given(st.dictionaries(any_text, any_text))
def test_json_says_the_same(said: dict[str, str]) -> None:
    """On one line, by anybody's rule."""
    line = safe_json(json.dumps(said, ensure_ascii=False))
    assert json.loads(line) == said
    assert line.isprintable()
