from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.wire import lenient
from actors.wire.lenient import Malformed


@given(st.binary(max_size=100), st.booleans(), st.booleans())
def test_base64_of_every_habit(data: bytes, url_safe: bool, padded: bool) -> None:
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()
    if not padded:
        text = text.rstrip("=")
    folded = "\r\n".join(text[i : i + 10] for i in range(0, len(text), 10)) + "\n"
    assert lenient.decode_base64(text, "x") == lenient.decode_base64(folded, "x") == data


@pytest.mark.parametrize("text", [None, 7, b"AAAA", "A", "AAAAA", "AA=A", "!!!!", "é", "\ud800"])
def test_what_is_not_base64(text: object) -> None:
    with pytest.raises(Malformed, match=r"^x is not"):
        lenient.decode_base64(text, "x")


@pytest.mark.parametrize(
    ("value", "number"),
    [(None, None), (0, 0), ("7", 7), (7.0, 7), (2**53 - 1, 2**53 - 1), ("0004", 4)],
)
def test_numbers(value: object, number: int | None) -> None:
    assert lenient.integer(value, "n") == number


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "²", "9" * 5000, -1, 2**53, 1.5, 1e300, True, [], {}])
def test_what_is_not_a_number(value: object) -> None:
    with pytest.raises(Malformed, match=r"^n is not a number$"):
        lenient.integer(value, "n")


def test_objects() -> None:
    assert lenient.decode_object(b' {"a": 1, "a": 2} ') == {"a": 2}
    with pytest.raises(Malformed, match=r"^not a JSON object$"):
        lenient.decode_object(b"[]")
    for message in (b"", b"\xff", b'{"a":"\xff"}', b'{"a":' * 100_000, b'{"a":1e999}'):
        with pytest.raises(Malformed, match=r"^not JSON$"):
            lenient.decode_object(message)


def test_text_or_nothing() -> None:
    assert lenient.text("a") == "a"
    assert lenient.text(1) is None
