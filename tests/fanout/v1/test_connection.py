"""A client of `patchbay.v1`: what it asks for, what it is told, and that a restart changes nothing for it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from actors.fanout.v1.subscriptions import AUDIO_CALLS_MAX
from patchbay.protocol import batches
from patchbay.protocol.v1 import frames
from tests.fakes.listening import entry, spoken, started
from tests.fakes.telnyx import start, stop
from tests.fanout.v1.v1_room import CALL, Room, floor

BOTH = ["inbound", "outbound"]
STREAM = 1_795_000_000_000_000_000
PIECE = b"\x55" * 160


def kinds(told: list[dict[str, Any]]) -> list[str]:
    return [each["type"] for each in told]


def live(call: str = CALL, stream: int = STREAM) -> bytes:
    return started(call, stream=stream)


def said(chunk: int, *, track: int = 0, call: str = CALL, stream: int = STREAM, payload: bytes = PIECE) -> bytes:
    return spoken(chunk, call, stream=stream, track=track, payload=payload)


@pytest.fixture
def room() -> Room:
    return Room()


def test_from_waiting_to_the_end(room: Room) -> None:
    """Each step is told, with the call's number."""
    assert room.asks("subscribe", call_control_id=CALL, tracks=BOTH, id=9) == [
        {"type": "subscribed", "id": 9, "call": 1, "call_control_id": CALL, "state": "waiting"}
    ]
    room.fanout.hears(live(), said(1), said(1, track=1), said(2))
    stream, holder = room.told()
    assert (stream["type"], stream["stream"], stream["stream_id"]) == ("stream", frames.stream_number(STREAM), "stream")
    assert stream["format"] == {"codec": "PCMU", "sample_rate": 8000}
    assert stream["tracks"] == BOTH
    assert stream["start"]["call_control_id"] == CALL
    assert holder == {"type": "floor", "call": 1, "holder": None}
    assert room.audio() == [(1, 0, 1, PIECE), (1, 1, 1, PIECE), (1, 0, 2, PIECE)]
    room.fanout.hears(
        entry(
            batches.ERROR,
            stream=STREAM,
            payload=b'{"event":"error","payload":{"code":100002,"title":"t","detail":"d"}}',
        )
    )
    assert room.told() == [{"type": "error", "call": 1, "code": 100002, "title": "t", "detail": "d"}]
    room.fanout.hears(entry(batches.STOP, stream=STREAM, payload=stop()))
    assert room.told() == [{"type": "stream.ended", "call": 1, "stream": stream["stream"], "reason": "stop"}]


def test_a_newer_stream(room: Room) -> None:
    """The end of the older one is told, then the newer one."""
    room.fanout.hears(live())
    room.asks("subscribe", call_control_id=CALL, tracks=BOTH)
    room.fanout.hears(started(stream=STREAM + 10**9, raw=start(stream_id="second")))
    told = room.told()
    assert kinds(told) == ["stream.ended", "stream", "floor"]
    assert told[0]["reason"] == "superseded"
    assert told[1]["stream"] == told[0]["stream"] + 1000


def test_calls_have_numbers_of_their_own(room: Room) -> None:
    """And keep them when their tracks change; nothing comes of what is unsubscribed."""
    room.fanout.hears(live("a"), live("b", STREAM + 1))
    assert room.asks("subscribe", call_control_id="a", tracks=["inbound"])[0]["call"] == 1
    assert room.asks("subscribe", call_control_id="b", tracks=["inbound"])[0]["call"] == 2
    room.fanout.hears(
        said(1, call="a"), said(1, call="b", stream=STREAM + 1), said(1, call="b", stream=STREAM + 1, track=1)
    )
    assert [(call, track) for call, track, _, _ in room.audio()] == [(1, 0), (2, 0)]
    assert room.asks("subscribe", call_control_id="b", tracks=["outbound"])[0]["call"] == 2
    assert [(call, track, sequence) for call, track, sequence, _ in room.audio()] == [(2, 1, 1)]
    room.asks("unsubscribe", call=1)
    room.fanout.hears(said(2, call="a"), said(2, call="b", stream=STREAM + 1, track=1))
    assert [(call, track) for call, track, _, _ in room.audio()] == [(2, 1)]
    assert room.asks("subscribe", call_control_id="a", tracks=["inbound"])[0]["call"] == 3
    assert sorted(room.fanout.topics) == sorted(batches.interest_topic(0, batches.digest(call)) for call in "ab")


def test_only_peaks_change(room: Room) -> None:
    """Nothing is heard again for that."""
    room.fanout.hears(live(), said(1))
    room.asks("subscribe", call_control_id=CALL, tracks=["inbound"])
    room.audio()
    assert kinds(room.asks("subscribe", call_control_id=CALL, tracks=["inbound"], peaks=True)) == ["subscribed"]
    assert room.audio() == []
    room.fanout.hears(said(2))
    assert list(room.peaks.measure(room.fanout.now + 0.2)) == [CALL]
    room.asks("subscribe", call_control_id=CALL, tracks=["inbound"], peaks=False)
    room.fanout.hears(said(3))
    assert room.peaks.measure(room.fanout.now + 0.4) == {}


