"""Talk that is faster than its stream is kept for a moment, and never without a bound."""

from __future__ import annotations

from actors.ingest.talk.pending import KEEP_MAX, KEEP_S, PendingTalk
from patchbay.protocol.batches import TALK, Talk


def talk(call: bytes, index: int = 0) -> Talk:
    return Talk(TALK, 0, index, call, b"")


def test_claimed_in_order() -> None:
    """Each call's by itself, once."""
    early = PendingTalk()
    for index in range(3):
        early.add(talk(b"a", index), 0)
        early.add(talk(b"b", index), 0)
    assert early.take(b"a") == [talk(b"a", index) for index in range(3)]
    assert early.take(b"a") == []
    assert early
    assert early.take(b"b")
    assert not early


def test_kept_in_vain() -> None:
    """After its time it comes back, to be refused."""
    early = PendingTalk()
    early.add(talk(b"a"), 0)
    early.add(talk(b"b"), 0.1)
    assert early.take_expired(KEEP_S - 0.01) == []
    assert early.take_expired(KEEP_S) == [talk(b"a")]
    assert early.take_expired(KEEP_S + 0.1) == [talk(b"b")]
    assert not early


def test_bounded() -> None:
    """The oldest goes."""
    early = PendingTalk()
    for index in range(KEEP_MAX + 3):
        early.add(talk(b"a", index), 0)
    assert [piece.talker for piece in early.take_expired(0)] == [0, 1, 2]
