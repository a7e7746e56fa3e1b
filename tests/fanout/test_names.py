"""What a token names is used in many places: none of them fails for text that no encoding has, or for nothing."""

from __future__ import annotations

import logging
from typing import cast

import pytest

from actors.fanout.audit import Audit
from actors.fanout.v1.connections import V1Connections
from patchbay.bus.event_sender import EventSender
from patchbay.process.log import JsonFormatter
from patchbay.protocol import batches
from patchbay.protocol.lenient_json import encode_any
from tests.fakes.bus import FakeSocket
from tests.fakes.listening import browser_of, entry, listener, started
from tests.fanout.v1.v1_room import CALL, Room, floor

NAMES = ["", " ", "\ud83d", "a\udcff", "\x00\x1b[31m\n", "é" * 500, "ann"]


@pytest.mark.parametrize("sub", NAMES)
async def test_whoever_it_is_may_listen_and_talk(sub: str, caplog: pytest.LogCaptureFixture) -> None:
    """And all that is said of that can be written."""
    room = Room({"sub": sub, "calls": "*", "can": ["listen", "talk"]})
    dealer = FakeSocket()
    audit = Audit(EventSender(dealer, limit=100), lambda number: room.connection)
    room.fanout.calls._audit = audit
    room.fanout.hears(started(CALL))
    assert room.asks("subscribe", call_control_id=CALL, tracks=["inbound"])[0]["type"] == "subscribed"
    room.asks("talk.start", call_control_id=CALL, id=2)
    [claim] = room.said
    assert claim.payload.decode() == sub.encode(errors="replace").decode()
    room.fanout.hears(floor(5, sub="x"))
    assert "talk.started" in [said["type"] for said in room.told()]
    room.asks("playout", call=1, tracks=[])
    told = V1Connections.playouts(cast("V1Connections", type("Clients", (), {"_connections": {5: room.connection}})()))
    assert encode_any({"playout": told})
    assert len(dealer.sent) == 2
    logging.getLogger("test").warning("somebody", extra={"sub": sub})
    assert JsonFormatter("fanout.0").format(caplog.records[-1])


@pytest.mark.parametrize("call", ["\ud83d", "v3:\udcff"])
def test_a_call_that_cannot_be_written_is_nobodys(call: str) -> None:
    """Whoever may hear only that hears nothing, and harms nobody."""
    someone = listener(1, frozenset({call}))
    assert someone.topics() == [batches.digest(call)]
    assert len(someone.topics()[0]) == batches.DIGEST_BYTES
    assert browser_of(someone).handed.state == b""
    assert entry(batches.ACKNOWLEDGED, call)
