"""Decodes audio that needs a codec library in a process of its own: its messages, its queue, and fan-out's side."""
