"""Who a simulated call is: Telnyx's ids and the two numbers. Pure; chance comes from the caller."""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

CONTROL_ID_BYTES = 39
USER_ID = "3E6F995F-85F7-4705-9741-53B116D28237"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The names of one call leg and its media stream, as Telnyx gives them (GUIDE, voice-api-webhooks)."""

    call_control_id: str
    call_leg_id: str
    call_session_id: str
    stream_id: str
    from_number: str
    to_number: str
    user_id: str = USER_ID
    connection_id: str = "1684641123236054244"
    client_state: str = ""  # base64
    tags: tuple[str, ...] = ()
    custom_parameters: dict[str, str] = field(default_factory=dict)


def new_identity(random: Random, *, from_number: str, to_number: str, call_control_id: str | None = None) -> Identity:
    """Ids in Telnyx's forms."""
    return Identity(
        call_control_id=call_control_id or _control_id(random),
        call_leg_id=_uuid(random),
        call_session_id=_uuid(random),
        stream_id=_uuid(random),
        from_number=from_number,
        to_number=to_number,
        client_state=base64.b64encode(b"simulated").decode(),
        tags=("simulator",),
    )


def _control_id(random: Random) -> str:
    return "v3:" + base64.urlsafe_b64encode(random.randbytes(CONTROL_ID_BYTES)).decode()


def _uuid(random: Random) -> str:
    return str(uuid.UUID(bytes=random.randbytes(16), version=4))
