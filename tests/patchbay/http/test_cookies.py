"""One cookie out of whatever a peer writes."""

from __future__ import annotations

from functools import partial
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.http.cookies import cookie_of
from tests.fakes.work import assert_linear

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ([], None),
        (["a=1"], None),
        (["t=1"], "1"),
        (["a=b; t=x.y.z; c=d"], "x.y.z"),
        (["t=first; t=second"], "first"),
        (["a=1", "t=2"], "2"),
        (['t="quoted"'], "quoted"),
        (['t="half'], '"half'),
        (['t="'], '"'),
        (['t=""'], ""),
        (['t="a\\"b"'], 'a\\"b'),
        (["t"], None),
        (["t=a=b"], "a=b"),
        (["  t =  spaced  "], "spaced"),
        (["tt=1;xt=2"], None),
        (["\x80=\xff; t=\xe9"], "\xe9"),
        ([";;;==;=t;t=1"], "1"),
    ],
)
def test_one_cookie(headers: list[str], value: str | None) -> None:
    """The first of its name, wherever it stands."""
    assert cookie_of(headers, "t") == value


@given(st.from_regex(r"[A-Za-z0-9_.-]{1,40}", fullmatch=True), st.from_regex(r"[A-Za-z0-9_-]{0,9}", fullmatch=True))
def test_as_the_standard_library_has_it(value: str, other: str) -> None:
    """For what browsers send."""
    header = f"x{other}={other}; t={value}; y=z"
    assert cookie_of([header], "t") == SimpleCookie(header)["t"].value == value


@given(st.lists(st.text(alphabet=st.characters(max_codepoint=255)), max_size=3))
def test_any_text(headers: list[str]) -> None:
    """Never raises."""
    cookie_of(headers, "t")


@pytest.mark.parametrize("piece", ['\\"', "=", ";", "t", '"', "a=b;", "\\075", " ", ";=", '="'])
def test_twice_the_text_takes_twice_the_work(piece: str) -> None:
    """Whatever is repeated, in quotes or not."""

    def within(form: str) -> Callable[[int], Callable[[], object]]:
        return lambda count: partial(cookie_of, [form % (piece * count)], "t")

    for form in ("%s", 't="%s"', 'x="%s"; t=1', "x=%s"):
        assert_linear(within(form), 500)
