"""`python -m tests.conformance.supervisor`: the supervisor as it is, but that its actors echo."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING
from unittest import mock

from supervisor import main
from supervisor.commands import cli
from supervisor.configuration import specs

if TYPE_CHECKING:
    from config import Settings
    from supervisor.configuration.specs import ActorSpec


def echoing(settings: Settings) -> tuple[ActorSpec, ...]:
    """The specs of all processes; those that open WebSockets are the echoing ones."""
    return tuple(
        replace(spec, command=(sys.executable, "-m", "tests.conformance.actor", spec.name))
        for spec in specs.actors(settings)
    )


if __name__ == "__main__":
    mock.patch.multiple(main, actors=echoing).start()
    sys.exit(cli.main(sys.argv[1:]))
