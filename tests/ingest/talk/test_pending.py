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
        early.keep(talk(b"a", index), 0)
        early.keep(talk(b"b", index), 0)
    assert early.claim(b"a") == [talk(b"a", index) for index in range(3)]
    assert early.claim(b"a") == []
    assert early
    assert early.claim(b"b")
    assert not early


def test_kept_in_vain() -> None:
    """After its time it comes back, to be refused."""
    early = PendingTalk()
    early.keep(talk(b"a"), 0)
    early.keep(talk(b"b"), 0.1)
    assert early.expired(KEEP_S - 0.01) == []
    assert early.expired(KEEP_S) == [talk(b"a")]
    assert early.expired(KEEP_S + 0.1) == [talk(b"b")]
    assert not early


def test_bounded() -> None:
    """The oldest goes."""
    early = PendingTalk()
    for index in range(KEEP_MAX + 3):
        early.keep(talk(b"a", index), 0)
    assert [piece.talker for piece in early.expired(0)] == [0, 1, 2]
