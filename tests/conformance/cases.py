"""Runs Autobahn's cases against one address, and says what to make of each result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kosoku import FailureError, run_fuzzingclient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kosoku._kosoku import CaseResult

# No compression is offered, so there is none to be tested.
COMPRESSION = ("12.*", "13.*")
AT_ONCE = 4
FINE = ("OK", "INFORMATIONAL")  # NON-STRICT is not enough


@dataclass(frozen=True)
class Outcome:
    """Of one case. `behavior` and `close` are Autobahn's words."""

    case: str
    behavior: str
    close: str
    about: str

    @property
    def is_strict(self) -> bool:
        """Whether it is a pass without reservation."""
        return self.behavior in FINE and self.close in FINE


async def run_cases(url: str, cases: Sequence[str] | None) -> list[Outcome]:
    """Run these cases (all but those of compression, without any). Under asyncio."""
    wanted = None if cases is None else list(cases)
    try:
        results = await run_fuzzingclient(url, wanted, list(COMPRESSION), AT_ONCE)
    except FailureError as failure:
        results = failure.results
    return [_outcome(result) for result in results]


def _outcome(result: CaseResult) -> Outcome:
    about = f"{result.result} {result.result_close} (code {result.remote_close_code})"
    return Outcome(result.case_id, result.behavior.value, result.behavior_close.value, about)
