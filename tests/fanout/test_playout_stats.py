"""Reports of playing at the edges of their ranges: whatever is accepted can be counted and told."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from actors.fanout.playout_stats import PlayoutStats
from patchbay.protocol.v1 import control

numbers = (
    st.integers(-(2**54), 2**54)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, 2**53, -3.6e6])
)
track = st.fixed_dictionaries(
    {
        "track": st.sampled_from(["inbound", "outbound"]),
        "stream": st.integers(0, 2**32),
        "sequence": st.integers(0, 2**32),
    },
    optional=dict.fromkeys(("buffer_ms", "concealed_ms", "underruns", "lost"), numbers),
)


@given(st.lists(track, max_size=3), numbers, numbers)
def test_any_report(tracks: list[dict[str, Any]], output_ms: float, rtt_ms: float) -> None:
    report = {"type": "playout", "call": 1, "tracks": tracks, "output_ms": output_ms, "rtt_ms": rtt_ms}
    try:
        request = control.decode(json.dumps(report).encode())
    except control.BadRequest:
        return
    assert isinstance(request, control.Playout)
    meter = PlayoutStats()
    assert orjson.loads(orjson.dumps(meter.add(request, None, 0)))["ear_ms"] is None
    assert orjson.dumps(meter.ear_delay.report())


@given(numbers)
def test_any_ping(sent: float) -> None:
    """Comes back as it was."""
    request = control.decode(json.dumps({"type": "ping", "sent": sent}).encode())
    assert isinstance(request, control.Ping)
    assert orjson.loads(control.message("pong", None, sent=request.sent))["sent"] == float(sent)
