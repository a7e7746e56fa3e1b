"""Formats of all messages between peers and processes: Telnyx, browsers, the bus, the hand-over. Pure: no I/O, no
clock."""