def test_limits_have_answers() -> None:
    """More calls than can be heard at once, or noted down; more listeners than a call may have."""
    room = Room()
    for index in range(AUDIO_CALLS_MAX):
        room.asks("subscribe", call_control_id=f"call {index}", tracks=["inbound"])
    assert room.asks("subscribe", call_control_id="one more", tracks=["inbound"], id=4)[0]["code"] == 200009
    assert kinds(room.asks("subscribe", call_control_id="one more", peaks=True)) == ["subscribed"]
    crowded = Room(listeners_per_call=0)
    assert crowded.asks("subscribe", call_control_id=CALL, tracks=["inbound"])[0]["code"] == 200012
    small = Room(state_max_bytes=1500)
    told = [small.asks("subscribe", call_control_id=f"v3:{index:0400}")[0]["type"] for index in range(4)]
    assert told[0] == "subscribed"
    assert told[-1] == "error"
    assert len(small.browser.handed.state) <= 1500


def test_a_note_is_never_longer_than_was_reckoned() -> None:
    """With the longest numbers there are."""
    room = Room(state_max_bytes=4000)
    room.connection.subscriptions.last_number = 60_000
    index = 0
    while room.asks("subscribe", call_control_id=f"v3:é{index}", tracks=BOTH, peaks=True)[0]["type"] == "subscribed":
        room.fanout.hears(
            live(f"v3:é{index}", STREAM + index), said(2**31 - 9, call=f"v3:é{index}", stream=STREAM + index)
        )
        index += 1
    assert index > 20
    room.connection.talk.resume(f"v3:é{index - 1}", 60_001, 10**6)
    room.connection.save_state(with_positions=True)
    assert len(room.browser.handed.state) <= 4000


def test_only_the_tokens_calls() -> None:
    """Neither heard nor measured nor talked to."""
    room = Room({"sub": "ann", "calls": ["mine"], "can": ["listen"], "exp": time.time() + 600})
    for kind in ("subscribe", "talk.start"):
        [refused] = room.asks(kind, call_control_id="yours", id=7)
        assert (refused["code"], refused["id"]) == (200007, 7)
    assert kinds(room.asks("subscribe", call_control_id="mine")) == ["subscribed"]
    assert room.asks("talk.start", call_control_id="mine")[0]["code"] == 200007


@pytest.mark.parametrize("kind", [batches.STOP, batches.GONE])
def test_a_stream_that_ended_while_nobody_was_there(kind: int) -> None:
    """The client is told why, once."""
    room = Room()
    room.asks("subscribe", call_control_id=CALL)
    room.fanout.hears(started(CALL))
    room.told()
    room.restart(entry(kind, CALL, payload=stop() if kind == batches.STOP else b""))
    [ended] = room.told()
    assert (ended["type"], ended["reason"]) == ("stream.ended", "stop" if kind == batches.STOP else "gone")
    room.restart(entry(kind, CALL))
    assert room.told() == []


def test_welcome_and_the_url() -> None:
    """What the URL names is subscribed to."""
    room = Room({"sub": "ann", "calls": "*", "can": ["listen"], "exp": 2_000_000_000})
    room.connection.open([CALL], ["inbound"], room.fanout.now)
    welcome, subscribed = room.told()
    assert welcome == {
        "type": "welcome",
        "protocol": "patchbay.v1",
        "connection": "5",
        "epoch": "1",
        "can": ["listen"],
        "expires_at": "2033-05-18T03:33:20Z",
    }
    assert subscribed["call_control_id"] == CALL


def test_a_token_that_is_about_to_expire_is_told_once() -> None:
    room = Room({"sub": "ann", "calls": "*", "can": ["listen"], "exp": 1000})
    room.connection.tick(0, 900)
    assert room.told() == []
    for wall in (945, 950):
        room.connection.tick(0, wall)
    assert room.told() == [{"type": "token.expiring", "in_s": 55}]


@pytest.mark.parametrize("in_order", [True, False])
def test_a_restart_changes_nothing(room: Room, in_order: bool) -> None:
    """Numbers, tracks, peaks and talk are as before; after one in order not even a frame is missing or repeated."""
    room.fanout.hears(live("a"), live("b", STREAM + 1))
    room.asks("subscribe", call_control_id="a", tracks=["inbound"])
    room.asks("subscribe", call_control_id="b", tracks=BOTH, peaks=True)
    room.asks("talk.start", call_control_id="b", id=1)
    room.fanout.hears(floor(5, "b").replace(batches.digest("b"), batches.digest("b")))
    room.fanout.hears(said(1, call="a"), said(1, call="b", stream=STREAM + 1))
    room.restart(
        live("a"), live("b", STREAM + 1), said(1, call="a"), said(2, call="a"), said(1, call="b", stream=STREAM + 1),
        in_order=in_order,
    )  # fmt: skip
    assert kinds(room.told()) == ["floor", "floor"]
    expected = [(1, 2)] if in_order else [(1, 1), (1, 2), (2, 1)]
    assert [(call, sequence) for call, _, sequence, _ in room.audio()] == expected
    room.fanout.hears(said(3, call="a"), said(2, call="b", stream=STREAM + 1, track=1))
    assert [(call, track, sequence) for call, track, sequence, _ in room.audio()] == [(1, 0, 3), (2, 1, 2)]
    assert room.asks("subscribe", call_control_id="c")[0]["call"] == 3
    assert list(room.peaks.measure(room.fanout.now + 0.2)) == ["b"]


