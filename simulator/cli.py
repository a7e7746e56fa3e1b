"""`python -m simulator`: reads the options, runs the calls, prints what happens, stops on a signal."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from config import ConfigError, load
from config.printable import printable_lines
from simulator.arguments import call_parser, listen_parser
from simulator.call import SimulatedCall
from simulator.clips import ClipError
from simulator.fleet import Fleet, summary
from simulator.listen import audio_file, listen, listen_url
from simulator.profile import Profile, ProfileError, stream_url
from simulator.rest import serve_api
from simulator.signing import SigningError

if TYPE_CHECKING:
    from collections.abc import Sequence

STOP_TIMEOUT_S = 0.9  # from the signal to the end of the process, whatever the peer does
USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0 done or stopped, 1 a call failed, 2 wrong options or settings."""
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        if given[:1] == ["listen"]:
            return _listen(given[1:])
        arguments = call_parser().parse_args(given)
        profile = Profile(arguments, load(os.environ))
        return trio.run(_place_calls, profile, arguments.report)
    except (ConfigError, ProfileError, ClipError, SigningError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return USAGE_ERROR


def say(text: str) -> None:
    """Print a line of progress; when nobody reads any more, go on without."""
    try:
        print(f"{time.strftime('%H:%M:%S')} {printable_lines(text)}", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _place_calls(profile: Profile, report_s: float) -> int:
    def make(index: int) -> SimulatedCall:
        options = profile.options(index)
        identity = options.identity
        name = f"call {index + 1} {identity.from_number} → {identity.to_number}"
        codec = f"{options.codec.name}, {' and '.join(options.tracks)}"
        return SimulatedCall(options, lambda text: say(f"{name}: {text} ({codec}, {identity.call_control_id})"))

    fleet = Fleet(make, calls=profile.calls, stagger_s=profile.stagger_s, keep=profile.keep, say=say)
    fleet.ready_url = profile.ready_url
    if profile.is_demo:
        _explain(profile)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, fleet, nursery.cancel_scope)
        nursery.start_soon(_report, fleet, report_s)
        if profile.api_port is not None:
            await nursery.start(partial(serve_api, profile.deliveries, port=profile.api_port, api_key=profile.api_key))
        await fleet.run()
        nursery.cancel_scope.cancel()
    return 1 if fleet.failed and not fleet.stopping else 0


async def _stop_on_signal(fleet: Fleet, scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            if fleet.stopping:
                scope.cancel()
            scope.deadline = trio.current_time() + STOP_TIMEOUT_S
            fleet.stop()


async def _report(fleet: Fleet, period_s: float) -> None:
    while True:
        await trio.sleep(period_s)
        calls = list(fleet.live.values())
        if calls:
            up = sum(call.connected for call in calls)
            say(f"{up} of {len(calls)} calls connected: {summary(calls)}")


def _explain(profile: Profile) -> None:
    """Where to look and listen."""
    python = Path(sys.executable)
    command = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    say(f"{profile.calls} simulated calls, until Ctrl-C. What is said into a call comes back on its outbound track.")
    say(f"  look:   {profile.page_url}")
    say(f"  listen: {command} -m simulator listen {profile.call_control_id(0)} --seconds 10 --out call.wav")
    say(
        f"  live:   {command} -m simulator listen {profile.call_control_id(0)} --out - | aplay -q -t raw -f MU_LAW -r 8000"
    )


def _listen(argv: list[str]) -> int:
    arguments = listen_parser().parse_args(argv)
    url = listen_url(
        stream_url(arguments.url, load(os.environ), "/frontend-audio"),
        call_control_id=arguments.call_control_id,
        track=arguments.track,
        token=arguments.token,
    )
    tell = partial(print, file=sys.stderr)
    size, ending = 0, None
    try:
        with audio_file(arguments.out) as write:
            size, ending = trio.run(listen, url, write, tell, arguments.seconds)
    except (KeyboardInterrupt, BrokenPipeError):
        return 0
    except OSError as error:
        tell(f"simulator: {arguments.out}: {error.strerror}")
        return USAGE_ERROR
    if ending is not None:
        tell(f"the connection ended: {ending.text}")
    tell(f"{size / 8000:.1f} s of audio heard")
    return 0 if size else 1
