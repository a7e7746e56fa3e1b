"""What the documentation says is what the code says, where that can be compared."""

from __future__ import annotations

import re
from pathlib import Path

from patchbay.http import head, query
from patchbay.protocol import legacy
from patchbay.websocket import frames
from tests.docs import settings_table

ROOT = Path(__file__).parents[2]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
PROTOCOL_V1 = (ROOT / "docs" / "protocol-v1.md").read_text(encoding="utf-8")
FANOUT = ROOT / "actors" / "fanout"
SENDERS = (
    FANOUT / "legacy" / "talker.py",
    FANOUT / "talk_errors.py",
    FANOUT / "talk_losses.py",
    FANOUT / "calls" / "subscriber.py",
    ROOT / "patchbay" / "auth" / "session.py",
)
ERROR_CODE = re.compile(r"\b2000\d\d\b")


def test_every_setting_is_in_the_table() -> None:
    """When not: python -m tests.docs.settings_table"""
    page = settings_table.PAGE.read_text(encoding="utf-8")
    assert settings_table.page_with(page, settings_table.table()) == page


def test_every_error_code_is_in_the_protocol() -> None:
    """With their titles, of those who send errors to browsers."""
    source = "".join(path.read_text(encoding="utf-8") for path in SENDERS)
    pairs = {
        *re.findall(r'\((2000\d\d), "(\w+)"', source),
        *((code, title) for title, code in re.findall(r'"(\w+)": (2000\d\d)', source)),
    }
    assert {code for code, _ in pairs} == set(ERROR_CODE.findall(source))
    assert set(re.findall(r"\| (2000\d\d) \| `(\w+)` \|", PROTOCOL)) == pairs


def test_every_close_code_is_in_the_protocols() -> None:
    """Those that `patchbay.websocket.frames` names, and what a client says of a lost connection."""
    named = {value for name, value in vars(frames).items() if name.startswith("CLOSE_")}
    rows = re.findall(r"^\| (\d{4}(?:, \d{4})*) \|", PROTOCOL + PROTOCOL_V1, re.MULTILINE)
    listed = {int(code) for row in rows for code in row.split(", ")}
    assert listed == named | {1006}


def test_every_error_of_v1_is_in_its_protocol() -> None:
    """Those of its own, and those of talking that it has in common with the first one."""
    names = ("v1/requests.py", "v1/talk.py", "talk_losses.py")
    paths = [FANOUT / name for name in names]
    source = "".join(path.read_text(encoding="utf-8") for path in paths)
    pairs = re.findall(r'\((2000\d\d), "(\w+)"', source)
    assert {code for code, _ in pairs} == set(ERROR_CODE.findall(source))
    for code, title in (*pairs, ("200001", "no_live_call"), ("200004", "call_unreachable"), ("200005", "floor_taken")):
        assert f"{code} {title}" in PROTOCOL_V1


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
