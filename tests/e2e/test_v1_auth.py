"""Who may what on `patchbay.v1`: told after the upgrade, since a browser can't read an answer to it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.e2e.guarded import MY_CALL, OTHER_CALL, guarded_system, token, wrong_tokens
from tests.e2e.v1_client import v1_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.system import System

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def guarded() -> Iterator[System]:
    """One system with authentication for the tests of this file."""
    with guarded_system() as system:
        yield system


@pytest.mark.parametrize("kind", wrong_tokens())
async def test_wrong_tokens(guarded: System, kind: str) -> None:
    """The code says which is wrong; not a word was said before."""
    async with v1_client(guarded, token=wrong_tokens()[kind]) as page:
        reason = await page.inner.until_closed()
        assert reason.code == (4502 if "expired" in (reason.reason or "") else 4501)
        assert page.inner.messages == []


async def test_not_for_this(guarded: System) -> None:
    """Another call in the URL, or no right to listen."""
    for query, given in (
        (f"?call_control_id={quote(OTHER_CALL, safe='')}", token()),
        ("", token(can=("talk", "events"))),
        ("", token(calls=())),
    ):
        async with v1_client(guarded, query, token=given) as page:
            assert (await page.inner.until_closed()).code == 4503


async def test_within_the_token(guarded: System) -> None:
    """Its call, and its rights; a newer token renews them, somebody else's does not."""
    async with v1_client(guarded, token=token(can=("listen",), ttl_s=50)) as page:
        assert page.of("welcome")[0]["can"] == ["listen"]
        await page.until(lambda: page.of("token.expiring"))
        assert (await page.subscribe(MY_CALL, "inbound"))["call"] == 1
        await page.say("subscribe", call_control_id=OTHER_CALL, tracks=["inbound"], id=5)
        await page.until(lambda: page.of("error"))
        assert page.of("error")[-1]["code"] == 200007
        assert (await page.start_talk(MY_CALL))["code"] == 200007
        await page.say("token", token=token(can=("listen", "talk"), sub="thief"), id=6)
        await page.until(lambda: page.of("error")[-1].get("id") == 6)
        assert page.of("error")[-1]["code"] == 200011
        await page.say("token", token=token(can=("listen", "talk")), id=7)
        await page.until(lambda: page.of("token.accepted"))
        assert (await page.start_talk(MY_CALL, 78))["code"] == 200001
