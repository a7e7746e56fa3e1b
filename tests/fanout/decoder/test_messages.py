"""What fan-out and its decoder say to each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.fanout.decoder.messages import (
    ANSWER_BYTES,
    ANSWER_MAX_BYTES,
    DECODED,
    FAILED,
    PROGRESS_BYTES,
    REQUEST_BYTES_MAX,
    REQUEST_FRAMES_MAX,
    REQUEST_MAX_BYTES,
    UNDECODABLE,
    Answer,
    BadMessage,
    Request,
    pack_answer,
    pack_request,
    read_answers,
    read_requests,
)
from actors.fanout.decoder.process import Decoder
from patchbay.audio.media_format import MediaFormat
from patchbay.audio.transcode import ENCODINGS, OUTPUT_MAX_BYTES

NUMBERS = st.integers(0, 2**64 - 1)
FORMATS = st.builds(MediaFormat, st.sampled_from(ENCODINGS), st.integers(0, 2**32 - 1), st.integers(0, 255))
REQUESTS = st.builds(Request, NUMBERS, NUMBERS, st.floats(allow_nan=False), FORMATS, st.binary(max_size=300))
ANSWERS = st.builds(Answer, NUMBERS, st.sampled_from([DECODED, UNDECODABLE, FAILED]), st.binary(min_size=1))


@given(st.lists(REQUESTS), st.lists(ANSWERS))
def test_what_was_packed_is_read(requests: list[Request], answers: list[Answer]) -> None:
    assert list(read_requests(b"".join(map(pack_request, requests)))) == requests
    assert list(read_answers(b"".join(map(pack_answer, answers)))) == answers


@given(st.binary(max_size=200), ANSWERS, st.integers(0, 20))
def test_rubbish_is_told(message: bytes, answer: Answer, missing: int) -> None:
    """Nothing else comes out of whatever bytes, and nothing of what is cut short."""
    for read in (read_requests, read_answers):
        try:
            found = len(list(read(message)))
        except BadMessage:
            continue
        assert found <= len(message)
    packed = pack_answer(answer)
    if 0 < missing < len(packed):
        with pytest.raises(BadMessage):
            list(read_answers(packed[:-missing]))


@pytest.mark.parametrize("size", [0, OUTPUT_MAX_BYTES + 1])
def test_an_answer_holds_something(size: int) -> None:
    with pytest.raises(BadMessage):
        list(read_answers(pack_answer(Answer(1, DECODED, bytes(size)))))


def test_no_message_is_longer_than_the_other_side_takes() -> None:
    """However much comes of little: a payload of two bytes at 1 Hz is a second."""
    payload = bytes(REQUEST_BYTES_MAX // REQUEST_FRAMES_MAX)
    media_format = MediaFormat("L16", 1)
    requests = [Request(number, number, 0.0, media_format, payload) for number in range(1, REQUEST_FRAMES_MAX + 1)]
    message = b"".join(map(pack_request, requests))
    assert len(message) <= REQUEST_MAX_BYTES
    answers = list(Decoder(bytearray(PROGRESS_BYTES)).answers(message))
    assert max(map(len, answers)) <= ANSWER_MAX_BYTES
    assert max(map(len, answers)) > ANSWER_BYTES
    found = [answer.serial for message in answers for answer in read_answers(message)]
    assert found == [request.serial for request in requests]
