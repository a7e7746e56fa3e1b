"""Peers with the smallest tokens, and with none, beside a call that has nothing to do with them: no frame of it is
lost, and no process dies. `python -m bench hostile` does the same with more of them, and looks at the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import trio

from bench.hostile.guarded import GUARDED
from bench.hostile.kinds import Target
from bench.hostile.tokens import SECRET, STREAM_HEADER, STREAM_TOKEN, token
from tests.e2e.calls import media, new_call_id, numbered
from tests.e2e.clients import TIMEOUT_S, client
from tests.e2e.guarded import guarded_system

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.hostile.kinds import Attack
    from tests.e2e.clients import Client
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
FRAMES_MIN, FRAMES_MAX = 50, 3_000
FRAME_S = 0.02
ATTACK_MAX_S = 5.0

# Kinds: connections of each, and how much of what each says.
KINDS = {
    "odd tokens": (10, 1.0),
    "dripped frames": (10, 0.05),
    "webhooks without their last byte": (40, 1.0),
    "answers that are not read": (10, 1.0),
    "many types of events": (5, 1.0),
}


@pytest.fixture(scope="module")
def attacked() -> Iterator[System]:
    """A listener may be late here, since the machine may be busy: that must not count as a loss. And who says too much
    may be slow to say it."""
    settings = {"AUTH__JWT_SECRET": SECRET, "TELNYX__STREAM_TOKEN": STREAM_TOKEN, "FANOUT__QUEUE_MS": "30000"}
    limits = {"FANOUT__TOKEN_MESSAGES_PER_S": "500", "FANOUT__TOKEN_MESSAGES_BURST": "5000"}
    streams = {"GATEWAY__MAX_STREAMS": "40", "GATEWAY__STREAMS_PER_TOKEN": "40"}
    with guarded_system(**settings, **limits, **streams) as system:
        yield system


@pytest.mark.parametrize("name", KINDS)
async def test_no_call_pays_for_another(attacked: System, name: str) -> None:
    """Whatever the others do."""
    connections, scale = KINDS[name]
    await beside_a_call(attacked, GUARDED[name].attack, connections, scale)


def victim_path(call: str) -> str:
    """To hear the call that is not attacked."""
    return f"/audio-stream?call_control_id={quote(call)}&token={token('victim', 'listen', calls=(call,))}"


def start_frame(call: str) -> dict[str, object]:
    """How Telnyx begins that call."""
    media_format = {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
    return {"event": "start", "stream_id": "S", "start": {"call_control_id": call, "media_format": media_format}}


async def beside_a_call(
    system: System, attack: Attack, connections: int, scale: float, enough: Callable[[list[str]], bool] | None = None
) -> list[str]:
    """Run an attack beside a call that is listened to, and look what that call has noticed; return what the attackers
    were told. It goes on for ATTACK_MAX_S at most, or, however long a busy machine takes for that, until `enough` was
    told."""
    actors, logged = {actor["name"]: actor["pid"] for actor in await system.actors()}, len(system.log())
    # A call of its own: a listener gets the last frames of a call that an earlier test has just ended.
    call, target, told = new_call_id(), Target(system.port, scale=scale), list[str]()
    async with (
        client(system, victim_path(call)) as listener,
        client(system, "/audio-stream", headers={STREAM_HEADER: STREAM_TOKEN}) as telnyx,
    ):
        await listener.until(lambda: listener.of("connected"))
        await telnyx.send(start_frame(call))
        over = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_attack, target, attack, connections, told, over, enough)
            sent = await _speak(telnyx, over)
        await listener.until(lambda: len(listener.audio) >= len(sent))
        assert listener.audio == sent
    assert {actor["name"]: actor["pid"] for actor in await system.actors()} == actors
    assert "Traceback" not in system.log()[logged:]
    return told


async def _attack(
    target: Target,
    attack: Attack,
    connections: int,
    told: list[str],
    over: trio.Event,
    enough: Callable[[list[str]], bool] | None,
) -> None:
    async def one(number: int) -> None:
        try:
            told.append(await attack(target, number))
        except (trio.BrokenResourceError, OSError):
            told.append("refused")
        if enough is not None and enough(told):
            nursery.cancel_scope.cancel()

    with trio.move_on_after(ATTACK_MAX_S if enough is None else TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            for number in range(connections):
                nursery.start_soon(one, number)
    over.set()


async def _speak(telnyx: Client, over: trio.Event) -> list[bytes]:
    """Say frames at the pace of a call until the attack is over; return them."""
    frames = list(numbered(1, FRAMES_MAX).frames)
    for chunk, frame in enumerate(frames):
        if chunk >= FRAMES_MIN and over.is_set():
            return frames[:chunk]
        await telnyx.send(media(chunk, frame))
        await trio.sleep(FRAME_S)
    return frames


async def test_telnyx_has_a_slot_when_others_take_all(attacked: System) -> None:
    """Those who come with another token are refused, and told why."""

    def enough(told: list[str]) -> bool:
        return told.count("503") >= 75 and told.count("Telnyx 101") == 2

    assert enough(await beside_a_call(attacked, GUARDED["silent streams"].attack, 100, 1.0, enough))


async def test_messages_of_one_token_are_too_many(attacked: System) -> None:
    """However many connections say them."""
    attack = GUARDED["pings of one token"].attack
    assert "4506" in await beside_a_call(attacked, attack, 10, 0.3, lambda told: "4506" in told)
