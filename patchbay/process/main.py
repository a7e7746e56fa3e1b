"""Runs the process of an actor, from its settings to its exit status: logs, signals, heartbeat, drain.

Knows no actor: it is given a function `run(context)`. Exit status: 0 drained, 78 (EX_CONFIG) settings that can't be
used, any other a fault.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from config import ConfigError, load, transfer
from config.paths import unix_path
from patchbay.bus.sockets import Bus
from patchbay.handover.link import GatewayLink
from patchbay.net import event_loop
from patchbay.process import log as logs
from patchbay.process import socket_names
from patchbay.process.context import Context
from patchbay.process.identity import Identity
from patchbay.process.memory_trim import trim_memory
from patchbay.process.periodic import align_ticks
from patchbay.process.sd_notify import Notifier
from patchbay.process.supervision import follow_supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from config import Settings

logger = logging.getLogger(__name__)

EX_CONFIG = 78
# Frames are freed by reference counting alone, so the collector runs seldom. Each open connection has some 200 objects
# that stay, and audio waits while the collector looks at them: about 3 ms for the first threshold.
GC_THRESHOLD = (5_000, 200, 50)
CARRY_AUDIO = ("ingest", "fanout", "bridge")
PHASES_S = {"ingest": 0.0, "fanout": 0.3}  # see `patchbay.process.periodic`
OTHERS_PHASE_S = 0.6
NEXT_PHASE_S = 0.04  # from one process of an actor to the next
NICENESS = 5  # of actors that carry no audio: when the processor is short, audio goes first, new connections wait
STOP_TIMEOUT_S = 3.0  # from the signal to stop to the end of `run`


def run_actor(name: str, run: Callable[[Context], Awaitable[None]]) -> int:
    """Run one actor until it has drained; return the exit status."""
    try:
        identity = Identity.from_environment(name)
        settings = _settings(identity)
    except (ConfigError, ValueError) as error:
        sys.stderr.write(f"{name}: {error}\n")
        return EX_CONFIG
    crashlog = identity.fds.get("crashlog")
    logs.configure(settings.log, identity.instance)
    logs.capture_python()
    faulthandler.enable(file=sys.stderr if crashlog is None else crashlog)
    if name not in CARRY_AUDIO:
        os.nice(NICENESS)
    gc.freeze()  # the modules loaded by now are never collected
    gc.set_threshold(*GC_THRESHOLD)
    try:
        # Actors that carry audio have callbacks hundreds of times a second: there trio is a guest of the event loop.
        (event_loop.run if name in CARRY_AUDIO else trio.run)(_live, settings, identity, run)
    except BaseException:
        if crashlog is not None:  # the supervisor quotes the last line as the reason
            with suppress(OSError):  # a full disk must not hide it
                os.write(crashlog, traceback.format_exc().encode())
        raise
    return 0


def _settings(identity: Identity) -> Settings:
    """Return the settings that the supervisor has accepted; without a supervisor, those of the configuration."""
    return load(os.environ) if identity.settings is None else transfer.read(identity.settings).settings


async def _live(settings: Settings, identity: Identity, run: Callable[[Context], Awaitable[None]]) -> None:
    align_ticks(PHASES_S.get(identity.name, OTHERS_PHASE_S) + identity.index * NEXT_PHASE_S)
    bus = Bus(settings, identity)
    try:
        link = GatewayLink(unix_path(settings.run_dir, socket_names.HANDOVER), identity)
        context = Context(settings, identity, bus, link, Notifier.from_environment())
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(context.notifier.beat, context.progress.fields, context.is_ready)
                nursery.start_soon(_stop_on_signal, context, signals, nursery.cancel_scope)
                nursery.start_soon(_stop_without_supervisor, context)
                nursery.start_soon(trim_memory, lambda: link.released)
                nursery.start_soon(logs.write_suppressed)
                await run(context)
                nursery.cancel_scope.cancel()
    finally:
        bus.close()
    logger.info("stopped")


async def _stop_on_signal(context: Context, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await signals.__anext__()
    context.notifier.send(STOPPING=1)
    scope.deadline = trio.current_time() + STOP_TIMEOUT_S
    context.draining.set()
    await signals.__anext__()
    scope.cancel()


async def _stop_without_supervisor(context: Context) -> None:
    await follow_supervisor(context, context.is_ready)
    context.draining.set()
