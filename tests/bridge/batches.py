"""Batches as ingest processes publish them."""

from __future__ import annotations

from patchbay.protocol import batches

EPOCH = 77


def audio(call: bytes, stream: int, position: int, payload: bytes = b"\x00" * 160) -> bytes:
    """One frame."""
    return batches.pack_entry(batches.AUDIO, 0, 1, position, 0, 0, len(payload), 0, stream, call) + payload


def batch(index: int, *entries: bytes, sequence: int = 1, epoch: int = EPOCH) -> bytes:
    """One batch for a fan-out."""
    return batches.pack_batch(index, batches.Batch(0, "a", epoch, sequence, 0), entries)


def entries_of(message: bytes) -> list[batches.Entry]:
    """Take a batch apart."""
    _, at = batches.unpack_batch(message)
    found = []
    while at < len(message):
        found.append(batches.entry_at(message, at))
        at += batches.ENTRY_BYTES + found[-1].length
    return found
