"""Runs the process of an actor: start, identity, logs, heartbeat, supervision, periodic work, end."""
