"""Who hears which call: nobody a frame of another's, nobody a frame twice, everybody the end."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.fanout.calls import interest as topics
from actors.fanout.calls.audience import CATCH_UP_S, SHARED_MARKER
from actors.fanout.calls.registry import FORGET_AFTER_S
from actors.fanout.calls.track import deliver_audio
from patchbay.audio.g711 import alaw_to_ulaw
from patchbay.protocol import batches
from tests.fakes.listening import FakeFanout, browser_of, entry, heard, listener, spoken, started
from tests.fakes.native import needs_c
from tests.fakes.telnyx import start, stop
from tests.fakes.work import steps

if TYPE_CHECKING:
    from collections.abc import Callable

STOPPED = entry(batches.STOP, payload=stop())


def frames(*chunks: int) -> list[bytes]:
    return [bytes([chunk % 256]) * 160 for chunk in chunks]


@pytest.fixture(params=[False, pytest.param(True, marks=needs_c)], ids=["in Python", "in C"])
def fanout(request: pytest.FixtureRequest) -> FakeFanout:
    return FakeFanout(in_c=request.param)


def test_from_start_to_stop(fanout: FakeFanout) -> None:
    """Both verbatim, the audio between them."""
    someone = fanout.joins(listener())
    fanout.hears(started(), spoken(1), spoken(2))
    fanout.hears(spoken(3), STOPPED)
    assert heard(someone) == [start(), *frames(1, 2, 3), stop()]
    assert fanout.calls.live == {}
    assert someone.calls == set()


def test_whoever_joins_late_hears_the_last_moments(fanout: FakeFanout) -> None:
    """The start frame first, 300 ms of audio, then what comes."""
    fanout.hears(started())
    for chunk in range(1, 51):
        fanout.hears(spoken(chunk))
        fanout.now += 0.02
    someone = fanout.joins(listener())
    fanout.hears(spoken(51))
    got = heard(someone)
    assert got[0] == start()
    assert got[1:] in ([*frames(*range(37, 52))], [*frames(*range(36, 52))])


def test_nobody_hears_another_call(fanout: FakeFanout) -> None:
    """By call, by stream, by what the token grants, or all."""
    by_call = fanout.joins(listener(1, call_control_id="a"))
    by_stream = fanout.joins(listener(2, stream_id="stream b"))
    granted = fanout.joins(listener(3, frozenset({"c"})))
    nothing = fanout.joins(listener(4, frozenset({"c"}), call_control_id="a"))
    everything = fanout.joins(listener(5, None, format="json"))
    for number, call in enumerate("abc", 1):
        fanout.hears(started(call, stream=number, raw=start(call, f"stream {call}")))
        fanout.hears(spoken(number, call, stream=number))
    assert heard(by_call)[1:] == frames(1)
    assert heard(by_stream)[1:] == frames(2)
    assert heard(granted)[1:] == frames(3)
    assert heard(nothing) == []
    audio = [orjson.loads(text)["media"]["payload"] for text in heard(everything)[1::2]]
    assert [b64decode(payload) for payload in audio] == frames(1, 2, 3)


@pytest.mark.parametrize("granted", [None, frozenset({"a", "b", "c", "d"})])
def test_one_call_at_a_time_for_whoever_names_none(fanout: FakeFanout, granted: frozenset[str] | None) -> None:
    """In binary, where two would be noise: the latest, until that ends, then the latest of the others."""
    starts = {call: start(call, f"stream {call}") for call in "abcd"}
    begins = {call: started(call, stream=number, raw=starts[call]) for number, call in enumerate("abcd", 1)}
    waiting = fanout.joins(listener(1, granted))
    fanout.hears(begins["a"], begins["b"], begins["c"], spoken(1, "c", stream=3, payload=b"c"))
    late = fanout.joins(listener(2, granted))
    fanout.hears(*[spoken(2, call, stream=number, payload=call.encode()) for number, call in enumerate("abc", 1)])
    assert heard(waiting) == [starts["a"], b"a"]
    assert heard(late) == [starts["c"], b"c", b"c"]
    assert len(late.candidates) == 3  # to talk, it must name one
    fanout.hears(
        begins["d"], spoken(1, "d", stream=4, payload=b"d"), entry(batches.STOP, "c", stream=3, payload=stop("c"))
    )
    assert heard(late) == [stop("c"), starts["d"], b"d"]
    fanout.hears(
        entry(batches.GONE, "a", stream=1), entry(batches.GONE, "d", stream=4), entry(batches.GONE, "b", stream=2)
    )
    assert heard(waiting) == [starts["d"], b"d", starts["b"], b"b"]
    assert heard(late) == [starts["b"], b"b"]
    fanout.hears(started("a", stream=9, raw=starts["a"]), spoken(1, "a", stream=9, payload=b"a"))
    assert heard(waiting) == heard(late) == [starts["a"], b"a"]
    fanout.calls.remove(late)
    assert late.calls == set()


def test_one_call_at_a_time_goes_on_in_the_next_process(fanout: FakeFanout) -> None:
    """The one that it heard, whichever came after."""
    someone = fanout.joins(listener(1))
    fanout.hears(started("a", stream=1), started("b", stream=2))
    successor = listener(1)
    successor.resume(browser_of(someone).handed.state)
    other = FakeFanout()
    other.hears(started("a", stream=1), started("b", stream=2))
    other.joins(successor)
    assert [call.number for call in successor.calls] == [call.number for call in someone.calls] == [1]


def test_a_frame_comes_once_whoever_repeats_it(fanout: FakeFanout) -> None:
    """A restarted ingest reads again what its predecessor had read but not taken."""
    someone = fanout.joins(listener())
    fanout.hears(started(), spoken(1), spoken(2), spoken(3))
    again = [spoken(chunk, flags=batches.REPEATED | 1) for chunk in (2, 3)]
    fanout.hears(started(), *again, spoken(4), epoch=2, slot="b")
    fanout.hears(spoken(3), spoken(4), epoch=1)  # what was on its way when that one ended
    assert heard(someone) == [start(), *frames(1, 2, 3, 4)]
    [call] = fanout.calls.live.values()
    assert call.owner == (0, "b")
    assert call.repeated == 4


@pytest.mark.parametrize("back", [1, 400, 900, 5000])
def test_what_is_new_ingest_alone_says(fanout: FakeFanout, back: int) -> None:
    """Whatever its number, as after a hold; positions tell where it is."""
    ears = [fanout.joins(listener(number, None, **query)) for number, query in enumerate(({}, {"format": "json"}), 1)]
    fanout.hears(started(), spoken(back), spoken(1, position=back + 1), spoken(2, position=back + 2))
    assert heard(ears[0]) == [start(), *frames(back, 1, 2)]
    assert [orjson.loads(text)["media"]["chunk"] for text in heard(ears[1])[1:]] == [str(back), "1", "2"]
    late = fanout.joins(listener(3))
    assert heard(late) == [start(), *frames(back, 1, 2)]


@pytest.mark.parametrize("form", [{}, {"track": "both"}, {"format": "json"}])
def test_another_start_of_the_same_stream(fanout: FakeFanout, form: dict[str, str]) -> None:
    """Is told if it says anything else, before audio in its format; who comes later gets nothing of the format
    before."""
    someone = fanout.joins(listener(1, None, **form))
    other, alaw = start(encoding="PCMA"), b"\x2a" * 160
    again = start().replace(b'"sequence_number":"1"', b'"sequence_number":"77"')
    fanout.hears(started(), spoken(1), started(raw=again), spoken(2))
    assert heard(someone).count(start()) == 1
    fanout.hears(started(raw=other), *[spoken(chunk, payload=alaw) for chunk in range(3, 9)])
    late = fanout.joins(listener(2, None, **form))
    late_heard = heard(late)
    assert late_heard[0] == other
    for told in (heard(someone), late_heard):
        begins = told.index(other)
        if "format" in form:
            assert orjson.loads(told[begins + 1])["media"]["format"] == "PCMA"
        else:
            assert told[begins + 1] == alaw_to_ulaw(alaw)
        assert told.count(other) == 1


@pytest.mark.parametrize("first", [2, batches.NO_NUMBER])
def test_what_is_read_again_was_delivered_before_one_that_has_just_come(fanout: FakeFanout, first: int) -> None:
    """It can't know what its predecessor delivered, which has crashed together with the ingest."""
    someone = fanout.joins(listener())
    again = [spoken(chunk, payload=b"\x01" * 160, flags=batches.REPEATED | 1) for chunk in (first, 3)]
    fanout.hears(started(), *again, spoken(4), spoken(5))
    fanout.hears(
        started(), spoken(5, flags=batches.REPEATED | 1), spoken(6, flags=batches.REPEATED | 1), epoch=2, slot="b"
    )
    assert heard(someone) == [start(), *frames(4, 5, 6)]  # of 6 it is sure
    [call] = fanout.calls.live.values()
    assert call.repeated == 3
    assert call.last_positions == [6, -1]


