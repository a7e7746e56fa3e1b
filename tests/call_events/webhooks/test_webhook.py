"""The webhook's answers, and that nothing but a believed event is ever recorded."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING

import orjson
import pytest
from nacl.signing import SigningKey

from actors.call_events.journal.interface import Unavailable
from actors.call_events.webhooks.webhook import Webhook, verifier_of
from config import ConfigError, load
from patchbay.http.message import Request, Response
from tests.call_events.samples import arrival

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.call_events.events import Arrival

KEY, OTHER = SigningKey(bytes(32)), SigningKey(b"1" * 32)
PUBLIC, OTHER_PUBLIC = (base64.b64encode(bytes(key.verify_key)).decode() for key in (KEY, OTHER))
AUTH = {
    "PATCHBAY_AUTH__ENABLED": "true",
    "PATCHBAY_AUTH__JWT_SECRET": "kJ8s2mQ0vXz7Lr4TnB6wYc1HdF5gPa9E",
    "PATCHBAY_TELNYX__STREAM_TOKEN": "Zp3xRt8vWq1mLk6s",
}
BODY = arrival("1").body


class Desk:
    """A webhook with what it has recorded."""

    def __init__(self, **environ: str) -> None:
        self.recorded: list[Arrival] = []
        self.is_open = True
        self.webhook = Webhook(self.record, verifier_of(load(environ)))

    async def record(self, arrivals: Sequence[Arrival]) -> list[bool]:
        if not self.is_open:
            raise Unavailable("the disk is full")
        taken = [arrival.event.id not in [known.event.id for known in self.recorded] for arrival in arrivals]
        self.recorded += [arrival for arrival, new in zip(arrivals, taken, strict=True) if new]
        return taken

    async def post(self, body: bytes, **headers: str) -> int:
        return (await self.answer(body, **headers)).status

    async def answer(self, body: bytes, **headers: str) -> Response:
        lines = [(name.lower().replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return await self.webhook(Request("POST", "/calls/telnyx/webhook", {}, lines, body, "192.0.2.1"))


def signed(body: bytes, key: SigningKey = KEY, age_s: float = 0.0) -> dict[str, str]:
    timestamp = str(int(time.time() - age_s))
    signature = key.sign(timestamp.encode() + b"|" + body).signature
    return {"Telnyx_Signature_Ed25519": base64.b64encode(signature).decode(), "Telnyx_Timestamp": timestamp}


async def test_signed_webhooks_are_taken_and_repeats_are_too() -> None:
    desk = Desk(PATCHBAY_TELNYX__PUBLIC_KEY=f"{OTHER_PUBLIC}, {PUBLIC}", **AUTH)
    assert await desk.post(BODY, **signed(BODY)) == 200
    assert await desk.post(BODY, **signed(BODY, OTHER)) == 200
    assert [each.body for each in desk.recorded] == [BODY]
    assert desk.webhook.counters == {"webhooks": 1, "webhooks_duplicate": 1}


async def test_all_others_are_refused_and_none_is_recorded() -> None:
    desk = Desk(PATCHBAY_TELNYX__PUBLIC_KEY=PUBLIC)
    good = signed(BODY)
    reserialised = orjson.dumps(orjson.loads(BODY), option=orjson.OPT_INDENT_2)
    assert [
        await desk.post(BODY),
        await desk.post(BODY, **signed(BODY, OTHER)),
        await desk.post(BODY[:-1], **good),
        await desk.post(reserialised, **good),
        await desk.post(BODY, **signed(BODY, age_s=400)),
        await desk.post(BODY, **signed(BODY, age_s=-400)),
        await desk.post(BODY, **{**good, "Telnyx_Timestamp": str(int(good["Telnyx_Timestamp"]) - 1)}),
        await desk.post(b"rubbish"),
    ] == [401] * 8
    assert await desk.post(b"rubbish", **signed(b"rubbish")) == 400
    assert await desk.post(BODY, **good, Content_Type="text/plain") == 415
    assert not desk.recorded
    assert desk.webhook.counters["webhooks_unbelieved"] == 8


async def test_without_a_key_nobody_is_believed_where_authentication_is_on(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(**AUTH)
    assert "PATCHBAY_TELNYX__PUBLIC_KEY" in caplog.text
    assert await desk.post(BODY, **signed(BODY)) == 401
    assert await Desk().post(BODY) == 200  # a laptop


async def test_what_can_not_be_kept_is_to_be_sent_again() -> None:
    desk = Desk()
    desk.is_open = False
    answer = await desk.answer(BODY)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    desk.is_open = True
    assert await desk.post(BODY) == 200


@pytest.mark.parametrize("key", ["rubbish", base64.b64encode(b"short").decode(), f"{PUBLIC},x"])
def test_keys_that_are_none_are_found_at_the_start(key: str) -> None:
    with pytest.raises(ConfigError, match=r"telnyx\.public_key"):
        load({"PATCHBAY_TELNYX__PUBLIC_KEY": key})


LATIN = BODY.replace(b'"payload":{', b'"payload":{"from":"M\xfcller \\ud83d",')


async def test_the_journal_keeps_what_was_received_and_the_signature_is_of_that(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A byte that is no UTF-8 is mended for clients only."""
    desk = Desk(PATCHBAY_TELNYX__PUBLIC_KEY=PUBLIC)
    assert await desk.post(LATIN, **signed(LATIN)) == 200
    assert await desk.post(LATIN, **signed(LATIN)) == 200
    (taken,) = desk.recorded
    assert taken.body == LATIN
    assert orjson.loads(taken.event.payload)["from"] == "M\ufffdller \ufffd"
    assert desk.webhook.counters == {"webhooks": 1, "webhooks_duplicate": 1, "webhooks_mended": 2}
    assert caplog.text.count("read in part") == 1


FORM = b"AccountSid=a&CallSid=v3%3Aa&CallStatus=completed"
OLD = b'{"record_type":"event","event_type":"call_hangup","id":"1","payload":{"call_control_id":"v2:a"}}'


@pytest.mark.parametrize(
    ("body", "content_type", "status", "words", "counter"),
    [
        (FORM, "application/x-www-form-urlencoded", 415, "TeXML", "webhooks_forms"),
        (FORM, "Application/X-WWW-Form-Urlencoded; charset=utf-8", 415, "TeXML", "webhooks_forms"),
        (b"--x", "multipart/form-data; boundary=x", 415, "TeXML", "webhooks_forms"),
        (FORM, None, 415, "TeXML", "webhooks_forms"),
        (OLD, "application/json", 400, "API v2", "webhooks_old_api"),
        (OLD, None, 400, "API v2", "webhooks_old_api"),
        (b"{}", "application/json", 400, "data", "webhooks_malformed"),
        (BODY, "text/xml", 415, "JSON", "webhooks_malformed"),
    ],
)
async def test_what_another_kind_of_application_sends_is_told_what_to_set(
    body: bytes, content_type: str | None, status: int, words: str, counter: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever looks into the portal, or into our log, which says it once a minute for each kind."""
    desk = Desk(PATCHBAY_TELNYX__PUBLIC_KEY=PUBLIC)
    headers = {} if content_type is None else {"Content_Type": content_type}
    for _ in range(3):
        answer = await desk.answer(body, **headers, **signed(body))
        assert answer.status == status
        assert words in answer.body.decode()
    assert desk.webhook.counters == {counter: 3}
    assert [words in record.getMessage() for record in caplog.records] == [True]
    assert await desk.post(body, **headers) == 401  # whatever it is, nobody unknown is told more
    assert not desk.recorded
