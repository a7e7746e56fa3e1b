"""What is read in C is read as in Python, whatever comes: the two are given the same, and must not differ in
anything."""

from __future__ import annotations

import base64
import socket
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.ingest import native as in_c
from actors.ingest.stream.media_reader import MediaReader, MediaTrack
from patchbay.audio.reorder import Reorder
from patchbay.net import poller
from patchbay.net.poller import LEAVES_S
from patchbay.net.socket_reader import LATE_BYTES
from patchbay.net.turns import FEW_BYTES
from patchbay.protocol import batches
from tests.fakes.fast_path import Line, client_frame
from tests.fakes.native import examples, needs_c

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from patchbay.protocol.telnyx import Media

pytestmark = needs_c
TAIL = batches.entry_tail(7, b"c" * 16)


class World(Line):
    """A stream's hot path, read from a socket in one of the two ways."""

    def __init__(self, *, c: bool) -> None:
        windows: list[Reorder[Media]] = [Reorder(), Reorder()]
        self.tracks = [MediaTrack(track, window) for track, window in enumerate(windows)]
        self.pushed: list[tuple[int, Media]] = []
        self.others: list[bytes] = []
        self.media_reader = MediaReader(self.tracks[0], self.tracks[1], self._push, self._other)
        self.queues: list[list[bytes]] = [[], []]
        self.media_reader.queues, self.media_reader.tail = tuple(self.queues), TAIL
        super().__init__(self.media_reader.on_text, in_c.reading_in_c(wanted=c), take_late=True)

    def _push(self, track: MediaTrack, media: Media) -> None:
        self.pushed.append((self.tracks.index(track), media))
        if media.chunk is not None:
            track.push(media.chunk, media, 0.0)

    def _other(self, message: bytes) -> None:
        self.others.append(message)
        message.decode()  # what is not UTF-8 is the WebSocket's business

    def state(self) -> dict[str, object]:
        return {
            **super().state(),
            "queues": [b"".join(queue) for queue in self.queues],
            "tracks": [(track.expected_chunk, track.step, track.frames) for track in self.tracks],
            "pushed": self.pushed,
            "others": self.others,
        }


def world(*, c: bool) -> closing[World]:
    return closing(World(c=c))


@pytest.fixture
def in_c_world() -> Iterator[World]:
    with world(c=True) as made:
        yield made


def media(chunk: int, payload: bytes = b"\x55" * 160, track: str = "inbound", **inside: Any) -> dict[str, Any]:
    encoded = base64.b64encode(payload).decode()
    body = {"track": track, "chunk": str(chunk), "timestamp": str(chunk * 20), "payload": encoded, **inside}
    return {"event": "media", "sequence_number": str(chunk + 3), "media": body, "stream_id": "32DE0DEA-53CB-4B21"}


def begun(world: World) -> World:
    """The first frame of each track is pushed, by which the others have their turn."""
    for track in ("inbound", "outbound"):
        world.hears(client_frame(orjson.dumps(media(1, track=track))))
    return world


# ---- plain: all of it in C


@pytest.mark.parametrize("is_long", [False, True])
async def test_in_a_long_round_whoever_has_many_waits(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock, *, is_long: bool
) -> None:
    """Of many frames a few are dealt with, and the rest waits in the socket; one that has few is not kept waiting."""
    monkeypatch.setattr(poller, "READING_S", 0.0 if is_long else 1e9)
    few, many = (
        [client_frame(orjson.dumps(media(chunk))) for chunk in chunks] for chunks in (range(2, 8), range(8, 40))
    )
    with ExitStack() as stack:
        both = [begun(stack.enter_context(world(c=c))) for c in (True, False)]
        for each in both:
            each.way.round_is_long = is_long
            each.hears(b"".join(few))
            assert (each.tracks[0].frames, each.way.waited) == (7, 0)
            each.hears(b"".join(many))
            assert each.way.waited == is_long
            assert (each.tracks[0].frames == 39) == (not is_long)
            assert each.tracks[0].frames >= 7 + FEW_BYTES // len(many[0])
            each.poller.round()
        assert both[0].state() == both[1].state()


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda message: orjson.dumps(message), id="compact"),
        pytest.param(lambda message: orjson.dumps(message, option=orjson.OPT_INDENT_2), id="indented"),
        pytest.param(lambda message: orjson.dumps(message, option=orjson.OPT_SORT_KEYS), id="sorted"),
        pytest.param(lambda message: orjson.dumps(dict(reversed(message.items()))), id="reversed"),
        pytest.param(lambda message: b' {"version":"1.0",' + orjson.dumps(message)[1:] + b"\r\n ", id="with more"),
    ],
)
async def test_plain_frames_need_no_python(write: Callable[[dict[str, Any]], bytes], in_c_world: World) -> None:
    """As Telnyx writes them, in whatever order and with whatever space, with numbers as text or not."""
    stream = begun(in_c_world)
    before = stream.by_python
    for chunk in range(2, 30):
        stream.hears(client_frame(write(media(chunk, bytes([chunk]) * 160))))
        stream.hears(client_frame(write(media(chunk, bytes([chunk]) * chunk, "outbound", timestamp=chunk))))
    assert stream.by_python == before + (stream.way.spent > 0)  # one in so many is counted
    assert stream.tracks[0].frames == stream.tracks[1].frames == 29
    assert not stream.pushed[2:]
    assert not stream.others


