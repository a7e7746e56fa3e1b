"""Who counts as one peer: a token's `sub`, an address, a call of Telnyx's."""

from __future__ import annotations

import pytest

from patchbay.auth.owner import owner_of
from patchbay.auth.tokens import CARRIER

TELNYX = {"sub": "telnyx", CARRIER: True}
SHOP = {"sub": "shop"}
HERE, PROXY = "127.0.0.1:40000", " via 127.0.0.1:40000"


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        (("203.0.113.7:1", SHOP), ("198.51.100.1:2", SHOP), True),
        (("203.0.113.7:1", SHOP), ("203.0.113.7:2", {"sub": "other"}), False),
        (("203.0.113.7:1", TELNYX), ("203.0.113.7:2", TELNYX), False),
        (("203.0.113.7:1", None), ("203.0.113.7:2", None), True),
        (("203.0.113.7:1", {"sub": ""}), ("203.0.113.7:2", None), True),
        (("203.0.113.7:1", None), ("203.0.113.8:1", None), False),
        ((f"203.0.113.7{PROXY}", None), (f"203.0.113.7{PROXY}", None), True),
        ((f"203.0.113.7{PROXY}", None), (f"203.0.113.8{PROXY}", None), False),
        ((f"2001:db8::1{PROXY}", None), (f"2001:db8::2{PROXY}", None), True),
        ((f"2001:db8::1{PROXY}", None), (f"2001:db8:0:1::1{PROXY}", None), False),
        ((HERE, None), (HERE, None), False),
        (("[::1]:1", None), ("[::1]:2", None), False),
        (("", None), ("", None), False),
        (("203.0.113.7:1", {"sub": "203.0.113.7"}), ("203.0.113.7:1", None), False),
    ],
    ids=[
        "a token from two addresses",
        "two tokens from an address",
        "two calls of Telnyx's",
        "an address",
        "an address whose token is nobody's",
        "two addresses",
        "an address behind a proxy",
        "two addresses behind a proxy",
        "an IPv6 network",
        "two IPv6 networks",
        "this machine, or a proxy that does not say for whom",
        "this machine, IPv6",
        "nobody knows",
        "a token that is called as an address",
    ],
)
def test_who_counts_as_one(
    one: tuple[str, dict[str, object] | None], other: tuple[str, dict[str, object] | None], *, is_one: bool
) -> None:
    owners = [owner_of(number, *who) for number, who in enumerate((one, other))]
    assert (owners[0] == owners[1]) == is_one
