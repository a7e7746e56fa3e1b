from __future__ import annotations

import base64
import json
from dataclasses import replace

from simulator.codecs import L16, PCMA, PCMU
from simulator.messages import StreamMessages
from simulator.talk import Refused
from tests.simulator.helpers import identity

WHO = identity()


def test_connected_frame_names_the_token_only_when_there_is_one() -> None:
    messages = StreamMessages(WHO, PCMU)
    assert json.loads(messages.connected(None)) == {"event": "connected", "version": "1.0.0"}
    assert json.loads(messages.connected("secret")) == {
        "event": "connected",
        "version": "1.0.0",
        "connected": {"x-telnyx-streaming-auth-token": "secret"},
    }


def test_start_frame_is_the_documented_one() -> None:
    start = json.loads(StreamMessages(WHO, PCMA).start())
    assert start == {
        "event": "start",
        "sequence_number": "1",
        "start": {
            "user_id": WHO.user_id,
            "call_control_id": WHO.call_control_id,
            "call_session_id": WHO.call_session_id,
            "from": "+12025550100",
            "to": "+12025550150",
            "tags": ["simulator"],
            "client_state": WHO.client_state,
            "media_format": {"encoding": "PCMA", "sample_rate": 8000, "channels": 1},
        },
        "stream_id": WHO.stream_id,
    }


def test_custom_parameters_and_rates_go_into_the_start_frame() -> None:
    who = replace(WHO, custom_parameters={"customer_id": "customer_123"})
    start = json.loads(StreamMessages(who, L16).start())["start"]
    assert start["custom_parameters"] == {"customer_id": "customer_123"}
    assert start["media_format"] == {"encoding": "L16", "sample_rate": 16000, "channels": 1}


def test_media_frames_count_in_strings_and_by_track() -> None:
    messages = StreamMessages(WHO, PCMU)
    messages.start()
    frames = [json.loads(messages.media(track, b"\xff" * 160).text) for track in ("inbound", "outbound", "inbound")]
    assert [frame["sequence_number"] for frame in frames] == ["2", "3", "4"]
    assert [frame["media"]["chunk"] for frame in frames] == ["1", "1", "2"]
    assert [frame["media"]["timestamp"] for frame in frames] == ["0", "0", "20"]
    assert base64.b64decode(frames[0]["media"]["payload"]) == b"\xff" * 160
    assert set(frames[0]) == {"event", "sequence_number", "media", "stream_id"}


def test_chunks_may_be_counted_over_both_tracks() -> None:
    messages = StreamMessages(WHO, PCMU, shared_chunks=True)
    assert [messages.media(track, b"").chunk for track in ("inbound", "outbound", "inbound")] == [1, 2, 3]


def test_time_that_passed_unsent_uses_up_chunks() -> None:
    messages = StreamMessages(WHO, PCMU)
    messages.skip("inbound")
    frame = json.loads(messages.media("inbound", b"").text)["media"]
    assert (frame["chunk"], frame["timestamp"]) == ("2", "20")
    messages.restart_chunks()
    assert messages.media("inbound", b"").chunk == 1


def test_the_sequence_begins_again_with_every_start() -> None:
    messages = StreamMessages(WHO, PCMU)
    messages.start()
    messages.media("inbound", b"")
    assert json.loads(messages.start())["sequence_number"] == "1"
    assert json.loads(messages.stop())["sequence_number"] == "2"


def test_the_other_frames() -> None:
    messages = StreamMessages(WHO, PCMU)
    assert json.loads(messages.mark("end")) == {
        "event": "mark",
        "sequence_number": "1",
        "mark": {"name": "end"},
        "stream_id": WHO.stream_id,
    }
    assert json.loads(messages.dtmf("1", "2025-06-05T08:54:19.698408Z")) == {
        "event": "dtmf",
        "sequence_number": "2",
        "dtmf": {"digit": "1"},
        "occurred_at": "2025-06-05T08:54:19.698408Z",
        "stream_id": WHO.stream_id,
    }
    assert json.loads(messages.stop())["stop"] == {"user_id": WHO.user_id, "call_control_id": WHO.call_control_id}
    assert json.loads(messages.error(Refused(100003, "malformed_frame", "bad"))) == {
        "event": "error",
        "payload": {"code": 100003, "title": "malformed_frame", "detail": "bad"},
        "stream_id": WHO.stream_id,
    }


def test_ids_are_told_apart_and_repeatable() -> None:
    assert identity(1) == identity(1)
    assert identity(1).call_control_id != identity(2).call_control_id
    assert identity(1).call_control_id.startswith("v3:")
    assert identity(1, call_control_id="v3:mine").call_control_id == "v3:mine"
