"""Rights: one table, read by all who check."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config import commands as config_cli
from patchbay.auth.rights import RIGHTS, TABLE, Right, granted, may, may_preempt

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("right", TABLE)
def test_no_right_contains_another(right: Right) -> None:
    """Each alone grants itself and nothing else, in each form that claims have."""
    for claims in ({"can": [right]}, {"can": (right,)}):
        assert [each for each in TABLE if may(claims, each)] == [right]
    assert may_preempt({"can": [right]}) == (right == "admin")


@pytest.mark.parametrize(
    "claims", [{}, {"can": None}, {"can": "listen,talk,events,admin,stream"}, {"can": {"admin": True}}]
)
def test_what_is_no_list_of_rights_grants_nothing(claims: dict[str, object]) -> None:
    assert not any(may(claims, right) for right in TABLE)
    assert granted(claims) == []
    assert not may_preempt(claims)


def test_without_authentication() -> None:
    """Everything, but taking the floor from others."""
    assert all(may(None, right) for right in TABLE)
    assert not may_preempt(None)


def test_the_documentation_quotes_the_table() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    of_calls = {True: ", of the token's calls", False: ""}
    rows = [f"| `{name}` | {grant.what}{of_calls[grant.by_call]} | {grant.without} |" for name, grant in TABLE.items()]
    assert "\n".join(rows) in page, "\n".join(rows)


def test_there_is_no_other_table() -> None:
    """The one that settings know, to make tokens, says the same; nobody else compares rights by himself."""
    assert frozenset(config_cli.RIGHTS) == RIGHTS
    for path in (ROOT / "actors").rglob("*.py"):
        if path.name != "rights.py":
            assert not re.search(r"""["'](listen|talk|events|admin|stream)["'] in """, path.read_text()), path
