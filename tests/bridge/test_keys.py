"""The key pair of a node's life."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from actors.bridge.keys import FILE, load_keys

if TYPE_CHECKING:
    from pathlib import Path


def test_they_are_made_once(tmp_path: Path) -> None:
    made = load_keys(str(tmp_path))
    assert len(made.public) == len(made.private) == 40
    assert load_keys(str(tmp_path)) == made
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("content", [b"", b"one", b"\xff\xfe \xff", b"a b c"])
def test_a_file_that_can_not_be_read_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert len(load_keys(str(tmp_path)).public) == 40
