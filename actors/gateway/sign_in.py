"""Makes the page for a person who opens the console without a good token: the refusal in words, and a field for a
token.

Pure. It needs nothing else from here, so nothing has to be open for it; its form opens the page with `?token=`, which
the console remembers (`patchbay.auth.page_cookie`).
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from patchbay.http.head import RequestHead

STATUSES: Final = frozenset({401, 403})
STYLE: Final = """
:root { color-scheme: light dark; --accent: light-dark(#0b6e53, #56d0a8); --line: light-dark(#c9d0cc, #3b4541); }
body { display: grid; place-content: center; min-height: 90vh; margin: 0; padding: 1.5rem;
  background: light-dark(#f5f7f6, #0f1312); color: light-dark(#16201c, #e8eeeb);
  font: 1rem/1.5 Inter, system-ui, sans-serif; }
form { display: grid; gap: .75rem; max-width: 22rem; }
h1 { margin: 0; font-size: 1.5rem; letter-spacing: -.02em; }
p { margin: 0; color: light-dark(#54615b, #9dafa7); }
label { font-weight: 600; }
input, button { padding: .7rem .8rem; border: 1px solid var(--line); border-radius: .6rem; font: inherit; }
input { background: light-dark(#fff, #171d1b); color: inherit; }
button { border-color: transparent; background: var(--accent); color: light-dark(#fff, #06231a); font-weight: 600; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
"""
_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Final = (
    f"Content-Security-Policy: default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'\r\n"
)
WORDS: Final = {
    "en": {
        401: "This Patchbay is guarded. Show a token to come in.",
        403: "This token does not open this page: it must have the right <code>admin</code>.",
        "token": "Token",
        "open": "Open",
    },
    "fr": {
        401: "Ce Patchbay est protégé. Il faut un jeton pour entrer.",
        403: "Ce jeton n&rsquo;ouvre pas cette page : il lui faut le droit <code>admin</code>.",
        "token": "Jeton",
        "open": "Ouvrir",
    },
}


def page(head: RequestHead | None, status: int) -> bytes | None:
    """Return the page for a refusal of this request; None where it is not a person's request for the console's page."""
    if head is None or status not in STATUSES or head.method != "GET" or head.path != "/" or head.is_upgrade:
        return None
    if "text/html" not in (head.header("accept") or "").lower():
        return None
    language = _language(head.header("accept-language") or "")
    words = WORDS[language]
    return f"""<!doctype html>
<html lang="{language}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Patchbay</title>
<style>{STYLE}</style>
<main>
<form>
<h1>Patchbay</h1>
<p>{words[status]}</p>
<label for="token">{words["token"]}</label>
<input id="token" name="token" type="password" autocomplete="off" spellcheck="false" required autofocus>
<button>{words["open"]}</button>
</form>
</main>
</html>
""".encode()


def _language(accepted: str) -> str:
    """Return the first of our languages that a browser names; browsers list their favourite first."""
    named = [part.partition(";")[0].strip().partition("-")[0].lower() for part in accepted.split(",")]
    return next((name for name in named if name in WORDS), "en")
