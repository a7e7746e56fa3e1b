"""The state of each call, merged from its events."""
