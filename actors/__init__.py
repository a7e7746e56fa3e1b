"""The processes of a Patchbay, one folder each, and what they share: `wire` (codecs) and `runtime` (I/O)."""