def test_a_new_stream_of_a_call(fanout: FakeFanout) -> None:
    """Its start frame is told, its numbering is new, and the older one is heard no more."""
    someone = fanout.joins(listener())
    second = start(stream_id="second")
    fanout.hears(started(), spoken(100), started(stream=8, raw=second), spoken(1, stream=8), spoken(101))
    fanout.hears(started(), STOPPED, spoken(2, stream=8))
    assert heard(someone) == [start(), *frames(100), second, *frames(1, 2)]
    assert fanout.calls.counters["frames_of_unknown_streams"] == 1
    [call] = fanout.calls.live.values()
    assert call.talker is None


def test_a_listener_of_a_stream_hears_it_when_it_comes(fanout: FakeFanout) -> None:
    """Also when its call was live with another stream; whoever named that one hears no more."""
    first = fanout.joins(listener(1, stream_id="first"))
    second = fanout.joins(listener(2, stream_id="second"))
    fanout.hears(started(raw=start(stream_id="first")), spoken(1))
    fanout.hears(started(stream=8, raw=start(stream_id="second")), spoken(2, stream=8))
    assert heard(first)[1:] == frames(1)
    assert heard(second) == [start(stream_id="second"), *frames(2)]


@pytest.mark.parametrize("end", [batches.STOP, batches.GONE])
def test_the_end_brings_what_a_mix_had_held_back(fanout: FakeFanout, end: int) -> None:
    """Before the stop frame; a listener of one track has everything already."""
    mixed = fanout.joins(listener(1, track="both"))
    single = fanout.joins(listener(2))
    fanout.hears(started(), spoken(1, payload=b"\xff" * 160, track=1), spoken(1, payload=b"\x55" * 160))
    before = [frame for frame in heard(mixed) if len(frame) == 160]
    fanout.hears(entry(end, payload=stop() if end == batches.STOP else b""))
    got = heard(mixed)
    assert before == [b"\xff" * 160]
    assert got == [b"\x55" * 160, *([stop()] if end == batches.STOP else [])]
    assert heard(single) == [start(), *got]


