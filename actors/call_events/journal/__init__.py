"""Keeps the journal of events: one SQLite file, written by one thread, read a page at a time."""
