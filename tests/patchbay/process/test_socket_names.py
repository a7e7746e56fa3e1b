"""The names of sockets in the run directory, and which generation has which."""

from __future__ import annotations

from config import load
from patchbay.process.socket_names import endpoint, endpoints, other_slot, slot_of


def test_generations_alternate_between_the_slots() -> None:
    """Odd generations have slot a, even ones slot b."""
    assert [slot_of(generation) for generation in (1, 2, 3)] == ["a", "b", "a"]
    assert [other_slot(slot_of(generation)) for generation in (1, 2, 3)] == ["b", "a", "b"]


def test_the_name_of_a_socket() -> None:
    """A socket's name has actor, index, slot and endpoint."""
    assert endpoint("ingest", 0, "a", "pub") == "ingest.0.a.pub"


def test_the_sockets_of_an_actor() -> None:
    """An actor has a socket in each slot for each process; an actor without a setting for that is one process."""
    settings = load({"PATCHBAY_INGEST__PROCESSES": "2"})
    assert list(endpoints(settings, "ingest", "pub")) == [
        "ingest.0.a.pub", "ingest.0.b.pub", "ingest.1.a.pub", "ingest.1.b.pub",
    ]  # fmt: skip
    assert list(endpoints(settings, "console", "pub")) == ["console.0.a.pub", "console.0.b.pub"]
