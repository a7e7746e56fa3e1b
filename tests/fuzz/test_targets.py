"""Each target with its seeds, and with a few hundred mutations of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, Target

MUTATIONS = st.lists(
    st.tuples(st.integers(0, 5000), st.sampled_from(["cut", "set", "put", "again"]), st.binary(max_size=12)), max_size=6
)


def mutated(data: bytes, mutations: list[tuple[int, str, bytes]]) -> bytes:
    """The bytes with a few things done to them."""
    for where, how, what in mutations:
        at = where % (len(data) + 1)
        match how:
            case "cut":
                data = data[:at] + data[at + len(what) :]
            case "set":
                data = data[:at] + what + data[at + len(what) :]
            case "put":
                data = data[:at] + what + data[at:]
            case "again":
                data = data[:at] + data[at : at + 40] + data[at:]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    """As they are."""
    for seed in TARGETS[name].seeds:
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_mutations(name: str) -> None:
    """Nothing comes out that is not documented."""
    target = TARGETS[name]
    examples = st.one_of(st.binary(max_size=300), st.tuples(st.sampled_from(target.seeds), MUTATIONS))

    @given(examples)
    def search(example: bytes | tuple[bytes, list[tuple[int, str, bytes]]]) -> None:
        target.run(example if isinstance(example, bytes) else mutated(*example))

    search()


def test_a_target_can_fail() -> None:
    """What it does not expect comes out."""

    def broken(data: bytes) -> None:
        raise KeyError(data)

    with pytest.raises(KeyError):
        Target(broken, (b"",)).run(b"")
