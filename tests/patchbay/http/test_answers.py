"""One-line answers."""

from __future__ import annotations

import pytest

from patchbay.http.answers import answer, html_answer


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 426, 429, 431, 503, 505])
def test_every_refusal_is_taken_for_what_it_is(status: int) -> None:
    """And is kept nowhere: the address that was asked for may hold a token."""
    for told in (answer(status, "No"), html_answer(status, b"<p>No", "X-More: y\r\n")):
        head, _, body = told.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert b"X-Content-Type-Options: nosniff" in lines
        assert b"Cache-Control: no-store" in lines
        assert b"Referrer-Policy: no-referrer" in lines
        assert b"Content-Length: %d" % len(body) in lines
        assert b"Strict-Transport" not in head
        assert len({line.partition(b":")[0].lower() for line in lines}) == len(lines)


def test_over_tls_of_our_own_browsers_are_told_to_stay_with_it() -> None:
    """RFC 6797."""
    for told in (answer(404, "No", is_tls=True), html_answer(401, b"", "", is_tls=True)):
        assert b"\r\nstrict-transport-security: max-age=31536000\r\n" in told
