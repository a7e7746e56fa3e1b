"""Processes that have outlived a supervisor: which there may be, waiting for them, giving them their place again."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from patchbay.bus.endpoints import slot_of
from supervisor.actors.launcher import CRASHLOG
from supervisor.actors.process import KernelProcess
from supervisor.run_directory import CONTROL_NAME, HELLO_NAME, NOTIFY_NAME, ActorNote, RunDir, start_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from supervisor.actors.actor import Actor
    from supervisor.commands.history import History
    from supervisor.configuration.specs import ActorSpec
    from supervisor.sockets import Sockets
    from supervisor.takeover.adoption import Hello

# Actors without a supervisor look for one five times a second; one that takes longer than this hangs.
ADOPTION_S = 3.0
LOOK_S = 0.05
OURS = frozenset({CONTROL_NAME, NOTIFY_NAME, HELLO_NAME})


class Survivors:
    """Takes them in, before the start and at any time later."""

    def __init__(self, actors: dict[str, Actor], sockets: Sockets, run_dir: RunDir, history: History) -> None:
        self._actors = actors
        self._sockets = sockets
        self._run_dir = run_dir
        self._history = history

    async def gather(self) -> bool:
        """Give them the time to say hello, end those that don't, and sweep up after those that are no more.

        Returns:
            Whether there was a supervisor before us that did not end as it should.
        """
        note = self._run_dir.read_note()
        if note is None:
            self._run_dir.sweep(keep=OURS)
            return False
        for instance, generation in note.generations.items():
            if instance in self._actors:
                self._actors[instance].life.last_generation = generation
        expected = [each for each in note.actors if start_time(each.pid) == each.start_time]
        with trio.move_on_after(ADOPTION_S):
            while self._missing(expected):
                # They come, which the history tells, or they end, which nobody does.
                with trio.move_on_after(LOOK_S):
                    await self._history.change()
        for missing in self._missing(expected):
            self._history.record(missing.instance, "it did not say hello: killed", pid=missing.pid)
            with suppress(ProcessLookupError):
                os.kill(missing.pid, signal.SIGKILL)
        self._run_dir.sweep(keep={*OURS, *self._sockets.files})
        return True

    def take(self, hello: Hello, given: dict[str, int], link: socket.socket) -> str:
        """Give a process its place, and own its descriptors and connection from then on; else return why not."""
        actor = self._actors.get(hello.instance)
        if actor is None or actor.processes:
            # It is to give its connections back and go.
            with suppress(ProcessLookupError):
                os.kill(hello.pid, signal.SIGTERM)
            return f"there is no place for {hello.instance} (pid {hello.pid}): it is to end"
        try:
            process = KernelProcess(
                hello.instance,
                hello.generation,
                hello.pid,
                started_at=trio.current_time(),
                crashlog=given.get(CRASHLOG),
                lifeline=link,
            )
        except ProcessLookupError:
            return f"{hello.instance} (pid {hello.pid}) has ended"
        if hello.ready:
            process.ready.set()
        for name, descriptor in given.items():
            self._hold(actor.spec, hello.generation, name, descriptor)
        actor.adopt(process, "adopted: it has run on without a supervisor")
        return ""

    def _hold(self, spec: ActorSpec, generation: int, name: str, descriptor: int) -> None:
        if name in spec.endpoints:
            name = spec.endpoint_path(slot_of(generation), name)
        elif name == CRASHLOG:
            return
        elif name not in spec.listeners:
            os.close(descriptor)
            return
        self._sockets.hold(name, socket.socket(fileno=descriptor))

    def _missing(self, expected: Sequence[ActorNote]) -> list[ActorNote]:
        known = {process.pid for actor in self._actors.values() for process in actor.processes}
        return [note for note in expected if note.pid not in known and start_time(note.pid) == note.start_time]
