"""What a change of the configuration means."""

from __future__ import annotations

import pytest

from config import Settings, load
from supervisor.reload import Change, plan
from supervisor.specs import actors


def change(**after: str) -> Change:
    old = load({})
    new = load({f"PATCHBAY_{key.upper()}": value for key, value in after.items()})
    return plan(old, new, actors(old), actors(new))


def test_nothing() -> None:
    assert change() == Change()


def test_a_setting_of_one_actor() -> None:
    assert change(console__keep_alive_s="5").rolled == ("call_events.0", "console.0")
    assert change(talk__lead_ms="60").rolled == ("ingest.0", "fanout.0")


def test_a_setting_of_the_supervisor_alone() -> None:
    assert change(supervisor__intensity="9") == Change()


def test_a_setting_of_all() -> None:
    assert len(change(log__level="debug").rolled) == len(actors(Settings()))


def test_more_processes() -> None:
    found = change(fanout__processes="2")
    assert [spec.instance for spec in found.added] == ["fanout.1"]
    assert "gateway.0" in found.rolled
    assert "ingest.0" in found.rolled


def test_fewer_processes() -> None:
    old, new = load({"PATCHBAY_INGEST__PROCESSES": "2"}), load({})
    assert plan(old, new, actors(old), actors(new)).removed == ("ingest.1",)


def test_another_port() -> None:
    found = change(port="5007")
    assert found.public
    assert found.rolled == ("gateway.0",)


@pytest.mark.parametrize("key", ["run_dir"])
def test_what_can_not_change(key: str) -> None:
    assert change(**{key: "/elsewhere"}).refused == (key,)
