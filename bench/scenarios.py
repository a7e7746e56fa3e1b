"""The loads that peers are compared under."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.generator import Load

MEASURE_S = 8.0
GROWTH_CALLS = (25, 50, 100, 200, 400)


@dataclass(frozen=True)
class Scenario:
    """A load and by what its price is given.

    Attributes:
        target: the price that Patchbay may have, as a ratio to Node `ws`; None where nothing was promised.
    """

    name: str
    about: str
    load: Load
    per: Literal["delivered", "ingested"] = "delivered"
    target: float | None = None


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("call-centre", "100 calls x 2 tracks x 2 listeners, one track each", Load(100, 2), target=0.6),
        Scenario("hot-call", "1 call x 2 tracks, 500 listeners, one track each", Load(1, 500), target=0.65),
        Scenario("nobody-listening", "300 calls x 2 tracks, no listener", Load(300, 0), "ingested", 0.1),
        Scenario("talk-back", "100 talkers into 100 calls", Load(100, 0, talkers=1, silent=True), target=0.6),
    )
}
GROWTH = tuple(
    Scenario(f"growth-{calls}", f"{calls} calls x 2 tracks x 2 listeners, one track each", Load(calls, 2))
    for calls in GROWTH_CALLS
)
