"""ZeroMQ sockets between the processes, and events that are sent until they are acknowledged."""
