"""Formats of all that peers and processes say: Telnyx, browsers, the bus, the hand-over. Pure: no I/O, no clock."""
