"""Signatures: Telnyx's and nobody else's. Signed here with libsodium, verified there with OpenSSL."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from actors.call_events.webhooks.signature import BadSignature, Verifier

NOW = 1_700_000_000.5
BODY = b'{"data":{"event_type":"call.answered"}}'
OLD, NEW, STRANGER = (SigningKey(bytes([number] * 32)) for number in (1, 2, 3))


def text_of(key: SigningKey) -> str:
    return base64.b64encode(bytes(key.verify_key)).decode()


def sign(key: SigningKey, body: bytes, timestamp: str) -> str:
    return base64.b64encode(key.sign(timestamp.encode() + b"|" + body).signature).decode()


def refusal(verifier: Verifier, body: bytes, signature: str | None, timestamp: str | None) -> str:
    """Why it is refused; "" when it is not."""
    try:
        verifier.check(body, signature=signature, timestamp=timestamp, now=NOW)
    except BadSignature as error:
        return str(error)
    return ""


def verifier(*keys: SigningKey) -> Verifier:
    return Verifier(map(text_of, keys), tolerance_s=300)


def test_either_of_two_keys_will_do() -> None:
    both = verifier(OLD, NEW)
    for key in (OLD, NEW):
        assert not refusal(both, BODY, sign(key, BODY, "1700000000"), "1700000000")
    assert refusal(both, BODY, sign(STRANGER, BODY, "1700000000"), "1700000000")
    assert refusal(verifier(NEW), BODY, sign(OLD, BODY, "1700000000"), "1700000000")


def test_rfc_8032_test_3() -> None:
    """§7.1, whose message has no room for a timestamp: so only the primitive is compared."""
    seed = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
    key = SigningKey(seed)
    assert bytes(key.verify_key).hex() == "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
    assert not refusal(verifier(key), b"", sign(key, b"", "1700000000"), "1700000000")


@pytest.mark.parametrize(
    ("timestamp", "is_good"), [(1699999701, True), (1699999700, False), (1700000300, True), (1700000301, False)]
)
def test_five_minutes_either_way(timestamp: int, is_good: bool) -> None:
    text = str(timestamp)
    assert (not refusal(verifier(OLD), BODY, sign(OLD, BODY, text), text)) == is_good


@pytest.mark.parametrize(
    "timestamp", ["", " 1700000000", "1700000000.5", "+1700000000", "17e8", "\u0661700000000", "1" * 40, "-1"]
)
def test_odd_timestamps(timestamp: str) -> None:
    assert refusal(verifier(OLD), BODY, sign(OLD, BODY, timestamp), timestamp) == "the timestamp is not a number"


@pytest.mark.parametrize("signature", ["", "!", "AAAA", "é", base64.b64encode(bytes(64)).decode() + "AAAA", "A" * 88])
def test_odd_signatures(signature: str) -> None:
    assert refusal(verifier(OLD), BODY, signature, "1700000000")


def test_what_is_missing() -> None:
    good = sign(OLD, BODY, "1700000000")
    assert refusal(verifier(OLD), BODY, None, "1700000000") == "not signed"
    assert refusal(verifier(OLD), BODY, good, None) == "not signed"
    assert "PATCHBAY_TELNYX__PUBLIC_KEY" in refusal(verifier(), BODY, good, "1700000000")


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_other_body_passes(body: bytes, other: bytes) -> None:
    signature = sign(OLD, body, "1700000000")
    assert (not refusal(verifier(OLD), other, signature, "1700000000")) == (body == other)


@given(st.text(max_size=100), st.text(max_size=20), st.binary(max_size=50))
def test_nothing_but_a_refusal_comes_of_anything(signature: str, timestamp: str, body: bytes) -> None:
    assert refusal(verifier(OLD), body, signature, timestamp)