def test_a_new_stream_brings_what_a_mix_had_held_back(fanout: FakeFanout) -> None:
    """Before its start frame."""
    mixed = fanout.joins(listener(track="both"))
    fanout.hears(started(), spoken(1, track=1, payload=b"\xff" * 160), spoken(1, payload=b"\x55" * 160))
    heard(mixed)
    second = start(stream_id="second")
    fanout.hears(started(stream=8, raw=second))
    assert heard(mixed) == [b"\x55" * 160, second]


def test_a_mix_goes_on_from_the_last_moments(fanout: FakeFanout) -> None:
    """Whoever joins first loses nothing between them and what comes."""
    fanout.hears(started())
    for chunk in range(1, 6):
        fanout.hears(spoken(chunk, payload=b"\xff" * 160, track=1), spoken(chunk, payload=b"\x55" * 160))
        fanout.now += 0.02
    fanout.hears(spoken(6, payload=b"\x55" * 160))
    mixed = fanout.joins(listener(track="both"))
    fanout.hears(spoken(6, payload=b"\xff" * 160, track=1))
    # The first one came alone; from then on the inbound track waits for the outbound one.
    assert heard(mixed)[1:] == [b"\xff" * 160, *[b"\x55" * 160] * 5]


def test_errors_are_told_verbatim(fanout: FakeFanout) -> None:
    """The call goes on."""
    someone = fanout.joins(listener())
    fanout.hears(started(), entry(batches.ERROR, payload=b'{"event":"error"}'), spoken(1))
    assert heard(someone) == [start(), b'{"event":"error"}', *frames(1)]