async def test_many_frames_of_a_reading(in_c_world: World) -> None:
    """And what is behind them that is not plain is Python's, from there on."""
    stream = begun(in_c_world)
    plain = b"".join(client_frame(orjson.dumps(media(chunk))) for chunk in range(2, 12))
    stream.hears(plain + client_frame(b'{"event":"stop"}') + plain[:100])
    assert stream.tracks[0].frames == 11
    assert stream.others == [b'{"event":"stop"}']
    stream.hears(plain[100:])
    assert [media.chunk for _, media in stream.pushed[2:]] == list(range(2, 12))


async def test_ripe_ones_are_taken(in_c_world: World) -> None:
    """What has been handled does not stay in the socket for ever."""
    stream = begun(in_c_world)
    chunk = 2
    while stream.way.untaken < LATE_BYTES:
        stream.hears(client_frame(orjson.dumps(media(chunk))))
        chunk += 1
    assert stream.poller._ripe == [stream.way]
    for _ in range(2):
        stream.hears(b"")
        assert stream.way.untaken
        await trio.sleep(LEAVES_S)
    stream.hears(b"")
    assert stream.way.untaken == 0
    stream.hears(client_frame(orjson.dumps(media(chunk))))
    assert stream.tracks[0].frames == chunk


# ---- anything: the same in both


@st.composite
def messages(draw: st.DrawFn, chunk: int) -> bytes:
    """A media message as it should be, or nearly; or something else."""
    track = draw(st.sampled_from(["inbound", "inbound", "outbound"]))
    number = chunk + draw(st.sampled_from([0, 0, 0, 0, 0, 1, -1, 2, 5000, 2**31, 2**53, 2**63]))
    message = media(number, draw(st.binary(min_size=0, max_size=170)), track)
    body = message["media"]
    if draw(st.integers(0, 9)) == 0:
        del body[draw(st.sampled_from(sorted(body)))]
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        where = draw(st.sampled_from([message, body]))
        name = draw(st.sampled_from([*where, "more"]))
        where[name] = draw(
            st.sampled_from([1, 0, -1, 1.0, 1.5, True, None, "", "1", "01", "1e3", " 1", "é", 'a"b', "=", "AAA=", "AB==",
                             "AB=C", "A===", "AAAA\n", "inbound_track", "media", {}, [], 2**40, 2**70, "9" * 17, "-0"])
        )  # fmt: skip
    text = bytearray(_dumps(message, draw(st.sampled_from([0, 0, 1, 2]))))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(text) - 1))
        match draw(st.sampled_from(["set", "insert", "delete", "twice"])):
            case "set":
                text[at] = draw(st.integers(0, 255))
            case "insert":
                text.insert(at, draw(st.sampled_from(b'"\\{}[],: 0\n\x00\x7f\x80\xff=')))
            case "delete":
                del text[at : at + draw(st.integers(1, 12))]
            case "twice":
                text[at:at] = text[at : at + draw(st.integers(1, 30))]
    return bytes(text)


def _dumps(message: dict[str, Any], style: int) -> bytes:
    try:
        return orjson.dumps(message, option=[0, orjson.OPT_INDENT_2, orjson.OPT_SORT_KEYS][style])
    except TypeError:  # a number that is too great for it
        return b'{"event":"media","media":' + b"9" * 40 + b"}"


