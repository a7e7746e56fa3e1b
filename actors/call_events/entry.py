"""Defines a committed event with its offset, and an interest in events. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.call_events.events import Event, encode
from patchbay.websocket.frames import text_frame


@dataclass(frozen=True, slots=True)
class Entry:
    """Holds an event with its offset, encoded once for all clients. `frame`: `text` as a WebSocket message."""

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
    """Selects the events that a reader wants and may read.

    Attributes:
        calls: the wanted calls; None: all, and events without a call.
        types: the wanted types; None: all.
        prefixes: beginnings of further wanted types.
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
