"""What is started, and in which order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import Settings, load
from patchbay.process.socket_names import slot_of
from supervisor.configuration.specs import ActorSpec, SpecError, actors, levels, matching, next_generation


def spec(name: str, *after: str, index: int = 0, restart_with: tuple[str, ...] = ()) -> ActorSpec:
    return ActorSpec(name, index, command=(), after=after, restart_with=restart_with)


def names(order: list[list[ActorSpec]]) -> list[set[str]]:
    return [{each.instance for each in level} for level in order]


def test_the_order_of_the_actors() -> None:
    settings = load({"PATCHBAY_INGEST__PROCESSES": "2"})
    assert names(levels(actors(settings))) == [
        {"call_events.0"},
        {"ingest.0", "ingest.1", "fanout.0", "console.0"},
        {"gateway.0"},
    ]


def test_nothing_restarts_with_another_by_default() -> None:
    assert not any(each.restart_with for each in actors(Settings()))


def test_the_sections_that_an_actor_reads_exist() -> None:
    from supervisor.configuration.reload import setting

    for each in actors(Settings()):
        for path in each.sections:
            setting(Settings(), path)


@pytest.mark.parametrize(
    ("specs", "complaint"),
    [
        ([spec("a", "b")], "there is no other actor 'b'"),
        ([spec("a", "a")], "there is no other actor 'a'"),
        ([spec("a", restart_with=("b",))], "there is no other actor 'b'"),
        ([spec("a", "b"), spec("b", "a")], "actors wait for each other: "),
        (
            [spec("a", restart_with=("b",)), spec("b", restart_with=("a",))],
            "actors restart each other: ",
        ),
        ([spec("a"), spec("a")], "two of one actor"),
    ],
)
def test_specs_that_contradict_themselves(specs: list[ActorSpec], complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        levels(specs)


def test_a_name_means_all_its_processes() -> None:
    specs = [spec("a"), spec("a", index=1), spec("b")]
    assert matching(specs, "a") == specs[:2]
    assert matching(specs, "a.1") == specs[1:2]
    assert matching(specs, "c") == []


@given(st.integers(0, 1000), st.none() | st.integers(1, 1000))
def test_two_generations_never_share_a_slot(last: int, running: int | None) -> None:
    following = next_generation(last, running)
    assert following > last
    assert running is None or slot_of(following) != slot_of(running)


def test_endpoint_paths() -> None:
    assert spec("ingest").endpoint_path("a", "pub") == "ingest.0.a.pub"
