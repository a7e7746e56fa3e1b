"""How loud a sample is, on a scale of decibels."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.audio import level
from patchbay.audio.g711 import decode_alaw, decode_ulaw


@pytest.mark.parametrize(
    ("sample", "value"), [(0, 0), (1, 0), (32, 0), (-32_768, 255), (32_767, 255), (3277, 170), (-3277, 170)]
)
def test_the_scale(sample: int, value: int) -> None:
    """Full scale is 255, a tenth of it 85 less."""
    assert level.of_sample(sample) == value


@given(st.binary(max_size=320))
def test_of_the_loudest(payload: bytes) -> None:
    """In each codec as in its samples."""
    for measure, linear in ((level.of_ulaw, decode_ulaw(payload)), (level.of_alaw, decode_alaw(payload))):
        samples = array("h", linear)
        assert measure(payload) == max(map(level.of_sample, samples), default=0)
        assert level.of_l16(linear + b"x") == measure(payload)
