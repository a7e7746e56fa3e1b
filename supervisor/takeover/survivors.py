"""Adopts processes that have outlived the supervisor before this one: waits for them, and gives them to their
actors."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from patchbay.process import socket_names
from patchbay.process.socket_names import slot_of
from supervisor.actors.launcher import CRASHLOG
from supervisor.actors.process import KernelProcess
from supervisor.procfs import start_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from supervisor.actors.actor import Actor
    from supervisor.configuration.specs import ActorSpec
    from supervisor.history import History
    from supervisor.run_directory import RunDir, SavedProcess
    from supervisor.sockets import Sockets
    from supervisor.takeover.adoption import Hello

# Actors without a supervisor look for one five times a second; one that takes longer than this hangs.
ADOPTION_S: Final = 3.0
POLL_S: Final = 0.05
OWN_SOCKETS: Final = frozenset({socket_names.CONTROL, socket_names.NOTIFY, socket_names.ADOPTION})


class Survivors:
    """Adopts processes, before the start of the others and at any time later."""

    def __init__(self, actors: Mapping[str, Actor], sockets: Sockets, run_dir: RunDir, history: History) -> None:
        self._actors = actors
        self._sockets = sockets
        self._run_dir = run_dir
        self._history = history

    async def gather(self) -> bool:
        """Wait for the processes in the state file, kill those that send no hello in time, and remove stale sockets.

        Returns:
            Whether there is a state file, so that the supervisor before this one did not end in good order.
        """
        state = self._run_dir.read_state()
        if state is None:
            self._run_dir.remove_sockets(keep=OWN_SOCKETS)
            return False
        for instance, generation in state.generations.items():
            if instance in self._actors:
                self._actors[instance].life.last_generation = generation
        expected = [each for each in state.actors if start_time(each.pid) == each.start_time]
        with trio.move_on_after(ADOPTION_S):
            while self._missing(expected):
                # The history tells of an adoption, but of a process that ends nobody does: poll.
                with trio.move_on_after(POLL_S):
                    await self._history.wait_changed()
        for missing in self._missing(expected):
            self._history.record(missing.instance, "it did not say hello: killed", pid=missing.pid)
            with suppress(ProcessLookupError):
                os.kill(missing.pid, signal.SIGKILL)
        self._run_dir.remove_sockets(keep={*OWN_SOCKETS, *self._sockets.files})
        return True

    def adopt(self, hello: Hello, descriptors: Mapping[str, int], connection: socket.socket) -> str:
        """Give a process to its actor, and own its descriptors and its connection; else return why not."""
        actor = self._actors.get(hello.instance)
        if actor is None or actor.processes:
            with suppress(ProcessLookupError):
                os.kill(hello.pid, signal.SIGTERM)  # it gives its connections back and ends
            return f"there is no place for {hello.instance} (pid {hello.pid}): it is to end"
        try:
            process = KernelProcess(
                hello.instance,
                hello.generation,
                hello.pid,
                started_at=trio.current_time(),
                crashlog=descriptors.get(CRASHLOG),
                lifeline=connection,
            )
        except ProcessLookupError:
            return f"{hello.instance} (pid {hello.pid}) has ended"
        if hello.ready:
            process.ready.set()
        for name, descriptor in descriptors.items():
            self._adopt_socket(actor.spec, hello.generation, name, descriptor)
        actor.adopt(process, "adopted: it has run on without a supervisor")
        return ""

    def _adopt_socket(self, spec: ActorSpec, generation: int, name: str, descriptor: int) -> None:
        if name in spec.endpoints:
            name = spec.endpoint_path(slot_of(generation), name)
        elif name == CRASHLOG:
            return
        elif name not in spec.listeners:
            os.close(descriptor)
            return
        self._sockets.adopt(name, socket.socket(fileno=descriptor))

    def _missing(self, expected: Sequence[SavedProcess]) -> list[SavedProcess]:
        known = {process.pid for actor in self._actors.values() for process in actor.processes}
        return [each for each in expected if each.pid not in known and start_time(each.pid) == each.start_time]
