"""The state of each call, made from its events."""
