"""Clients of `/call-events`: filters, cursors, and writing events to each client."""
