"""Serves WebSocket connections (RFC 6455): handshake, frames, reading, send queue, keepalive."""
