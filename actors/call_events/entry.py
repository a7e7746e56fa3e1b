"""One event with its place in the journal, and what somebody wants of events. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.call_events.events import Event, encode
from patchbay.websocket.frames import text_frame


@dataclass(frozen=True, slots=True)
class Entry:
    """An event with its place. `text` and `frame` (the same as a WebSocket message) are shared by all who get it."""

    offset: int
    text: bytes
    type: str
    call_control_id: str | None
    frame: bytes = field(repr=False)


def entry_of(event: Event, offset: int, epoch: str) -> Entry:
    """Encode an event once for all."""
    text = encode(event, offset=offset, epoch=epoch)
    return Entry(offset, text, event.type, event.call_control_id, text_frame(text))


@dataclass(frozen=True)
class Interest:
    """Which events somebody wants, and may have.

    Attributes:
        calls: of these calls; None: of all, and those that are about no call.
        types: of these types; None: of all. `prefixes`: or of a type that begins so.
    """

    calls: frozenset[str] | None = None
    types: frozenset[str] | None = None
    prefixes: tuple[str, ...] = ()

    @property
    def is_everything(self) -> bool:
        return self.calls is None and self.types is None

    def wants(self, entry: Entry) -> bool:
        """Whether an event is one of them."""
        if self.calls is not None and entry.call_control_id not in self.calls:
            return False
        return self.types is None or entry.type in self.types or entry.type.startswith(self.prefixes)
