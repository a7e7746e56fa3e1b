"""Tells a request of our own page from one that another page made a browser send. Pure.

Three things, each of which is enough against pages of other origins: a header that no form can set and no script may
set across origins (we answer no preflight), the browser's own word on where the request comes from, and the Origin.
The cookie is SameSite=Strict besides. With authentication off there is no token to steal, but a name that somebody
else's DNS suddenly resolves to 127.0.0.1 would make their page one of our origin: so only loopback names count then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from patchbay.http.local_request import is_loopback_host

if TYPE_CHECKING:
    from patchbay.http.message import Request

HEADER: Final = "x-patchbay-request"
VALUE: Final = "console"


def csrf_error(request: Request) -> str | None:
    """Return why a request that changes something is not from our page; None: it is."""
    if request.header(HEADER) != VALUE:
        return f"the header {HEADER}: {VALUE} is missing"
    site = request.header("sec-fetch-site")
    if site is not None and site != "same-origin":
        return "it was sent by a page of another origin"
    host = request.header("host") or ""
    origin = request.header("origin")
    if site is None and origin is not None and not _is_origin_of(origin, host):
        return "it was sent by a page of another origin"
    if request.claims is None and not is_loopback_host(host):
        return "with authentication off, this is done under localhost or a loopback address only"
    return None


def _is_origin_of(origin: str, host: str) -> bool:
    """Compare an Origin with a Host by name and port; the scheme is the proxy's."""
    try:
        given, wanted = urlsplit(origin), urlsplit(f"//{host}")
        if given.hostname is None or given.hostname != wanted.hostname:
            return False
        # A proxy may pass the name on without the port, which is then its own.
        return wanted.port is None or given.port == wanted.port
    except ValueError:
        return False
