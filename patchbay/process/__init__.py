"""The life of an actor's process: start, identity, logs, heartbeat, supervision, periodic work, end."""
