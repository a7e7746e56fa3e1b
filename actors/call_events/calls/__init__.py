"""Keeps the state of each call, merged from its events."""
