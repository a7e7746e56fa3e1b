"""What a reader's work costs for each byte that it is given, and whether that rises with the length of what it is
given.

Work is counted in two ways. Lines of Python that are run are the same at every run, but say nothing of what one line
has done in C: copies, regular expressions, parsers. The processor's time of the thread says that too; it is compared
between inputs of which one is eight times as long, far enough apart that a busy machine makes no quadratic reader of a
linear one.

Inputs grow by *pumping*: a piece of a good input is repeated in its place until the whole is so long.
"""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random
    from types import FrameType

    from _typeshed import TraceFunction

    from tests.fuzz.targets import Target

COUNTED: Final = b"%d"  # in a piece: stands for the number of the repetition, so that no two are the same
_TOKENS: Final = re.compile(rb"[A-Za-z]+|[0-9]+|[^A-Za-z0-9]", re.DOTALL)
MARKS: Final = b" \t\r\n\0\\\"'`{}[]()<>,;:=&?%#/.*+-_@aA0\xc3\xed\xff"
OBJECTS_MAX: Final = 4  # of a seed, at the beginning of which pieces are put
TOKENS_MAX: Final = 60  # of a seed; what comes later is repeated with the seed

LINES_BYTES: Final = 1024  # lines are counted for one, two and four times so much of a piece
ALIGNED: Final = 8  # pieces: Float32, base64 and UTF-16 are the same with one, two and four times so many
LINES_GROWTH: Final = 3.0  # times, from one doubling to the next: 2 is linear, 4 quadratic
LINES_SLACK: Final = 400  # lines: what is done once for all comes somewhere
FACTOR: Final = 8
CPU_GROWTH: Final = 3.0 * FACTOR  # linear is FACTOR, quadratic FACTOR * FACTOR
CPU_LEAST_S: Final = 0.02  # what costs less is nobody's harm
CPU_BYTE_S: Final = 20e-6  # of one byte, on a slow machine; …
CPU_INPUT_S: Final = 0.05  # … and of what each input costs however short it is
TRIES: Final = 4  # the least of so many is the thread's own


class Outlier(AssertionError):
    """A reader whose work is out of proportion to what it reads."""