def test_who_talks_and_who_may_not(fanout: FakeFanout) -> None:
    """From the ingest."""
    fanout.hears(started(), entry(batches.FLOOR, payload=orjson.dumps({"talker": 5})))
    [call] = fanout.calls.live.values()
    assert call.talker == 5
    for kind in (batches.REFUSED, batches.DROPPED, batches.MARKED):
        fanout.hears(entry(kind, payload=orjson.dumps({"talker": 6, "title": "x"})))
    told = {"talker": 6, "title": "x"}
    assert fanout.talk_events == [(batches.REFUSED, told), (batches.DROPPED, told), (batches.MARKED, told)]


def test_a_call_that_nobody_confirms_is_forgotten(fanout: FakeFanout) -> None:
    """Its ingest has died and nobody took it over; one that is confirmed stays."""
    fanout.hears(started("a", stream=1), started("b", stream=2))
    fanout.now += FORGET_AFTER_S
    fanout.hears(entry(batches.LIVE, payload=(2).to_bytes(8, "little")), ingest=3, slot="b", epoch=9)
    fanout.now += 1
    fanout.calls.remove_unconfirmed(fanout.now)
    [call] = fanout.calls.live.values()
    assert (call.call_control_id, call.owner) == ("b", (3, "b"))


def test_lost_batches_are_counted(fanout: FakeFanout) -> None:
    """By the numbers of each publisher."""
    fanout.hears(started())
    fanout.hears(spoken(1), lost=3)
    fanout.hears(spoken(1), epoch=2)
    assert fanout.calls.counters["batches_lost"] == 3


@pytest.mark.parametrize("rubbish", [b"", b"f\x00", b"f\x00\x63" + bytes(40)])
def test_rubbish_on_the_bus_is_counted(fanout: FakeFanout, rubbish: bytes) -> None:
    """Another version, say. Nothing ends for it."""
    fanout.calls.receive(rubbish, 0)
    fanout.calls.receive(batches.pack_batch(0, batches.Batch(0, "a", 1, 1, 0), [started()])[:-3], 0)
    assert fanout.calls.counters["bad_batches"] == 2


def test_a_batch_that_is_cut_short_is_counted() -> None:
    """Wherever it is cut, what is whole before that is delivered, and nothing of what is not."""
    whole = [spoken(1), spoken(2)]
    message = batches.pack_batch(0, batches.Batch(0, "a", 1, 2, 0), whole)
    for cut in range(sum(map(len, whole))):
        fanout = FakeFanout()
        someone = fanout.joins(listener(call_control_id="v3:call"))
        fanout.hears(started())
        heard(someone)
        fanout.calls.receive(message[: len(message) - cut], fanout.now)
        assert fanout.calls.counters["bad_batches"] == (cut not in (0, len(whole[1])))
        assert len(heard(someone)) == (2 if cut == 0 else cut <= len(whole[1]))


def test_a_start_frame_that_can_not_be_read_is_no_call(fanout: FakeFanout) -> None:
    """From an ingest of another opinion."""
    fanout.hears(entry(batches.START, payload=b"rubbish"), entry(batches.START, payload=stop()))
    assert fanout.calls.live == {}


def test_told_once_over_a_restart(fanout: FakeFanout) -> None:
    """A successor knows what its listener has had: neither the start frame nor a frame comes twice."""
    someone = fanout.joins(listener(1))
    fanout.hears(started(), spoken(1), spoken(2))
    someone.save_state()
    state = browser_of(someone).handed.state
    successor = FakeFanout()
    successor.hears(started(), spoken(1), spoken(2), spoken(3))
    again = listener(1)
    again.resume(state)
    successor.joins(again)
    successor.hears(spoken(4))
    assert heard(again) == frames(3, 4)


