from __future__ import annotations

import base64
import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.protocol import lenient_json
from patchbay.protocol.lenient_json import Malformed


@given(st.binary(max_size=100), st.booleans(), st.booleans())
def test_base64_of_every_habit(data: bytes, url_safe: bool, padded: bool) -> None:
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()
    if not padded:
        text = text.rstrip("=")
    folded = "\r\n".join(text[i : i + 10] for i in range(0, len(text), 10)) + "\n"
    assert lenient_json.decode_base64(text, "x") == lenient_json.decode_base64(folded, "x") == data


@pytest.mark.parametrize("text", [None, 7, b"AAAA", "A", "AAAAA", "AA=A", "!!!!", "é", "\ud800"])
def test_what_is_not_base64(text: object) -> None:
    with pytest.raises(Malformed, match=r"^x is not"):
        lenient_json.decode_base64(text, "x")


@pytest.mark.parametrize(
    ("value", "number"),
    [(None, None), (0, 0), ("7", 7), (7.0, 7), (2**53 - 1, 2**53 - 1), ("0004", 4)],
)
def test_numbers(value: object, number: int | None) -> None:
    assert lenient_json.integer(value, "n") == number


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "²", "9" * 5000, -1, 2**53, 1.5, 1e300, True, [], {}])
def test_what_is_not_a_number(value: object) -> None:
    with pytest.raises(Malformed, match=r"^n is not a number$"):
        lenient_json.integer(value, "n")


def test_objects() -> None:
    assert lenient_json.decode_object(b' {"a": 1, "a": 2} ') == {"a": 2}
    with pytest.raises(Malformed, match=r"^not a JSON object$"):
        lenient_json.decode_object(b"[]")
    for message in (b"", b"\xff", b'{"a":' * 100_000, b'{"a":1', b'{"a":1} {}', b'{"a":"' + b"\xff" * 300_000 + b'"}'):
        with pytest.raises(Malformed, match=r"^not JSON$"):
            lenient_json.decode_object(message)


@pytest.mark.parametrize(
    ("message", "value"),
    [
        (b'{"a":"\\ud83d"}', {"a": "\ufffd"}),
        (b'{"\\ud83d":"\\ud83d\\ude00"}', {"\ufffd": "\U0001f600"}),
        (b'{"a":"\xff"}', {"a": "\ufffd"}),
        (b'\xef\xbb\xbf{"a":1}\0', {"a": 1}),
        ('{"a":"\xfc"}'.encode("utf-16"), {"a": "\xfc"}),
        (b'{"a":[NaN,Infinity,1e999,-1e999]}', {"a": [None] * 4}),
        (b'{"a":NaN,"b":18446744073709551616,"c":9223372036854775807}', {"a": None, "b": 2.0**64, "c": 2**63 - 1}),
        (b'{"a":"\n"}', {"a": "\n"}),
    ],
)
def test_what_can_not_be_read_is_replaced(message: bytes, value: object) -> None:
    mended: list[str] = []
    assert lenient_json.decode_any(message, mended) == value
    assert mended == [lenient_json.TEXT]
    assert lenient_json.decode_any(lenient_json.clean(message), mended) == value
    assert mended == [lenient_json.TEXT]


def test_what_is_well_stays_as_it_is() -> None:
    mended: list[str] = []
    message = b'{"a": "\\ud83d\\ude00", "b": 1.5e3}'
    assert lenient_json.clean(message) is message
    lenient_json.decode_any(message, mended)
    assert mended == []


@given(
    st.binary(max_size=60)
    | st.text(max_size=60).map(lambda text: b'{"a":"%b"}' % text.encode("utf-16-le", "surrogatepass"))
)
def test_whatever_is_mended_can_be_read_and_written(message: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert orjson.loads(lenient_json.clean(message)) == orjson.loads(
            lenient_json.encode_any(lenient_json.decode_any(message, []))
        )


def test_whatever_can_be_read_can_be_written() -> None:
    deep: object = "\ud83d"
    for _ in range(5000):
        deep = {"a": [deep]}
    text = lenient_json.encode_any({"b": "\udc00", "c": 10**400, "deep": deep})
    assert orjson.loads(text)["b"] == "\ufffd"
    assert orjson.loads(text)["c"] is None
    with pytest.raises(TypeError):
        lenient_json.encode_any({"a": object()})


def test_text_or_nothing() -> None:
    assert lenient_json.text("a") == "a"
    assert lenient_json.text(1) is None
    mended: list[str] = []
    assert lenient_json.optional_text("abc", "x", mended, 3) == "abc"
    assert lenient_json.optional_text(None, "x", mended, 3) is None
    assert mended == []
    assert lenient_json.optional_text("abcd", "x", mended, 3) is lenient_json.optional_text(7, "y", mended, 3) is None
    assert mended == ["x", "y"]
