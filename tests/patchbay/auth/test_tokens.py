"""Access tokens: which are believed, and what is said of those that are not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.keys import new_pair
from config.settings import AuthSettings
from patchbay.auth.rights import may
from patchbay.auth.tokens import (
    BadToken,
    Verifier,
    answered_subprotocol,
    covers,
    expires_at,
    granted_calls,
    tokens_of_subprotocols,
)
from patchbay.protocol.times import utc_seconds

NOW = 1_800_000_000.0
SECRET = "PyOmnDUJYsHRqJxz0o4yt1ABCW9Nn0xY"
LEEWAY_S = 10.0
VERIFIER = Verifier(AuthSettings(enabled=True, jwt_secret=SECRET, leeway_s=LEEWAY_S))
GOOD: dict[str, Any] = {"sub": "me", "exp": NOW + 60, "calls": ["v3:a"], "can": ["listen"]}


def sign(claims: dict[str, Any], key: Any = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key, algorithm=algorithm)


def test_a_good_token() -> None:
    """Says who, until when (the leeway included), which calls and what; nothing else comes through."""
    claims = VERIFIER.verify(sign({**GOOD, "can": ["listen", "fly"], "email": "x"}), NOW)
    assert claims == {"sub": "me", "exp": NOW + 60 + LEEWAY_S, "calls": ["v3:a"], "can": ["listen"]}


def test_claims_that_are_left_out() -> None:
    """Grant nothing."""
    claims = VERIFIER.verify(sign({"sub": "me", "exp": NOW + 60}), NOW)
    assert granted_calls(claims) == frozenset()
    assert not may(claims, "listen")


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW - LEEWAY_S - 1}, "has expired"),
        ({"exp": None}, "exp"),
        ({"exp": -(2**60)}, "not a time"),
        ({"nbf": None}, "nbf"),
        ({"nbf": float("inf")}, "nbf"),
        ({"nbf": "now"}, "nbf|can't be read"),
        ({"sub": "half \ud83d"}, "sub"),
        ({"sub": ""}, "sub of the token is empty"),
        ({"sub": " \t\u2003"}, "sub of the token is empty"),
        ({"sub": "x" * 257}, "sub of the token is .*longer than 256"),
        ({"calls": ["\udc00"]}, "calls"),
        ({"can": ["listen", "\udc00"]}, "can"),
        ({"exp": "soon"}, "can't be read|not a time"),
        ({"exp": True}, "not a time"),
        ({"exp": float("inf")}, "not a time|can't be read"),
        ({"exp": float("nan")}, "not a time|can't be read"),
        ({"exp": 10**400}, "not a time|can't be read"),
        ({"nbf": NOW + LEEWAY_S + 1}, "not valid yet"),
        ({"sub": 7}, "sub|can't be read"),
        ({"calls": "v3:a"}, "neither a list"),
        ({"calls": [1]}, "neither a list"),
        ({"calls": {"v3:a": 1}}, "neither a list"),
        ({"calls": None}, "neither a list"),
        ({"can": "listen"}, "not a list of rights"),
        ({"can": [["listen"]]}, "not a list of rights"),
        ({"aud": "another"}, "somebody else"),
    ],
)
def test_claims_that_are_refused(claims: dict[str, Any], reason: str) -> None:
    """With a reason for the one who made the token."""
    with pytest.raises(BadToken, match=reason):
        VERIFIER.verify(sign({**GOOD, **claims}), NOW)


@pytest.mark.parametrize("name", ["exp", "sub"])
def test_claims_that_must_be_there(name: str) -> None:
    """A token without an end would open the door for ever."""
    with pytest.raises(BadToken, match=name):
        VERIFIER.verify(sign({key: value for key, value in GOOD.items() if key != name}), NOW)


def test_the_leeway() -> None:
    """Forgives a clock that is a little wrong, either way."""
    for moved in ({"exp": NOW - LEEWAY_S}, {"nbf": NOW + LEEWAY_S}):
        assert VERIFIER.verify(sign({**GOOD, **moved}), NOW)["sub"] == "me"


def test_only_the_configured_algorithm() -> None:
    """Never what the token names: not `none`, not another hash, not the public key taken for a secret."""
    private, public = new_pair()
    for token in (sign(GOOD, "", "none"), sign(GOOD, SECRET * 2, "HS512"), sign(GOOD, private, "EdDSA")):
        with pytest.raises(BadToken, match="not signed with HS256"):
            VERIFIER.verify(token, NOW)
    by_key = Verifier(AuthSettings(enabled=True, jwt_public_key=public.replace("\n", "\\n")))
    assert by_key.verify(sign(GOOD, private, "EdDSA"), NOW)["sub"] == "me"
    with pytest.raises(BadToken, match="another key"):
        by_key.verify(sign(GOOD, new_pair()[0], "EdDSA"), NOW)
    with pytest.raises(BadToken, match="not signed with EdDSA"):
        by_key.verify(_signed_with_the_public_key(public), NOW)


def _signed_with_the_public_key(public: str) -> str:
    """PyJWT itself refuses to make this old trick, so it is made by hand."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    signed = f"{part(json.dumps({'alg': 'HS256', 'typ': 'JWT'}).encode())}.{part(json.dumps(GOOD).encode())}"
    return f"{signed}.{part(hmac.digest(public.encode(), signed.encode(), hashlib.sha256))}"