def test_a_stop_that_came_while_nobody_was_there(fanout: FakeFanout) -> None:
    """A successor that hears of it, before or after its listeners come to it, tells those who were told of the
    start."""
    someone, stranger = fanout.joins(listener(1)), listener(2)
    fanout.hears(started(), spoken(1))
    successor = FakeFanout()
    successor.hears(STOPPED)
    again = listener(1)
    again.resume(browser_of(someone).handed.state)
    successor.joins(again)
    successor.joins(stranger)
    successor.hears(STOPPED)
    assert heard(again) == [stop()]
    assert heard(stranger) == []
    third = listener(1)
    third.resume(browser_of(again).handed.state)
    successor.joins(third)
    assert heard(third) == []


def test_a_stop_that_a_predecessor_has_told(fanout: FakeFanout) -> None:
    """Is not told again, for as often as it is heard of."""
    someone = fanout.joins(listener(1))
    fanout.hears(started(), spoken(1), STOPPED)
    successor = FakeFanout()
    successor.hears(STOPPED)
    again = listener(1)
    again.resume(browser_of(someone).handed.state)
    successor.joins(again)
    assert heard(again) == []


def test_a_newcomer_is_heeded_once_every_ingest_knows(fanout: FakeFanout) -> None:
    """Who wants the same as another has not to wait again, unless nobody wanted it in between."""
    acknowledged = {index: entry(batches.ACKNOWLEDGED, call) for index, call in enumerate(("a", "b"))}
    first, second = listener(1, call_control_id=["a", "b"]), listener(2, call_control_id="a")
    fanout.calls.subscribe_topics(first)
    for index in (0, 1):
        fanout.hears(*acknowledged.values(), ingest=index, epoch=index + 1)
        assert fanout.calls.is_acknowledged(first, 2) == (index == 1)
    fanout.joins(first)
    fanout.calls.subscribe_topics(second)
    assert fanout.calls.is_acknowledged(second, 2)
    fanout.calls.remove(first)
    fanout.calls.remove(second)
    fanout.calls.subscribe_topics(second)
    assert fanout.calls.is_acknowledged(second, 2)
    fanout.calls.remove(second)
    fanout.lets_go()
    assert fanout.topics == []
    fanout.calls.subscribe_topics(second)
    assert not fanout.calls.is_acknowledged(second, 1)
    fanout.calls.remove(second)
    fanout.hears(acknowledged[0])
    fanout.lets_go()
    assert fanout.topics == []


@pytest.mark.parametrize("passes", [0, 1, 2])
def test_coming_and_going_does_not_reach_the_bus(passes: int) -> None:
    """Unless nobody is there for a while."""
    said: list[tuple[str, bytes]] = []
    interest = topics.Interest(0, lambda topic: said.append(("+", topic)), lambda topic: said.append(("-", topic)))
    for _ in range(1000):
        interest.add(b"t")
        interest.remove(b"t")
    for _ in range(passes):
        interest.unsubscribe_unused()
    assert interest.count(b"t") == 0
    interest.add(b"t")
    assert [sign for sign, _ in said] == ["+", "-", "+"][: 3 if passes == 2 else 1]


