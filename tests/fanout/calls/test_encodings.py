"""Each form of a call's audio: what the existing frontend plays, and what new clients ask for."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from actors.fanout.calls.encodings import EncodedGroup, encoded_group, needs_decoding
from patchbay.audio.g711 import alaw_to_ulaw
from patchbay.audio.media_format import PCMU, MediaFormat
from patchbay.audio.transcode import Transcoder
from patchbay.net.batched_send import Targets
from patchbay.protocol.batches import AUDIO, NO_NUMBER, NO_TIMESTAMP, Entry, pack_entry
from tests.fakes.listening import browser_of, heard, listener, messages

if TYPE_CHECKING:
    from actors.fanout.calls.subscriber import EncodingKey


def piece(payload: bytes, track: int = 0, chunk: int = 3, timestamp: int = 60) -> Entry:
    return Entry(AUDIO, track, 0, chunk, chunk, 9, len(payload), timestamp, 7, bytes(16), payload)


def encoded(
    key: EncodingKey, payload: bytes, media_format: MediaFormat = PCMU, **given: int
) -> list[tuple[int, bytes]]:
    group = encoded_group(key, media_format, "a stream")
    entry = piece(payload, **given)
    batch = b"before" + pack_entry(*entry[:-1]) + payload
    frames = group.encode_at(batch, 6, len(batch), 0.0) + group.encoder.flush()
    again = encoded_group(key, media_format, "a stream")
    assert again.encoder.replay([entry], 0.0) + again.encoder.flush() == frames
    return list(messages(frames))


@pytest.mark.parametrize("size", [1, 100, 160, 161, 320, 500])
@pytest.mark.parametrize("track", ["inbound", "both"])
def test_binary_is_ulaw_20_ms_at_a_time(size: int, track: str) -> None:
    """Whatever Telnyx put into one frame; nothing is lost and nothing is longer."""
    payload = bytes(index % 250 for index in range(size))
    got = encoded(("binary", "both" if track == "both" else "inbound"), payload)
    assert {first for first, _ in got} == {0x82}
    assert b"".join(data for _, data in got) == payload
    assert all(0 < len(data) <= 160 for _, data in got)


@pytest.mark.parametrize("encoding", ["PCMU", "PCMA", "L16", "G722", "OPUS", "AMR-WB"])
@pytest.mark.parametrize("form", [("binary", "inbound"), ("binary", "both"), ("v1", "inbound")])
def test_silence_has_a_length(encoding: str, form: EncodingKey) -> None:
    """A payload that holds nothing is silence, as long as the one before of its track; 20 ms, when that was the
    first."""
    media_format = MediaFormat(encoding, 16_000 if encoding in ("L16", "AMR-WB") else 8000)
    if needs_decoding(form, media_format):
        media_format = PCMU  # by then
    [silence] = audio_of(form, media_format, b"")
    own = {"PCMA": b"\xd5" * 160, "L16": bytes(640)} if form[0] == "v1" else {}
    assert silence == own.get(encoding, b"\xff" * 160)
    assert len(b"".join(audio_of(form, MediaFormat("PCMA"), bytes(80), b""))) == 160


def audio_of(form: EncodingKey, media_format: MediaFormat, *payloads: bytes) -> list[bytes]:
    """What a listener gets of one track, without headers."""
    encoder = encoded_group(form, media_format, "a stream").encoder
    frames = b"".join(encoder.encode(piece(payload), 0.0) for payload in payloads) + encoder.flush()
    return [message[20 if form[0] == "v1" else 0 :] for _, message in messages(frames)]


@pytest.mark.parametrize("what", ["making", "encoding", "replay", "the end", "a writer"])
def test_a_form_that_fails_is_heard_no_more(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a codec, or a library, raises; its listeners are told, and nothing comes out."""

    def fail(*_: object) -> Any:
        raise RuntimeError(what)

    failed: list[Exception] = []
    if what == "making":
        monkeypatch.setattr(Transcoder, "for_format", fail)
    group = encoded_group(("binary", "both"), PCMU, "a stream", on_failed=lambda group, error: failed.append(error))
    someone = listener()
    group.join(someone)
    for name in {"encoding": ("encode", "encode_at"), "replay": ("replay",), "the end": ("flush",)}.get(what, ()):
        monkeypatch.setattr(group.encoder, name, fail)
    if what == "encoding":
        monkeypatch.setattr(group, "encode_at", fail)
    if what == "a writer":
        group.writers = (fail,)
    batch = pack_entry(*piece(bytes(160))[:-1]) + bytes(160)
    for _ in range(5):
        group.deliver(batch, 0, len(batch), 0.0)
    group.replay([piece(bytes(160))], 0.0)
    group.flush()
    assert group.failed
    assert [str(error) for error in failed] == [what]
    browser_of(someone).send_queue.frames.clear()
    assert group.deliver(batch, 0, len(batch), 0.0) == 0
    assert heard(someone) == []