@dataclass(frozen=True)
class Pump:
    """An input of any length.

    Attributes:
        before, piece, after: `piece` is repeated between the others.
    """

    before: bytes
    piece: bytes
    after: bytes

    def of(self, size: int) -> bytes:
        """Make an input of about so many bytes, and at least one piece."""
        return self.repeated(max(1, (size - len(self.before) - len(self.after)) // len(self._piece(0))))

    def repeated(self, times: int) -> bytes:
        """Make an input with so many pieces."""
        if COUNTED not in self.piece:
            return self.before + self.piece * times + self.after
        return self.before + b"".join(map(self._piece, range(times))) + self.after

    def _piece(self, number: int) -> bytes:
        return self.piece.replace(COUNTED, b"%07d" % number)  # all of one length


def pumps_of_pieces(target: Target) -> Iterator[Pump]:
    """Return pumps of a target's own pieces: alone, behind its first seed, and in objects of its seeds."""
    for piece in target.pieces:
        yield Pump(b"", piece, b"")
        yield Pump(target.seeds[0], piece, b"")
        for seed in () if piece.endswith(b"\n") else target.seeds:  # a line stands for itself
            for opened in islice(re.finditer(rb"\{", seed), OBJECTS_MAX):
                yield Pump(seed[: opened.end()], piece, seed[opened.end() :])


def pumps_of_seeds(target: Target) -> Iterator[Pump]:
    """Return pumps of whole seeds, of each of their tokens, and of each pair of tokens."""
    for seed in filter(None, target.seeds):
        yield Pump(b"", seed, b"")
        found = list(islice(_TOKENS.finditer(seed), TOKENS_MAX))
        for number, token in enumerate(found):
            for last in found[number : number + 2]:
                begin, end = token.start(), last.end()
                yield Pump(seed[:begin], seed[begin:end], seed[end:])


def lines(run: Callable[[bytes], object], data: bytes) -> int:
    """Return how many lines of Python are run for an input, whatever else measures the process."""
    counted = 0

    def count(frame: FrameType, event: str, argument: Any) -> TraceFunction:
        del frame, argument
        nonlocal counted
        counted += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        run(data)
    finally:
        sys.settrace(before)
    return counted


def cpu_s(run: Callable[[bytes], object], data: bytes, tries: int = TRIES) -> float:
    """Return what an input costs the processor."""
    return min(_once(run, data) for _ in range(tries))


def _once(run: Callable[[bytes], object], data: bytes) -> float:
    began = time.thread_time()
    run(data)
    return time.thread_time() - began


def check_lines(target: Target, pump: Pump) -> None:
    """Raise Outlier where the lines that are run rise faster than the input."""
    least = -(-LINES_BYTES // len(pump.piece) // ALIGNED) * ALIGNED
    target.reader(pump.repeated(least))  # what is done once for all is done
    told = [lines(target.reader, pump.repeated(least * times)) for times in (1, 2, 4)]
    if _rises_too_fast(*told):
        told.append(lines(target.reader, pump.repeated(least * 8)))
        if _rises_too_fast(*told[1:]):  # else it took another way through the program, once
            raise Outlier(f"{told} lines for 1, 2, 4, 8 times {least} of {pump}")


def _rises_too_fast(small: int, middle: int, large: int) -> bool:
    return large - middle > LINES_GROWTH * max(middle - small, 0) + LINES_SLACK


def check_cpu(target: Target, pump: Pump) -> float:
    """Raise Outlier where the processor's time rises faster than the input; return that of a byte."""
    long, short = pump.of(target.longest), pump.of(target.longest // FACTOR)
    large = small = 0.0
    for tries in (1, TRIES):  # nearly all are cheap at once
        large, small = cpu_s(target.reader, long, tries), cpu_s(target.reader, short, tries)
        if large < CPU_LEAST_S or large < CPU_GROWTH * small * len(long) / (len(short) * FACTOR):
            return large / len(long)
    times = f"{small * 1000:.1f} ms for {len(short)} bytes, {large * 1000:.1f} ms for {len(long)}"
    raise Outlier(f"{times} of {pump}")


def check_budget(run: Callable[[bytes], object], data: bytes, times: float = 1.0) -> None:
    """Raise Outlier where an input costs more than any should. `times`: as much is forgiven to a slower interpreter."""
    budget_s = times * (CPU_INPUT_S + CPU_BYTE_S * len(data))
    if _once(run, data) > budget_s and cpu_s(run, data) > budget_s:
        raise Outlier(f"{len(data)} bytes cost more than {budget_s * 1000:.0f} ms: {data[:200]!r}")


def search(target: Target, seconds: float, random: Random) -> tuple[float, Pump | None]:
    """Measure pumps of a target at random until the time is up, its own first. Return the dearest, and what a byte of
    it costs in seconds. Raises Outlier."""
    ends = time.monotonic() + seconds
    known = list(dict.fromkeys([*pumps_of_pieces(target), *pumps_of_seeds(target)]))
    random.shuffle(known)
    dearest: tuple[float, Pump | None] = (0.0, None)
    while time.monotonic() < ends:
        pump = known.pop() if known else mutated(target, random)
        check_lines(target, pump)
        found = check_cpu(target, pump)
        if found > dearest[0]:
            dearest = found, pump
    return dearest


def mutated(target: Target, random: Random) -> Pump:
    """Make a pump of a part of a seed, or of bytes that may be anything, somewhere in a seed."""
    seed, other = random.choice(target.seeds), random.choice(target.seeds)
    begin = random.randrange(len(seed) + 1)
    end = min(len(seed), begin + random.choice((0, 0, 1, 2, 8)))
    at = random.randrange(len(other) + 1)
    pieces = (
        other[at : at + random.choice((1, 1, 2, 3, 8, 40))],
        random.randbytes(random.choice((1, 1, 2, 3))),
        bytes(random.choices(MARKS, k=random.choice((1, 2, 3)))),
        random.choice(target.pieces) if target.pieces else b"",
    )
    return Pump(seed[:begin], random.choice(pieces) or b"a", seed[end:])
