"""The first browser protocol (docs/protocol.md): one socket for each listener."""
