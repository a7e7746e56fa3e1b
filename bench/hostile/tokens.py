"""Tokens for a system under attack: those of its calls, and the small ones that hostile peers have."""

from __future__ import annotations

import time
from typing import Final

SECRET: Final = "y5Vq0aTn7cXr2Lk9Wd4Gm1Zp8Hs3Fb6J"
STREAM_TOKEN: Final = "Rk3-bench-stream-token-T8wq"
ENVIRON: Final = {
    "PATCHBAY_AUTH__ENABLED": "true",
    "PATCHBAY_AUTH__JWT_SECRET": SECRET,
    "PATCHBAY_TELNYX__STREAM_TOKEN": STREAM_TOKEN,
}
STREAM_HEADER: Final = "X-Telnyx-Streaming-Auth-Token"
TTL_S: Final = 3600
EVERY_CALL: Final = "*"


def token(sub: str, *can: str, calls: tuple[str, ...] = ()) -> str:
    """A token of the system's key. `calls`: none for every call."""
    import jwt

    granted = list(calls) if calls else EVERY_CALL
    claims = {"sub": sub, "exp": int(time.time()) + TTL_S, "calls": granted, "can": list(can)}
    return jwt.encode(claims, SECRET, algorithm="HS256")
