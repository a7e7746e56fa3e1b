"""The state of a link, one transition after the other."""

from __future__ import annotations

from actors.bridge.link_state import SILENT_S, UNUSED_S, LinkState, State


def test_a_welcome_brings_it_up() -> None:
    link = LinkState(0.0)
    assert link.on_time(SILENT_S) is State.CONNECTING
    link.on_message(1.0, is_welcome=True)
    assert link.on_time(1.0 + SILENT_S) is State.UP


def test_other_messages_do_not() -> None:
    link = LinkState(0.0)
    link.on_message(1.0)
    assert link.on_time(1.0) is State.CONNECTING


def test_silence_ends_it() -> None:
    link = LinkState(0.0)
    link.on_message(1.0, is_welcome=True)
    assert link.on_time(1.1 + SILENT_S) is State.LOST
    assert LinkState(0.0).on_time(SILENT_S + 0.1) is State.LOST


def test_a_bridge_that_does_not_know_us() -> None:
    link = LinkState(0.0)
    link.on_message(1.0, is_welcome=True)
    link.on_message(2.0, is_unknown=True)
    assert link.on_time(2.0) is State.CONNECTING


def test_it_is_kept_for_a_while() -> None:
    link = LinkState(0.0)
    assert not link.is_unused(50.0, needed=True)
    assert not link.is_unused(50.0 + UNUSED_S, needed=False)
    assert link.is_unused(50.1 + UNUSED_S, needed=False)
