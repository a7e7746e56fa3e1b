"""WebSocket connections (RFC 6455): frames, handshake, reading, the send queue, keepalive."""
