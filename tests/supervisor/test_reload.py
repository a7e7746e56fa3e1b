"""What a change of the configuration means."""

from __future__ import annotations

import pytest

from config import Settings, load
from supervisor.configuration.reload import Change, plan, steps
from supervisor.configuration.specs import actors


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


def test_fewer_come_last() -> None:
    """Whoever places connections knows before a process goes, and all others only afterwards."""
    old = load({"PATCHBAY_INGEST__PROCESSES": "1", "PATCHBAY_FANOUT__PROCESSES": "3"})
    new = load({"PATCHBAY_INGEST__PROCESSES": "2", "PATCHBAY_FANOUT__PROCESSES": "1", "PATCHBAY_PORT": "5007"})
    grown, final = steps(old, new)
    assert (grown.ingest.processes, grown.fanout.processes, grown.port) == (2, 3, 5007)
    assert final == new
    first = plan(old, grown, actors(old), actors(grown))
    assert [spec.instance for spec in first.added] == ["ingest.1"]
    assert (first.removed, first.first) == ((), ())
    assert first.rolled[-1] == "gateway.0"
    last = plan(grown, final, actors(grown), actors(final))
    assert (last.added, last.removed, last.first) == ((), ("fanout.1", "fanout.2"), ("gateway.0",))
    assert "gateway.0" not in last.rolled
    assert steps(old, old) == [old]