def test_no_key_is_no_verifier() -> None:
    """Nor is a key of another kind."""
    for auth in (AuthSettings(enabled=True), AuthSettings(enabled=True, jwt_public_key="rubbish")):
        with pytest.raises(ValueError, match=r"set|PEM"):
            Verifier(auth)


@given(st.one_of(st.text(), st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode())))
@example("a" * 9000)
@example("..")
@example("e30.e30.")
@example(f"{base64.urlsafe_b64encode(b'[' * 5000).decode()}.e30.x")
def test_rubbish(token: str) -> None:
    """Is refused, and nothing else happens."""
    with pytest.raises(BadToken) as caught:
        VERIFIER.verify(token, NOW)
    assert len(token) < 4 or token not in str(caught.value)


@given(st.data())
def test_a_changed_token(data: st.DataObject) -> None:
    """One character more, less or other: it is no longer the token that was signed."""
    token = sign(GOOD)
    at = data.draw(st.integers(0, len(token) - 5))  # the last characters hold bits that count for nothing
    other = data.draw(st.characters(codec="ascii").filter(lambda character: character != token[at]))
    with pytest.raises(BadToken):
        VERIFIER.verify(token[:at] + other + token[at + 1 :], NOW)


def test_what_claims_grant() -> None:
    """Authentication switched off grants everything; `*` every call; a list its calls."""
    assert may(None, "admin")
    assert granted_calls(None) is None
    assert expires_at(None) == float("inf")
    every, some = {"calls": "*", "can": []}, {"calls": ["a", "b"], "can": ["talk"]}
    assert granted_calls(every) is None
    assert covers(every, None)
    assert covers(some, frozenset({"a"}))
    assert not covers(some, frozenset({"a", "c"}))
    assert not covers(some, None)
    assert may(some, "talk")
    assert not may(some, "listen")


def test_subprotocols() -> None:
    """A browser's way to bring a token, and what it must hear back."""
    assert tokens_of_subprotocols(["chat", "patchbay.token.x.y.z", "patchbay.token.a"]) == ["x.y.z", "a"]
    assert tokens_of_subprotocols(["patchbay"]) == []
    assert answered_subprotocol(["chat"]) is None
    assert answered_subprotocol(["patchbay.token.x"]) == "patchbay.token.x"
    assert answered_subprotocol(["patchbay.token.x", "patchbay"]) == "patchbay"


numbers = st.integers() | st.floats() | st.sampled_from([2**53, 2**53 + 1, -(2**53), 2**63, NOW, NOW - LEEWAY_S, 1e308])


@given(numbers | st.none() | st.booleans() | st.text(max_size=5), numbers | st.none())
def test_whatever_times_a_token_has(expires: object, begins: object) -> None:
    """It is refused, or they can be compared, subtracted and written."""
    try:
        claims = VERIFIER.verify(sign({**GOOD, "exp": expires, "nbf": begins}), NOW)
    except (BadToken, OverflowError):  # the latter is the signer's
        return
    assert int(expires_at(claims) - NOW) >= 0
    assert utc_seconds(expires_at(claims))
    assert msgspec.json.decode(msgspec.json.encode({"exp": claims["exp"]}))
