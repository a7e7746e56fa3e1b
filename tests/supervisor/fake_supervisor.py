"""The real supervisor with fake actors: `python fake_supervisor.py [COMMAND]`, as `python -m supervisor`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from supervisor.configuration import specs

if TYPE_CHECKING:
    from config import Settings
    from supervisor.configuration.specs import ActorSpec

real_actors = specs.actors


def fake_actors(settings: Settings) -> tuple[ActorSpec, ...]:
    program = str(Path(__file__).with_name("fake_actor.py"))
    command = (sys.executable, "-S", program)
    return tuple(
        replace(spec, command=(*command, spec.name), spare=(*command, "spare") if spec.spare else ())
        for spec in real_actors(settings)
    )


if __name__ == "__main__":
    specs.actors = fake_actors
    from supervisor.commands.cli import main

    sys.exit(main(sys.argv[1:]))