def test_a_call_that_ended_during_a_restart(room: Room) -> None:
    """Is told."""
    room.fanout.hears(live())
    room.asks("subscribe", call_control_id=CALL, tracks=BOTH)
    room.restart()
    assert room.told() == [
        {"type": "stream.ended", "call": 1, "stream": frames.stream_number(STREAM), "reason": "gone"}
    ]


def test_whoever_leaves_leaves_nothing(room: Room) -> None:
    """No interest, no watch, no subscriber."""
    room.fanout.hears(live())
    room.asks("subscribe", call_control_id=CALL, tracks=BOTH, peaks=True)
    room.connection.close()
    room.fanout.lets_go()
    assert room.fanout.topics == []
    [call] = room.fanout.calls.live.values()
    assert call.listeners == []
    assert room.peaks._subscribers == {}


def test_who_counts_as_a_listener(room: Room) -> None:
    """Whoever hears something."""
    room.fanout.hears(live())
    room.asks("subscribe", call_control_id=CALL, peaks=True)
    assert room.fanout.calls.listener_counts() == {CALL: 0}
    room.asks("subscribe", call_control_id=CALL, tracks=["inbound"])
    assert room.fanout.calls.listener_counts() == {CALL: 1}


def test_playout_is_joined_with_when_ingest_had_it(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """From there to the ear, less half of the way back, and the sound card's part."""
    room.asks("subscribe", call_control_id=CALL, tracks=BOTH)
    room.fanout.hears(live())
    room.fanout.calls.receive(
        batches.pack_batch(0, batches.Batch(0, "a", 9, 1, 1_000_000), [started(stream=STREAM)]), 0
    )
    room.fanout.calls.receive(batches.pack_batch(0, batches.Batch(0, "a", 9, 2, 2_000_000), [said(7)]), 0)
    monkeypatch.setattr(time, "monotonic_ns", lambda: 2_100_000_000)
    track = {
        "track": "inbound",
        "stream": frames.stream_number(STREAM),
        "sequence": 7,
        "buffer_ms": 60,
        "underruns": 1,
        "lost": 2,
    }
    room.asks("playout", call=1, output_ms=30, rtt_ms=20, tracks=[{**track, "concealed_ms": 40, "new": 1}])
    [subscription] = room.connection.subscriptions
    assert subscription.playout == {"ear_ms": 120, "buffer_ms": 60, "underruns": 1, "concealed_ms": 40, "lost": 2}
    room.asks("playout", call=1, tracks=[{**track, "sequence": 8}])
    assert subscription.playout["ear_ms"] is None
    assert room.asks("playout", call=99, tracks=[]) == []


def test_subscribing_in_turn_is_refused_in_the_end(room: Room) -> None:
    """And told so; to let go of a call is always possible, and so is all that costs nobody anything."""
    room = Room(requests_burst=20)
    room.fanout.hears(live())
    answers = []
    for number in range(1, 31):
        answers += room.asks("subscribe", call_control_id=CALL, tracks=["inbound"], id=number)
        room.asks("unsubscribe", call=number)
    subscribed = [answer for answer in answers if answer["type"] == "subscribed"]
    refused = [answer for answer in answers if answer["type"] == "error"]
    assert [answer["id"] for answer in subscribed] == list(range(1, 21))
    assert [(answer["id"], answer["code"]) for answer in refused] == [(number, 200018) for number in range(21, 31)]
    assert [answer["code"] for answer in room.asks("talk.start", call_control_id=CALL)] == [200018]
    assert [answer["code"] for answer in room.asks("token", token="x", id=2)] == [200018]
    assert [answer["type"] for answer in room.asks("ping")] == ["pong"]
    assert room.fanout.calls.counters["requests_refused"] == 12
    room.fanout.now += 1.0
    assert room.asks("subscribe", call_control_id=CALL, id=99)[0]["type"] == "subscribed"


def test_notes_are_written_with_the_end_of_the_round(room: Room) -> None:
    """However much has changed in it; none is left of a connection that has gone."""
    room.told()
    states: list[bytes] = []
    room.browser.handed.set_state = states.append  # type: ignore[method-assign, assignment]
    for number in range(1, 50):
        room.connection.on_text(b'{"type":"subscribe","call_control_id":"v3:%d"}' % number, room.fanout.now)
    assert states == []
    room.ends_round()
    assert len(states) == 1
    room.connection.on_text(b'{"type":"unsubscribe","call":1}', room.fanout.now)
    room.connection.close()
    assert not room.context.unsaved
