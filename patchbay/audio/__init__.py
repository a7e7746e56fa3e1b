"""Codecs, levels, mixing, reordering and pacing of audio. Pure: no I/O, no clock."""
