"""What the supervisor says in the environment."""

from __future__ import annotations

import pytest

from patchbay.process.identity import Identity


def test_as_the_supervisor_says() -> None:
    """Name and slot follow from it."""
    environ = {
        "PATCHBAY_ACTOR_INDEX": "2",
        "PATCHBAY_ACTOR_GENERATION": "4",
        "PATCHBAY_ACTOR_FDS": "public:7,handoff:8,odd:name:9",
        "PATCHBAY_ACTOR_LIFELINE": "5",
    }
    identity = Identity.from_environment("gateway", environ)
    assert (identity.instance, identity.slot, identity.lifeline) == ("gateway.2", "b", 5)
    assert identity.fds == {"public": 7, "handoff": 8, "odd:name": 9}


def test_by_hand() -> None:
    """Without a supervisor: the first of its kind, with nothing passed on."""
    identity = Identity.from_environment("ingest", {})
    assert (identity.instance, identity.slot, identity.lifeline, dict(identity.fds)) == ("ingest.0", "a", None, {})


def test_epochs_grow() -> None:
    """A later process has a higher one."""
    assert Identity("a").epoch < Identity("a").epoch


@pytest.mark.parametrize("name", ["PATCHBAY_ACTOR_INDEX", "PATCHBAY_ACTOR_GENERATION", "PATCHBAY_ACTOR_LIFELINE"])
def test_what_no_supervisor_says(name: str) -> None:
    """Is refused."""
    with pytest.raises(ValueError, match="x"):
        Identity.from_environment("a", {name: "x"})
