"""Decodes a body in chunks (RFC 9112 §7.1), in time proportional to its length, a bounded part at a time. Pure.

Strict: what two parsers could frame differently is malformed. Chunk extensions and trailers are passed over.
"""

from __future__ import annotations

import re
from typing import Final

LINE_MAX_BYTES: Final = 8 * 1024  # of a chunk's size with its extensions, of a trailer
TRAILERS_MAX: Final = 100
FRAMING_SPARE_BYTES: Final = 16 * 1024  # so much that is no content, and …
FRAMING_RATIO: Final = 2  # … so many times the content; chunks of one byte are five times that
SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[^\r\n\0]*|[ \t]*)")
TRAILER: Final = re.compile(rb"[^\r\n\0:]+:[^\r\n\0]*")
END_OF_LINE: Final = b"\r\n"


class MalformedBody(Exception):
    """The body is not in chunks: the peer's fault."""


class TooMuchFraming(MalformedBody):
    """The chunks are so small that the body is mostly framing."""


class ChunkedBody:
    """Decodes one body.

    Attributes:
        content: what has been decoded.
        is_complete: the last chunk and the trailers have come.
    """

    def __init__(self) -> None:
        self.content = bytearray()
        self.is_complete = False
        self._waiting = bytearray()
        self._searched = 0  # of what waits: there is no end of a line in it
        self._left = 0  # of the chunk that is being read, its line end included
        self._taken = 0
        self._trailers = -1  # before the last chunk

    @property
    def announced_bytes(self) -> int:
        """Return the length of the content with the chunk that has begun."""
        return len(self.content) + max(0, self._left - len(END_OF_LINE))

    def feed(self, data: bytes | bytearray) -> None:
        """Add bytes from the wire; `decode` decodes them."""
        self._waiting += data
        self._taken += len(data)

    def decode(self, steps: int) -> bool:
        """Decode at most so many chunks and lines. Returns whether there may be more to decode without more bytes.

        Raises:
            MalformedBody: it is none.
        """
        for _ in range(steps):
            if self.is_complete:
                return False
            if not (self._chunk() if self._left else self._line()):
                self._check_framing()
                return False
        self._check_framing()
        return True

    def _chunk(self) -> bool:
        """Take what there is of a chunk; whether its end has come."""
        content = min(self._left - len(END_OF_LINE), len(self._waiting))
        if content > 0:
            self.content += self._waiting[:content]
            del self._waiting[:content]
            self._left -= content
        if self._left > len(END_OF_LINE) or len(self._waiting) < len(END_OF_LINE):
            return False
        if self._waiting[:2] != END_OF_LINE:
            raise MalformedBody("a chunk is longer than it says")
        del self._waiting[:2]
        self._left = 0
        return True

    def _line(self) -> bool:
        """Take a size or a trailer; whether one was there."""
        end = self._waiting.find(END_OF_LINE, self._searched)
        if end > LINE_MAX_BYTES or (end < 0 and len(self._waiting) > LINE_MAX_BYTES):
            raise MalformedBody("a line is too long")
        if end < 0:
            self._searched = max(0, len(self._waiting) - 1)
            return False
        line, self._searched = bytes(self._waiting[:end]), 0
        del self._waiting[: end + len(END_OF_LINE)]
        if self._trailers < 0:
            self._begin_chunk(line)
        else:
            self._trailer(line)
        return True

    def _begin_chunk(self, line: bytes) -> None:
        found = SIZE.fullmatch(line)
        if found is None:
            raise MalformedBody("the size of a chunk is no number")
        size = int(found[1], 16)
        if size:
            self._left = size + len(END_OF_LINE)
        else:
            self._trailers = 0

    def _trailer(self, line: bytes) -> None:
        self._trailers += 1
        if not line:
            self.is_complete = True
        elif self._trailers > TRAILERS_MAX or TRAILER.fullmatch(line) is None:
            raise MalformedBody("a trailer is none, or one too many")

    def _check_framing(self) -> None:
        framing = self._taken - len(self._waiting) - len(self.content)
        if framing > FRAMING_SPARE_BYTES + FRAMING_RATIO * len(self.content):
            raise TooMuchFraming
