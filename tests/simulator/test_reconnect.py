from __future__ import annotations

import pytest

from simulator.reconnect import Ending, Outcome, Reconnecting

DROPPED = Ending(opened=True, code=1006, reason="")
REFUSED = Ending(opened=False, code=None, reason="connection refused")


def test_a_drop_is_connected_again_with_growing_delays() -> None:
    retry = Reconnecting(wanted=True, for_s=30)
    assert retry.after(DROPPED, 0.0, begun=True) == pytest.approx(0.1)
    assert retry.just_lost
    delays = [retry.after(REFUSED, 1.0 + n, begun=True) for n in range(5)]
    assert delays == [pytest.approx(delay) for delay in (0.2, 0.4, 0.8, 1.0, 1.0)]
    assert not retry.just_lost


def test_a_connection_that_works_begins_the_patience_anew() -> None:
    retry = Reconnecting(wanted=True, for_s=5)
    assert retry.after(DROPPED, 0.0, begun=True) == pytest.approx(0.1)
    assert retry.after(DROPPED, 100.0, begun=True) == pytest.approx(0.1)
    assert retry.after(REFUSED, 104.0, begun=True) == pytest.approx(0.2)
    assert retry.after(REFUSED, 105.1, begun=True) == Outcome("failed", "connection refused")


def test_a_stream_that_never_began_has_failed_at_once() -> None:
    assert Reconnecting(wanted=True, for_s=5).after(REFUSED, 0.0, begun=False) == Outcome(
        "failed", "connection refused"
    )


def test_a_drop_is_final_when_reconnecting_is_not_wanted() -> None:
    assert Reconnecting(wanted=False, for_s=5).after(DROPPED, 0.0, begun=True) == Outcome("failed", "1006")


@pytest.mark.parametrize("code", [1000, 1002, 1008, 1009, 4000])
def test_what_the_server_decides_is_accepted(code: int) -> None:
    ending = Ending(opened=True, code=code, reason="superseded")
    assert Reconnecting(wanted=True, for_s=5).after(ending, 0.0, begun=True) == Outcome("closed", f"{code} superseded")
