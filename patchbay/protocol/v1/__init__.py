"""Reads and writes the messages of `patchbay.v1` (docs/protocol-v1.md). Pure."""
