"""Sets the page's cookie: a page that was opened with `?token=` can load its files and its data without. Pure.

Only the console's plain requests are let in by it, never a WebSocket (see `patchbay.auth.access`); what changes
something takes more than a cookie (see `patchbay.auth.csrf`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from patchbay.protocol.query import is_null

if TYPE_CHECKING:
    from collections.abc import Callable

    from patchbay.http.message import Request, Response

COOKIE_NAME: Final = "patchbay_token"
DELETE_COOKIE: Final = f"{COOKIE_NAME}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"


def setting_cookie(
    respond: Callable[[Request], Response | None], wall: Callable[[], float] = time.time, *, is_tls: bool = False
) -> Callable[[Request], Response | None]:
    """Wrap the handler of pages: its answer sets the cookie when the page was asked for with a token, which the gateway
    has verified.

    Args:
        is_tls: the public port speaks TLS itself; a proxy in front says so in a header.
    """

    def respond_and_remember(request: Request) -> Response | None:
        response = respond(request)
        tokens = [token for token in request.query.get("token", ()) if not is_null(token)]  # the first was verified
        if (
            response is None
            or request.claims is None
            or not tokens
            or not response.content_type.startswith("text/html")
        ):
            return response
        left_s = max(0, int(request.claims.get("exp", 0) - wall()))
        secure = "; Secure" if is_tls or request.header("x-forwarded-proto") == "https" else ""
        cookie = f"{COOKIE_NAME}={tokens[0]}; Path=/; Max-Age={left_s}; HttpOnly; SameSite=Strict{secure}"
        return replace(response, headers={**response.headers, "set-cookie": cookie})

    return respond_and_remember