def test_a_codec_that_nobody_knows_fails() -> None:
    """In all forms but the one that leaves it as it is."""
    forms: list[EncodingKey] = [("binary", "inbound"), ("binary", "both"), ("v1", "both"), ("json", "inbound")]
    assert [encoded_group(form, MediaFormat("EVS"), None).failed for form in forms] == [True, True, True, False]


def test_other_codecs_become_ulaw() -> None:
    """The frontend decodes every binary message as PCMU."""
    alaw = bytes(range(160))
    assert encoded(("binary", "inbound"), alaw, MediaFormat("PCMA")) == [(0x82, alaw_to_ulaw(alaw))]


def test_json_is_in_the_calls_own_codec_with_what_telnyx_said() -> None:
    """Numbers as text, as Telnyx has them; absent ones are empty."""
    [(first, message)] = encoded(("json", "outbound"), b"\x01\x02", MediaFormat("PCMA"), track=1)
    assert first == 0x81
    assert orjson.loads(message) == {
        "event": "media",
        "sequence_number": "9",
        "stream_id": "a stream",
        "media": {
            "track": "outbound",
            "chunk": "3",
            "timestamp": "60",
            "payload": base64.b64encode(b"\x01\x02").decode(),
            "format": "PCMA",
        },
    }
    [(_, message)] = encoded(("json", "inbound"), b"\x01", chunk=NO_NUMBER, timestamp=NO_TIMESTAMP)
    assert orjson.loads(message)["media"]["chunk"] == ""
    assert orjson.loads(message)["media"]["timestamp"] == ""


def test_who_is_in_it() -> None:
    """The hot path's writers are the members', always; the end is written to each."""
    group = encoded_group(("binary", "both"), PCMU, None)
    first, second = listener(1), listener(2)
    group.join(first)
    group.join(second)
    group.join(second)
    assert group.send_queues == (first.send_queue, second.send_queue)
    group.encoder.encode(piece(b"\xff" * 160, track=1), 0.0)
    group.encoder.encode(piece(b"\x55" * 160), 0.0)
    group.flush()
    group.flush()
    assert heard(first) == heard(second) == [b"\x55" * 160]
    assert not group.leave(first)
    assert group.leave(second)
    assert not group.send_queues


def test_one_connection_twice() -> None:
    """While one of its subscriptions takes the other's place, it gets each frame once, and goes on getting them."""
    group = encoded_group(("binary", "inbound"), PCMU, None)
    first, second = listener(1), listener(2)
    second.send_queue, second.peer.send_queue = first.send_queue, browser_of(first).send_queue  # type: ignore[assignment]
    group.join(first)
    group.join(second)
    assert group.write_all(b"") == 1
    assert not group.leave(first)
    assert group.send_queues == (second.send_queue,)
    group.clear()
    assert not group.send_queues
    assert not group.members


def test_a_group_leaves_its_targets_alone() -> None:
    """A method of a group by the name of one of its targets' would be called by send queues."""
    of_targets = {name for name, value in vars(Targets).items() if callable(value) and not name.startswith("__")}
    assert not of_targets & vars(EncodedGroup).keys()
