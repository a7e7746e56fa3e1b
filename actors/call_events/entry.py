"""Defines an event with its offset, and a filter of events. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.call_events.events import Event, encode
from patchbay.websocket.frames import text_frame


@dataclass(frozen=True, slots=True)
class Entry:
    """Holds an event with its offset. `text` and `frame` (the text as a WebSocket message) are shared by all
    clients."""

    offset: int
    text: bytes
    type: str
    call_control_id: str | None
    frame: bytes = field(repr=False)


def entry_of(event: Event, offset: int, epoch: str) -> Entry:
    """Encode an event, once for all clients."""
    text = encode(event, offset=offset, epoch=epoch)
    return Entry(offset, text, event.type, event.call_control_id, text_frame(text))


@dataclass(frozen=True)
class Interest:
    """Holds which events somebody wants, and may have.

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
        """Return whether an event is wanted."""
        if self.calls is not None and entry.call_control_id not in self.calls:
            return False
        return self.types is None or entry.type in self.types or entry.type.startswith(self.prefixes)