@st.composite
def readings(draw: st.DrawFn) -> list[bytes]:
    """What a socket gets, in pieces that need not be frames."""
    data = bytearray()
    for chunk in range(2, 2 + draw(st.integers(1, 12))):
        data += draw(
            st.one_of(
                st.builds(lambda chunk=chunk: client_frame(orjson.dumps(media(chunk)))),
                st.builds(client_frame, messages(chunk), st.binary(min_size=4, max_size=4)),
                st.builds(client_frame, messages(chunk), first=st.sampled_from([0x81, 0x01, 0x80, 0x82, 0x89, 0xC1])),
                st.builds(client_frame, messages(chunk), bits=st.sampled_from([7, 64])),
                st.binary(max_size=20),
            )
        )
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=3)))
    return [bytes(data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@settings(max_examples=examples(40))
@given(readings(), st.booleans())
def test_whatever_comes_both_do_the_same(pieces: list[bytes], closes: bool) -> None:
    """Entries, turns, counts, what is left in the socket: all of it."""

    async def main() -> None:
        with ExitStack() as stack:
            in_python, in_c = worlds = [stack.enter_context(world(c=c)) for c in (False, True)]
            for each in worlds:
                begun(each)
            for piece in [*pieces, b""]:
                for each in worlds:
                    if closes and not piece:
                        each.client.close()
                    each.hears(piece)
                assert in_c.state() == in_python.state()

    trio.run(main, clock=trio.testing.MockClock())


PLAIN = orjson.dumps(media(2))
BODY = b'"track":"inbound","chunk":"2","timestamp":"40","payload":'
NEARLY = {
    "something behind": PLAIN + b"}",
    "a number behind": PLAIN + b" 1",
    "nothing at the end": PLAIN[:-1],
    "no event": PLAIN.replace(b'"event":"media",', b""),
    "another event": PLAIN.replace(b'"event":"media"', b'"event":"mark"'),
    "the event twice": PLAIN[:-1] + b',"event":"start"}',
    "media twice": PLAIN[:-1] + b',"media":{"payload":"AAAA"}}',
    "the chunk twice": PLAIN.replace(b'"chunk":"2"', b'"chunk":"9","chunk":"2"'),
    "the payload twice": PLAIN.replace(b'"payload"', b'"payload":"AAAA","payload"'),
    "no sequence number": PLAIN.replace(b'"sequence_number":"5",', b""),
    "no timestamp": PLAIN.replace(b'"timestamp":"40",', b""),
    "no track": PLAIN.replace(b'"track":"inbound",', b""),
    "no chunk": PLAIN.replace(b'"chunk":"2",', b""),
    "no payload": PLAIN[: PLAIN.index(b',"payload"')] + b"}}",
    "an empty payload": b'{"event":"media","sequence_number":"5","media":{' + BODY + b'""},"stream_id":"s"}',
    "another track": PLAIN.replace(b"inbound", b"inbound_track"),
    "leading zeros": PLAIN.replace(b'"chunk":"2"', b'"chunk":"02"'),
    "leading zeros, no text": PLAIN.replace(b'"chunk":"2"', b'"chunk":02'),
    "a fraction": PLAIN.replace(b'"chunk":"2"', b'"chunk":2.0'),
    "an exponent": PLAIN.replace(b'"chunk":"2"', b'"chunk":2e0'),
    "a sign": PLAIN.replace(b'"chunk":"2"', b'"chunk":"+2"'),
    "space in a number": PLAIN.replace(b'"chunk":"2"', b'"chunk":" 2"'),
    "an escape": PLAIN.replace(b'"track":"inbound"', b'"track":"\\u0069nbound"'),
    "an escaped name": PLAIN.replace(b'"chunk"', b'"\\u0063hunk"'),
    "not ASCII": PLAIN.replace(b"32DE0DEA", "é".encode()),
    "no UTF-8": PLAIN.replace(b"32DE0DEA", b"\xff"),
    "a control character": PLAIN.replace(b"32DE0DEA", b"\x01"),
    "DEL": PLAIN.replace(b"32DE0DEA", b"\x7f"),
    "the stream a number": PLAIN.replace(b'"stream_id":"32DE0DEA-53CB-4B21"', b'"stream_id":7'),
    "the sequence too great": PLAIN.replace(b'"sequence_number":"5"', b'"sequence_number":"2147483648"'),
    "the sequence far too great": PLAIN.replace(b'"sequence_number":"5"', b'"sequence_number":"9999999999999999"'),
    "a great timestamp": PLAIN.replace(b'"timestamp":"40"', b'"timestamp":"999999999999999"'),
    "too great a timestamp": PLAIN.replace(b'"timestamp":"40"', b'"timestamp":"9999999999999999999"'),
    "no base64": PLAIN.replace(b'"VVVV', b'"VV*V'),
    "unpadded": PLAIN.replace(b'=="', b'"'),
    "padded too much": PLAIN.replace(b'=="', b'===="'),
    "padding within": PLAIN.replace(b'"VVVV', b'"VV=='),
    "bits that mean nothing": PLAIN.replace(b'VQ=="', b'VR=="'),
    "a line break within": PLAIN.replace(b'"VVVV', b'"VVVV\\n'),
    "a comma too many": PLAIN.replace(b'"track"', b',"track"'),
    "a comma at the end": PLAIN[:-1] + b",}",
    "a list": b"[" + PLAIN + b"]",
    "something nested": PLAIN[:-1] + b',"more":{"chunk":"7"}}',
}


@pytest.mark.parametrize("message", [pytest.param(message, id=name) for name, message in NEARLY.items()])
async def test_what_is_nearly_plain(message: bytes) -> None:
    """As Python has it, whether that makes sense of it or not; and so is what follows."""
    assert message != PLAIN
    states = []
    for c in (False, True):
        with world(c=c) as stream:
            begun(stream)
            stream.hears(client_frame(message))
            stream.hears(client_frame(orjson.dumps(media(3))))
            stream.hears(client_frame(PLAIN))
            states.append({**stream.state(), "heard": None})
    assert states[0] == states[1]


async def test_tracks_that_share_a_numbering(in_c_world: World) -> None:
    """Each goes on by two."""
    for chunk in range(1, 12):
        in_c_world.hears(client_frame(orjson.dumps(media(chunk, track=("inbound", "outbound")[chunk % 2]))))
    before = in_c_world.by_python
    for chunk in range(12, 40):
        in_c_world.hears(client_frame(orjson.dumps(media(chunk, track=("inbound", "outbound")[chunk % 2]))))
    assert in_c_world.by_python == before
    assert [track.step for track in in_c_world.tracks] == [2, 2]
    assert sum(track.frames for track in in_c_world.tracks) == 39


@pytest.mark.parametrize("bits", [7, 64])
async def test_other_lengths(bits: int) -> None:
    """A frame says in one of three ways how long it is; what is not the usual one is Python's."""
    short = orjson.dumps({"event": "mark", "mark": {"name": "x"}})
    states = []
    for c in (False, True):
        with world(c=c) as stream:
            begun(stream)
            stream.hears(client_frame(PLAIN if bits == 64 else short, bits=bits) + client_frame(orjson.dumps(media(3))))
            states.append({**stream.state(), "heard": None})
    assert states[0] == states[1]


async def test_frames_that_come_in_parts(in_c_world: World) -> None:
    """Cut anywhere: nothing is handled before it is whole, whatever the buffer still holds of others."""
    stream = begun(in_c_world)
    frames = [client_frame(orjson.dumps(media(chunk))) for chunk in range(2, 400)]
    for number, frame in enumerate(frames):
        cut = number % len(frame)
        stream.hears(frame[:cut])
        assert stream.tracks[0].frames == 1 + number + (cut == len(frame))
        stream.hears(frame[cut:])
        assert stream.tracks[0].frames == 2 + number
        if number % 50 == 0:
            stream.poller.take_handled()  # before the socket is full
    assert not stream.pushed[2:]


async def test_more_than_the_buffer_holds(in_c_world: World) -> None:
    """What lies behind is looked at without being told again."""
    stream = begun(in_c_world)
    stream.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    frames = [client_frame(orjson.dumps(media(chunk, bytes(5000)))) for chunk in range(2, 30)]
    stream.hears(b"".join(frames))
    for _ in range(10):
        stream.poller.round()
    assert stream.tracks[0].frames == 29


async def test_one_that_is_not_plain_at_the_moment(in_c_world: World) -> None:
    """A fragmented message is under way, say: all is Python's."""
    stream = begun(in_c_world)
    stream.way._on_fast_path = False
    stream.hears(client_frame(PLAIN))
    assert stream.by_python == 3
    stream.way._on_fast_path = True
    stream.way.take_soon = True
    stream.hears(client_frame(orjson.dumps(media(3))))
    assert stream.by_python == 4
    assert not stream.way.take_soon


async def test_strange_objects_are_left_alone(in_c_world: World) -> None:
    """Whatever Python does with its objects, the C does not fall over them."""
    stream = begun(in_c_world)
    changes: list[tuple[str, Any]] = [("tail", b"short"), ("queues", None), ("inbound", None)]
    for name, value in changes:
        before = getattr(stream.media_reader, name)
        setattr(stream.media_reader, name, value)
        with suppress(TypeError, AttributeError):  # the Python may
            stream.hears(client_frame(orjson.dumps(media(2))))
        setattr(stream.media_reader, name, before)
    strange: tuple[Any, ...] = (None, 10**30, "2")
    for value in strange:
        stream.tracks[0].expected_chunk = value
        with suppress(TypeError, AttributeError):
            stream.hears(client_frame(orjson.dumps(media(2))))
    stream.tracks[0].expected_chunk = 2
    del stream.tracks[0].entry_head
    with suppress(AttributeError):
        stream.hears(client_frame(orjson.dumps(media(2))))