class Interest(RuleBasedStateMachine):
    """Listeners and calls come and go in any order."""

    calls = st.sampled_from(["a", "b", "c"])

    @initialize()
    def begin(self) -> None:
        self.fanout = FakeFanout(in_c=True)
        self.listeners: dict[int, tuple[object, frozenset[str]]] = {}
        self.number = 0

    @rule(wanted=st.frozensets(calls))
    def join(self, wanted: frozenset[str]) -> None:
        self.number += 1
        form = "binary" if wanted else "json"
        someone = listener(self.number, call_control_id=sorted(wanted), format=form)
        self.listeners[self.number] = someone, wanted
        self.fanout.joins(someone)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        if self.listeners:
            number = data.draw(st.sampled_from(sorted(self.listeners)))
            someone, _ = self.listeners.pop(number)
            self.fanout.calls.remove(someone)  # type: ignore[arg-type]
            self.fanout.calls.remove(someone)  # type: ignore[arg-type]

    @rule(call=calls)
    def start(self, call: str) -> None:
        self.number += 1
        self.fanout.hears(started(call, stream=self.number))

    @rule(call=calls)
    def end(self, call: str) -> None:
        live = self.fanout.calls.live.get(batches.digest(call))
        if live is not None:
            self.fanout.hears(entry(batches.GONE, call, stream=live.number))

    @invariant()
    def the_bus_is_asked_for_what_is_wanted(self) -> None:
        if not hasattr(self, "fanout"):
            return
        wanted = set()
        for _, calls in self.listeners.values():
            wanted |= {batches.digest(call) for call in calls} or {batches.EVERY_CALL}
        interest = self.fanout.calls._interest
        wanted |= {*interest._unused, *interest._long_unused}
        assert sorted(self.fanout.topics) == sorted(batches.interest_topic(0, call) for call in wanted)

    @rule()
    def discard(self) -> None:
        self.fanout.lets_go()
        assert {**self.fanout.calls._interest._unused, **self.fanout.calls._interest._long_unused} == {}

    @invariant()
    def each_hears_what_it_wants(self) -> None:
        if not hasattr(self, "fanout"):
            return
        for call in self.fanout.calls.live.values():
            expected = {
                number for number, (_, calls) in self.listeners.items() if not calls or call.call_control_id in calls
            }
            assert {each.number for each in call.participants} == expected


