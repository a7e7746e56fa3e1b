"""Connects the processes: ZeroMQ sockets, and events that are sent until they are acknowledged."""
