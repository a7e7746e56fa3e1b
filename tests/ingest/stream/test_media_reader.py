"""The straight way and the way round are one stream: nothing is counted twice, skipped or mixed up between them."""

from __future__ import annotations

import orjson
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from patchbay.protocol import batches
from tests.fakes.telnyx import FakeIngest, media, start

steps = st.lists(
    st.one_of(
        st.tuples(st.just("next"), st.integers(1, 20)),
        st.tuples(st.just("swapped"), st.just(1)),
        st.tuples(st.just("again"), st.just(1)),
        st.tuples(st.just("lost"), st.integers(1, 3)),
        st.tuples(st.just("rubbish"), st.integers(1, 2)),
        st.tuples(st.just("no sequence"), st.just(1)),
    ),
    max_size=20,
)


@given(steps)
def test_every_frame_once_in_order_and_counted(plan: list[tuple[str, int]]) -> None:
    """Whatever comes in between."""

    async def main() -> None:
        go_through(plan)

    trio.run(main, clock=trio.testing.MockClock())


def go_through(plan: list[tuple[str, int]]) -> None:
    ingest = FakeIngest()
    ingest.fanout(0, "v3:call")
    stream = ingest.stream(7, start())
    chunk, come, sent = 1, 0, []

    def say(number: int) -> None:
        nonlocal come
        come += 1
        stream.on_text(media(number, number.to_bytes(2, "big")))

    for what, count in plan:
        numbers = {"next": range(count), "swapped": (1, 0), "again": (0, 0), "lost": (count,)}.get(what, ())
        for number in numbers:
            say(chunk + number)
        if what == "no sequence":
            come += 1
            body = {"track": "inbound", "chunk": str(chunk), "payload": "AAA="}
            stream.on_text(orjson.dumps({"event": "media", "media": body}))
        for _ in range(count if what == "rubbish" else 0):
            stream.on_text(b"{rubbish}" + bytes(count))
        step = {"next": count, "swapped": 2, "again": 1, "lost": count + 1, "no sequence": 1}.get(what, 0)
        lost = range(chunk, chunk + count) if what == "lost" else ()
        sent += [number for number in range(chunk, chunk + step) if number not in lost]
        chunk += step
        if what == "lost":
            ingest.now += 1  # what is missing is given up
            stream.audio.expire(ingest.now)
    stream.audio.expire(float("inf"))
    assert [entry.chunk for entry in ingest.entries() if entry.kind == batches.AUDIO] == sent
    assert stream.audio.frames == [come, 0]