TestInterest = Interest.TestCase
TestInterest.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize(
    "kind",
    [
        batches.FLOOR,
        batches.REFUSED,
        batches.START,
        batches.STOP,
        batches.ERROR,
        batches.LEFT,
        batches.LIVE,
        batches.ACKNOWLEDGED,
    ],
)
def test_a_fault_in_one_entry_harms_no_other(
    fanout: FakeFanout, kind: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever fails in us, or in what an entry says."""
    someone = fanout.joins(listener())
    fanout.hears(started(), spoken(1))

    def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    with monkeypatch.context() as patched:
        patched.setattr(fanout.calls, "_on_event", fail)
        fanout.hears(entry(kind, payload=b"{"), spoken(2))
    fanout.hears(entry(kind, "v3:other", payload=b"\x80"), spoken(3))
    assert heard(someone) == [start(), *frames(1, 2, 3)]
    assert fanout.calls.counters["entries_failed"] >= 1
    assert "v3:call" in [getattr(record, "call_control_id", "") for record in caplog.records]


def test_a_form_that_fails_is_said(fanout: FakeFanout, caplog: pytest.LogCaptureFixture) -> None:
    """To those who wanted it, now and later; others hear the call, and all hear other calls."""
    evs = start(encoding="EVS")
    one, raw = fanout.joins(listener(1)), fanout.joins(listener(2, None, format="json"))
    fanout.hears(
        started(raw=evs), spoken(1), started("other", stream=8, raw=start("other")), spoken(1, "other", stream=8)
    )
    late = fanout.joins(listener(3, None, call_control_id="v3:call"))
    for someone in (one, late):
        told = heard(someone)
        assert told[0] == evs
        error = orjson.loads(told[1])["payload"]
        assert (error["code"], error["title"]) == (200020, "cannot_be_heard")
        assert "EVS" in error["detail"]
    assert [orjson.loads(text)["event"] for text in heard(raw)] == ["start", "media", "start", "media"]
    assert fanout.calls.counters["forms_failed"] == 1
    assert [record.levelname for record in caplog.records].count("ERROR") == 1
    fanout.hears(started(raw=start(encoding="PCMA")), spoken(2, payload=b"\xd5" * 160))
    assert alaw_to_ulaw(b"\xd5" * 160) in heard(late)


def test_undecodable_audio_is_counted_and_said_once(fanout: FakeFanout, caplog: pytest.LogCaptureFixture) -> None:
    """A frame each."""
    someone = fanout.joins(listener())
    fanout.hears(started(raw=start(encoding="L16")), *[spoken(chunk, payload=b"odd") for chunk in range(1, 4)])
    assert heard(someone)[1:] == [b"\xff" * 160] * 3
    assert fanout.calls.counters["frames_undecodable"] == 3
    [record] = caplog.records
    assert record.__dict__["call_control_id"] == "v3:call"


def test_a_fault_in_c_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python does the same; what has been delivered is not delivered again."""
    fanout = FakeFanout()
    someone = fanout.joins(listener())
    fanout.hears(started())

    def half(batch: bytes, at: int, location: int, tracks: Any, now: float) -> tuple[int, int]:
        deliver_audio(batch[: at + batches.ENTRY_BYTES + 160], at, location, tracks, now)
        raise MemoryError

    monkeypatch.setattr(fanout.calls, "_in_c", half)
    fanout.hears(spoken(1), spoken(2))
    fanout.hears(spoken(3))
    assert heard(someone) == [start(), *frames(1, 2, 3)]
    assert fanout.calls.counters["native_failed"] == 1


@pytest.mark.parametrize("come", ["frames", "time", "stop"])
def test_one_that_is_ahead_hears_nothing_twice(fanout: FakeFanout, come: str) -> None:
    """What another process has delivered comes here a moment later: the listener is let in when it has come."""
    fanout.hears(started(), spoken(1))
    someone = listener()
    someone._known, someone._delivered = {7: 0}, {7: [3, -1]}
    fanout.joins(someone)
    fanout.hears(spoken(2), spoken(3))
    assert heard(someone) == []
    if come == "time":
        fanout.now += CATCH_UP_S
        fanout.calls.remove_unconfirmed(fanout.now)
    if come == "stop":
        fanout.hears(STOPPED)
        assert heard(someone) == [stop()]
        assert someone.calls == set()
    else:
        fanout.hears(spoken(4), spoken(5))
        fanout.calls.remove(someone)
        assert heard(someone) == frames(4, 5)
    assert fanout.calls._waiting == {}


def test_one_that_is_ahead_leaves(fanout: FakeFanout) -> None:
    """Before it was let in."""
    fanout.hears(started())
    someone = listener()
    someone._known, someone._delivered = {7: 0}, {7: [3, -1]}
    fanout.joins(someone)
    fanout.calls.remove(someone)
    fanout.hears(spoken(3), spoken(4))
    assert heard(someone) == []
    assert fanout.calls._waiting == {}


def test_interest_is_lent(fanout: FakeFanout) -> None:
    """Other processes are sent what is heard here, and what is subscribed to last tells that ingest knows."""
    fanout.joins(listener(call_control_id="a"))
    is_known = fanout.calls.share_interest([1, 2])
    digest = batches.digest("a")
    assert [batches.interest_topic(index, digest) for index in (1, 2)] == fanout.topics[1:3]
    assert not is_known(1)
    fanout.hears(entry(batches.ACKNOWLEDGED).replace(batches.digest("v3:call"), SHARED_MARKER))
    assert is_known(1)
    assert not is_known(2)


@pytest.mark.parametrize("what", ["a call begins", "a call has another stream", "a call ends", "a listener comes"])
def test_listeners_and_calls_cost_nothing_where_they_are_not_concerned(what: str) -> None:
    """However many there are of others."""

    def prepared(count: int) -> Callable[[], object]:
        fanout = FakeFanout()
        for number in range(count):
            fanout.joins(listener(number + 10, call_control_id=f"v3:{number}"))
            if what == "a listener comes":
                fanout.hears(started(f"v3:{number}", stream=number + 10))
        mine = listener(1, call_control_id="v3:call")
        if what == "a listener comes":
            return lambda: fanout.joins(mine)
        fanout.joins(mine)
        begins = started()
        if what == "a call begins":
            return lambda: fanout.hears(begins)
        fanout.hears(begins)
        then = started(stream=8) if what == "a call has another stream" else STOPPED
        return lambda: fanout.hears(then)

    assert steps(prepared(400)) < 1.05 * steps(prepared(200))


def test_whoever_has_gone_is_looked_up_nowhere(fanout: FakeFanout) -> None:
    """By call, among those that hear any, or one at a time."""
    someones = [listener(1, call_control_id="a"), listener(2), listener(3, None, format="json")]
    for someone in someones:
        fanout.joins(someone)
    for someone in someones:
        fanout.calls.remove(someone)
    assert (fanout.calls._by_call, fanout.calls._any_call, fanout.calls._single) == ({}, {}, {})
