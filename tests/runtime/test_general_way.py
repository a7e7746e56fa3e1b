"""What trio-websocket is given at a time: so much that it goes on, and so little that others have their turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import trio

from actors.runtime.general_way import LONG_PIECE_BYTES, PIECE_BYTES, PIECE_FRAMES, GeneralWay
from actors.runtime.nothing import nothing
from actors.runtime.outbox import Outbox
from tests.fakes.connections import FakeHanded, tcp_pair

if TYPE_CHECKING:
    from actors.runtime.handed import Handed


async def test_pieces() -> None:
    """A long frame in large pieces; many small ones few at a time, and never a part of one."""
    sock, client = tcp_pair()
    handed = cast("Handed", FakeHanded(sock, b"head", kind="ws"))
    way = GeneralWay(handed, Outbox(sock, lossy_s=1), trio.Lock(), on_room=nothing, on_close=nothing)
    frames = [bytes(40_000), *[b"tiny"] * (PIECE_FRAMES + 1), *[bytes(PIECE_BYTES - 1)] * 2]
    for frame in frames:
        way.put(frame)
    with trio.fail_after(2):
        got = [len(await way.receive_some()) for _ in range(7)]
    assert got[:3] == [LONG_PIECE_BYTES, LONG_PIECE_BYTES, 40_000 - 2 * LONG_PIECE_BYTES]
    assert 0 < got[3] <= len(b"tiny") * PIECE_FRAMES
    assert got[3] % len(b"tiny") == 0
    assert got[3] + got[4] == len(b"tiny") * (PIECE_FRAMES + 1)
    assert got[5:] == [PIECE_BYTES - 1] * 2
    sock.close()
    client.close()
